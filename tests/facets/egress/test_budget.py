"""Budgets: each has its own error, and what is refused was not sent."""

from __future__ import annotations

import asyncio

import pytest

from facets.egress import Attempt, Budget, Request
from facets.egress.budget import Account
from facets.egress.errors import (
    ConcurrentBudget,
    ReceivedBudget,
    RequestBudget,
    SentBudget,
    TimeBudget,
)
from tests.facets.egress.conftest import Api, Make
from tests.facets.egress.server import Seen, Server, redirect, reply


def get(server: Server, path: str = "/", body: bytes = b"") -> Request:
    return Request("GET", f"http://api.test:{server.port}{path}", body=body)


async def test_requests_are_counted_with_their_redirects(
    make: Make, api: Api, server: Server
) -> None:
    server.answer = lambda seen: redirect("/b") if seen.target == "/a" else reply()
    way = make(api(), budget=Budget(requests=3)).exit()
    await way.fetch(get(server, "/a"))
    await way.fetch(get(server, "/b"))
    with pytest.raises(RequestBudget) as caught:
        await way.fetch(get(server, "/b"))
    assert caught.value.limit == 3
    assert len(server.seen) == 3


@pytest.mark.parametrize("where", ["body", "url", "header"])
async def test_bytes_out_are_counted_wherever_they_stand(
    make: Make, api: Api, server: Server, where: str
) -> None:
    way = make(api(), budget=Budget(sent=3000)).exit()
    large = "a" * 2000
    url = f"http://api.test:{server.port}/"
    request = {
        "body": Request("GET", url, body=large.encode()),
        "url": Request("GET", f"{url}?{large}"),
        "header": Request("GET", url, (("X-Large", large),)),
    }[where]
    await way.fetch(request)
    with pytest.raises(SentBudget):
        await way.fetch(request)
    assert len(server.seen) == 1
    await way.fetch(get(server))


async def test_bytes_in_are_counted_and_cut_off(make: Make, api: Api, server: Server) -> None:
    server.answer = lambda seen: reply(b"a" * 2000)
    way = make(api(), budget=Budget(received=3000)).exit()
    await way.fetch(get(server))
    with pytest.raises(ReceivedBudget):
        await way.fetch(get(server))
    with pytest.raises(ReceivedBudget):
        await way.fetch(get(server))
    assert len(server.seen) == 2


async def test_headers_in_are_counted_too(make: Make, api: Api, server: Server) -> None:
    server.answer = lambda seen: reply(b"", "200 OK", "X: " + "a" * 2000)
    with pytest.raises(ReceivedBudget):
        await make(api(), budget=Budget(received=1000)).exit().fetch(get(server))
    await server.closed.wait()


async def test_time_is_counted_and_cut_off(make: Make, api: Api, server: Server) -> None:
    server.answer = lambda seen: None
    way = make(api(), budget=Budget(seconds=0.5)).exit()
    for _ in range(2):
        with pytest.raises(TimeBudget):
            await way.fetch(get(server))
    assert len(server.seen) == 1


def test_the_time_that_is_left_is_what_requests_have_not_used() -> None:
    account = Account(Budget(seconds=10))
    for seconds in (4, 5.5):
        account.begin("url", 1)
        account.end(seconds)
    assert account.seconds_left == 0.5
    account.begin("url", 1)
    account.end(1)
    with pytest.raises(TimeBudget):
        account.begin("url", 1)


async def test_one_request_too_many_at_once_is_refused_and_fits_later(
    make: Make, api: Api, server: Server
) -> None:
    arrived = asyncio.Event()
    way = make(api(), budget=Budget(concurrent=2)).exit()

    def answer(seen: Seen) -> bytes:
        if len(server.seen) == 2:
            arrived.set()
        return b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n"

    server.answer = answer
    streams = [await way.open(get(server)) for _ in range(2)]
    await arrived.wait()
    with pytest.raises(ConcurrentBudget):
        await way.fetch(get(server))
    await streams[0].aclose()
    await streams[0].aclose()
    streams.append(await way.open(get(server)))
    with pytest.raises(ConcurrentBudget):
        await way.fetch(get(server))
    for stream in streams:
        await stream.aclose()


async def test_whatever_ends_a_request_gives_its_place_back(
    make: Make, api: Api, server: Server, attempts: list[Attempt]
) -> None:
    way = make(api(), budget=Budget(concurrent=1)).exit()
    damaged = "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nno"
    bad = [b"", b"nonsense\r\n\r\n", damaged.encode()]
    for answer in bad:

        def once(seen: Seen, answer: bytes = answer) -> bytes:
            asyncio.get_running_loop().call_soon(server.hang_up)
            return answer

        server.answer = once
        with pytest.raises(ConnectionError):
            await way.fetch(get(server))
    server.answer = lambda seen: reply()
    assert (await way.fetch(get(server))).status == 200
    assert [one.outcome for one in attempts] == ["failed", "failed", "failed", "answered"]


async def test_each_exit_has_a_budget_of_its_own(make: Make, api: Api, server: Server) -> None:
    egress = make(api(), budget=Budget(requests=1))
    for _ in range(2):
        way = egress.exit()
        await way.fetch(get(server))
        with pytest.raises(RequestBudget):
            await way.fetch(get(server))


def test_a_budget_of_nothing_is_an_error() -> None:
    for name in ("requests", "sent", "received", "seconds", "concurrent"):
        with pytest.raises(ValueError, match=name):
            Budget(**{name: 0})
