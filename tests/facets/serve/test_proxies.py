"""What a host knows of a server that is another process; no Ray is needed for that."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from actors import LocalRuntime
from actors.ray.sockets import GONE, Proxies
from actors.sockets import servers
from actors.sockets.events import Opened
from actors.sockets.servers import SERVERS
from tests.facets.serve.rooms import Room


@pytest.fixture
async def proxies(runtime: LocalRuntime) -> AsyncIterator[Proxies]:
    yield Proxies(runtime.host)
    servers.settling = 0.0


async def enter(runtime: LocalRuntime, key: str) -> None:
    await runtime.tell_socket(Room, "hall", (), Opened(key, "s", None, {"name": key}))


async def test_what_actors_say_comes_with_the_request_that_waits(
    runtime: LocalRuntime, proxies: Proxies
) -> None:
    assert await proxies.attend("s", {}, afresh=False) is None  # a host that does not know it
    assert await proxies.attend("s", {}, afresh=True) == []
    waiting = asyncio.ensure_future(proxies.attend("s", {}, afresh=False))
    await asyncio.sleep(0)
    await enter(runtime, "ann")
    assert await waiting == [("send", "ann", "welcome ann")]

    await runtime.get(Room, "hall").tell("x")
    assert await proxies.attend("s", {"ann": False}, afresh=False) == [("send", "ann", "x")]
    assert await runtime.get(Room, "hall").tell("y") == 0  # the server has said that it closed


async def test_a_host_that_was_started_again_learns_what_is_open(
    runtime: LocalRuntime, proxies: Proxies
) -> None:
    await proxies.attend("s", {}, afresh=True)
    await enter(runtime, "ann")
    await enter(runtime, "bob")
    del SERVERS["s"]
    again: Any = Proxies(runtime.host)
    await again.attend("s", {"ann": True}, afresh=True)
    assert await runtime.get(Room, "hall").tell("x") == 1


async def test_those_who_are_awake_are_told_when_a_server_is_gone(
    runtime: LocalRuntime, proxies: Proxies
) -> None:
    servers.settling = 0.0
    await proxies.attend("s", {}, afresh=True)
    await enter(runtime, "ann")
    hall = runtime.get(Room, "hall")

    proxies._look()  # it was heard just now
    assert await hall.tell("x") == 1
    proxies._known["s"].heard -= GONE + 1
    proxies._look()
    while await hall.rows():
        await asyncio.sleep(0)
    assert (await hall.said())[-1] == "closed ann 1006 the server of this socket ended"
    assert "s" not in SERVERS


async def test_a_server_that_takes_nothing_is_sent_no_more(
    runtime: LocalRuntime, proxies: Proxies, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.ray.sockets._MOST", 100)
    await proxies.attend("s", {}, afresh=True)
    await enter(runtime, "ann")
    hall = runtime.get(Room, "hall")
    assert [await hall.tell("x" * 80), await hall.tell("x" * 80)] == [1, 0]
    assert len(await proxies.attend("s", {}, afresh=False) or ()) == 2
    assert await hall.tell("x" * 80) == 1
