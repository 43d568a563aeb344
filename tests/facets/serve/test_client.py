"""The client, against a real server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

import facets
import facets.serve
from actors import LocalRuntime
from facets.errors import (
    BadArguments,
    Busy,
    CallFailed,
    DeadlineExceeded,
    NotAllowed,
    NotAuthenticated,
    NotServed,
    ServerLost,
)
from facets.serve import Ask, Client
from tests.facets.serve.classes import Item, Tally
from tests.facets.serve.conftest import serving
from tests.facets.serve.rooms import Room
from tests.facets.test_tracing import spans as spans
from tests.facets.test_tracing import trace, tree


@pytest.fixture
async def client(runtime: LocalRuntime) -> AsyncIterator[Client]:
    app = facets.serve.app(runtime, expose=[Tally, Room])
    async with serving(app) as url, Client(url) as client:
        yield client


async def test_an_actor_is_called_as_if_it_were_here(client: Client) -> None:
    tally = client.get("Tally", "a/b")
    assert [await tally.add("x"), await tally.add(word="x", n=2)] == [1, 3]
    assert [item async for item in tally.count(3)] == [0, 1, 2]
    assert await asyncio.gather(*[tally.add("y") for _ in range(3)]) == [1, 2, 3]
    assert await tally.facet("low").add("x") == 1


async def test_what_a_class_annotates_arrives_as_what_it_was(client: Client) -> None:
    item, at, key = Item("pen", Decimal("1.50"), b"\0\1"), datetime.now(UTC), UUID(int=3)
    tally = client.get(Tally, "a")
    assert await tally.add("x", n=2) == 2
    assert await tally.same(item) == item
    assert (await tally.echo(item, at=at, key=key))[2] == str(key)  # it annotates `object`


async def test_errors_are_of_the_classes_that_they_were(client: Client) -> None:
    tally = client.get("Tally", "a")
    with pytest.raises(Busy) as caught:
        await tally.fail("busy")
    assert (caught.value.limit, caught.value.message) == (3, "too much to do")
    with pytest.raises(ValueError, match="that is no value"):
        await tally.fail("value")
    with pytest.raises(BadArguments, match="unknown field"):
        await tally.add(x=1)
    with pytest.raises(NotServed):
        await tally.nothing()
    with pytest.raises(CallFailed) as failed:
        await tally.fail("own")
    assert (failed.value.type, failed.value.status) == ("Own", 500)


async def test_a_stream_that_fails_raises_after_its_items(client: Client) -> None:
    items = aiter(client.get("Tally", "a").fail_after(2))
    assert [await anext(items), await anext(items)] == [0, 1]
    with pytest.raises(ValueError, match="no more"):
        await anext(items)


async def test_a_stream_is_not_awaited_and_a_call_not_iterated(client: Client) -> None:
    tally = client.get("Tally", "a")
    with pytest.raises(TypeError, match="async for"):
        await tally.count(3)
    with pytest.raises(TypeError, match="await"):
        _ = [one async for one in tally.add("x")]


async def test_a_deadline_here_is_a_deadline_there(client: Client, runtime: LocalRuntime) -> None:
    with pytest.raises(DeadlineExceeded), facets.deadline(0):
        await client.get("Tally", "a").add("x")
    assert list(await runtime.get(Tally, "a").rows()) == []  # type: ignore[call-overload]


async def test_cancelling_a_call_cancels_it_there(client: Client, runtime: LocalRuntime) -> None:
    calling = asyncio.ensure_future(client.get("Tally", "a").wait())
    while (await runtime.get(Tally, "a").waits())[0] == 0:
        await asyncio.sleep(0)
    calling.cancel()
    while await runtime.get(Tally, "a").waits() != [1, 1]:
        await asyncio.sleep(0)


async def test_leaving_a_stream_closes_it_there(client: Client, runtime: LocalRuntime) -> None:
    items = aiter(client.get("Tally", "a").forever())
    await anext(items)
    await items.aclose()
    while not (await runtime.get(Tally, "a").given())[1]:
        await asyncio.sleep(0)


async def test_a_token_says_who_asks(runtime: LocalRuntime) -> None:
    def who(ask: Ask) -> object:
        if ask.name == "hers":
            raise PermissionError("hers")
        return ask.headers.get("authorization") == "Bearer t" or None

    app = facets.serve.app(runtime, expose=[Tally, Room], authenticate=who)
    async with serving(app) as url, Client(url, token="t") as client, Client(url) as nobody:
        for name in ("b", "a"):
            await client.get(Tally, name).add("x")
        assert [name async for name in client.list(Tally)] == ["a", "b"]
        with pytest.raises(NotAuthenticated):
            await nobody.get(Tally, "a").add("x")
        with pytest.raises(NotAllowed):
            await client.get(Tally, "hers").add("x")
        async with client.get("Room", "hall").socket(name="ann") as socket:
            assert await socket.recv() == "welcome ann"


async def test_names_come_in_pages(runtime: LocalRuntime, monkeypatch: Any) -> None:
    monkeypatch.setattr("facets.serve.answering.PAGE", 2)
    app = facets.serve.app(runtime, expose=[Tally], authenticate=lambda _: "me")
    names = ["a", "b&c=d", "é", "z"]
    async with serving(app) as url, Client(url) as client:
        for name in names:
            await client.get(Tally, name).add("x")
        assert [name async for name in client.list("Tally")] == sorted(names)


async def test_a_server_that_is_not_there_is_an_error_that_says_so() -> None:
    async with Client("http://127.0.0.1:1") as client:
        with pytest.raises(ServerLost):
            await client.get("Tally", "a").add("x")


@pytest.mark.parametrize("name", [".", "..", "../x", "a/../b", "%2e%2e", "?", "#", " "])
async def test_no_name_leads_elsewhere(client: Client, runtime: LocalRuntime, name: str) -> None:
    await client.get("Tally", name).add("x")
    assert runtime.list(Tally) == [name]


async def test_plain_code_has_the_same(client: Client) -> None:
    def plain() -> Any:
        with Client(client.url).blocking() as blocking:
            tally = blocking.get("Tally", "a")
            added = [tally.add("x"), tally.add("x", idempotency_key="1"), tally.facet("b").add("x")]
            with pytest.raises(ValueError, match="that is no value"):
                tally.fail("value")
            return added, list(tally.stream("count", 3))

    assert await asyncio.to_thread(plain) == ([1, 2, 1], [0, 1, 2])


async def test_the_span_of_a_client_is_above_its_call(spans: Any, state: Any) -> None:
    async with LocalRuntime(state) as runtime:
        app = facets.serve.app(runtime, expose=[Tally])
        tracer = trace.get_tracer_provider().get_tracer("client")
        async with serving(app) as url, Client(url) as client:
            with tracer.start_as_current_span("client"):
                await client.get("Tally", "a").add("x")
    assert tree(spans) == [("Tally.add", "client"), ("client", "")]
