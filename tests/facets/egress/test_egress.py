"""The exit as an isolate's owner wires it: hook, audit, handler, errors."""

from __future__ import annotations

import asyncio
import pickle
import subprocess
import sys

import pytest

from facets import Actor, LocalRuntime
from facets.egress import Attempt, Budget, Egress, Request, Response, Rule
from facets.egress.errors import (
    EgressDenied,
    EgressError,
    EgressFailed,
    EgressTooLarge,
    RequestBudget,
)
from tests.facets.egress.conftest import Api, Make
from tests.facets.egress.server import Names, Server, redirect, reply


def get(server: Server, path: str = "/") -> Request:
    return Request("GET", f"http://api.test:{server.port}{path}")


# -- the hook -----------------------------------------------------------------------------------


async def test_nothing_leaves_before_the_hook_returns(
    make: Make, api: Api, server: Server, names: Names
) -> None:
    asked, durable = asyncio.Event(), asyncio.Event()

    async def before() -> None:
        asked.set()
        await durable.wait()

    signed: list[Request] = []

    def sign(request: Request) -> dict[str, str]:
        signed.append(request)
        return {}

    way = make(api(credentials=sign)).exit(before=before)
    task = asyncio.create_task(way.fetch(get(server)))
    await asked.wait()
    assert (signed, names.asked, server.connections) == ([], [], 0)
    durable.set()
    assert (await task).status == 200
    assert len(signed) == 1


async def test_a_hook_that_raises_keeps_the_request_from_leaving(
    make: Make, api: Api, server: Server, names: Names, attempts: list[Attempt]
) -> None:
    async def before() -> None:
        raise RuntimeError("the journal failed")

    with pytest.raises(RuntimeError):
        await make(api()).exit(before=before).fetch(get(server))
    assert (names.asked, server.connections) == ([], 0)
    assert (attempts[0].outcome, attempts[0].sent) == ("failed", 0)


# -- the audit ----------------------------------------------------------------------------------


async def test_an_answered_request_is_recorded(
    make: Make, api: Api, server: Server, attempts: list[Attempt]
) -> None:
    rule = api()
    await make(rule).exit("alice/tool").fetch(get(server, "/a?key=secret"))
    (one,) = attempts
    assert (one.who, one.method, one.rule, one.hop) == ("alice/tool", "GET", rule.label, 0)
    assert one.url == f"http://api.test:{server.port}/a"
    assert (one.outcome, one.reason, one.status) == ("answered", "", 200)
    assert one.address == "127.0.0.1"
    assert one.sent > len("/a?key=secret")
    assert one.received == len("Content-Length") + 1 + 4 + len("fine")
    assert one.seconds >= 0


async def test_every_attempt_is_recorded_once_whatever_becomes_of_it(
    make: Make, api: Api, server: Server, attempts: list[Attempt]
) -> None:
    server.answer = lambda seen: redirect("http://evil.test/") if seen.target == "/a" else reply()
    way = make(api(response_size=3, paths=["/b"]), api(), budget=Budget(requests=3)).exit()
    for path in ("/a", "/b", "/c", "/d"):
        try:
            await way.fetch(get(server, path))
        except EgressError:
            continue
    with pytest.raises(EgressDenied):
        await way.fetch(Request("GET", "https://me:pw@api.test/?secret"))
    assert [(one.hop, one.outcome, one.status) for one in attempts] == [
        (0, "answered", 302),
        (1, "denied", None),
        (0, "too large", 200),
        (0, "answered", 200),
        (0, "budget", None),
        (0, "denied", None),
    ]
    assert "secret" not in repr(attempts)
    assert "pw" not in repr(attempts[-1].url)


async def test_a_request_whose_record_is_lost_fails(make: Make, api: Api, server: Server) -> None:
    def full(attempt: Attempt) -> None:
        raise OSError("no room for the audit")

    with pytest.raises(OSError, match="no room"):
        await make(api(), audit=full).fetch(get(server))


# -- the handler --------------------------------------------------------------------------------


async def test_a_handler_takes_the_place_of_the_rules(make: Make, attempts: list[Attempt]) -> None:
    async def handler(request: Request) -> Response:
        return Response(201, (("X-Seen", request.url),), request.body)

    request = Request("post", "https://API.test:443/a/../b?q", (("X-A", "b"),), b"body")
    answer = await make(handler=handler).exit("who").fetch(request)
    assert (answer.status, answer.body) == (201, b"body")
    assert answer.header("x-seen") == answer.url == "https://api.test/b?q"
    assert (attempts[0].who, attempts[0].rule, attempts[0].status) == ("who", "handler", 201)


async def test_a_handler_sees_no_request_that_is_not_plain(make: Make) -> None:
    seen: list[Request] = []

    async def handler(request: Request) -> Response:
        seen.append(request)
        return Response(200)

    egress = make(handler=handler)
    for request in (
        Request("GET", "https://a@b.test/"),
        Request("GET", "http://127.1/"),
        Request("GET", "https://b.test/", (("Transfer-Encoding", "chunked"),)),
    ):
        with pytest.raises(EgressDenied):
            await egress.fetch(request)
    assert seen == []


async def test_a_handler_is_bounded_as_rules_are(make: Make) -> None:
    async def handler(request: Request) -> Response:
        if request.url.endswith("/loop"):
            return Response(302, (("Location", "/loop"),))
        return Response(200, body=bytes(11 << 20))

    egress = make(handler=handler, budget=Budget(requests=8))
    with pytest.raises(EgressTooLarge):
        await egress.fetch(Request("GET", "https://b.test/"))
    with pytest.raises(EgressDenied, match="redirects"):
        await egress.fetch(Request("GET", "https://b.test/loop"))
    with pytest.raises(RequestBudget):
        await egress.fetch(Request("GET", "https://b.test/loop"))


async def test_what_a_handler_raises_is_a_refusal_or_a_failure(make: Make) -> None:
    async def handler(request: Request) -> Response:
        raise errors.pop(0)

    errors: list[Exception] = [PermissionError("because of 10.0.0.1"), KeyError("hush")]
    egress = make(handler=handler)
    for expected in (EgressDenied, EgressFailed):
        with pytest.raises(expected) as caught:
            await egress.fetch(Request("GET", "https://b.test/"))
        assert "10.0.0.1" not in str(caught.value)
        assert "hush" not in str(caught.value)
        assert caught.value.__cause__ is not None


def test_a_handler_and_rules_do_not_go_together() -> None:
    async def handler(request: Request) -> Response:
        return Response(200)

    with pytest.raises(ValueError, match="one of them"):
        Egress([Rule("b.test")], handler=handler)


# -- errors and imports -------------------------------------------------------------------------


async def test_errors_survive_pickling(make: Make) -> None:
    with pytest.raises(EgressDenied) as caught:
        await make().fetch(Request("GET", "https://b.test/a?key=secret"))
    copy = pickle.loads(pickle.dumps(caught.value))
    assert type(copy) is EgressDenied
    assert (copy.reason, copy.url, str(copy)) == ("rule", "https://b.test/a", str(caught.value))
    assert isinstance(copy, PermissionError)


def test_a_handler_needs_no_httpx() -> None:
    code = """
import sys, facets.egress as egress
sys.modules["httpx"] = None
async def handler(request): ...
egress.Egress(handler=handler)
try:
    egress.Egress([egress.Rule("a.test")])
except egress.EgressError as error:
    print(error.hint)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "facets-runtime[egress]" in done.stdout


# -- inside an actor ----------------------------------------------------------------------------


class Caller(Actor):
    migrations = ["create table answers(body blob)"]

    async def ask(self, url: str) -> list[bytes]:
        way = EGRESS[0].exit(self.name)
        for answer in await asyncio.gather(*(way.fetch(Request("GET", url)) for _ in range(3))):
            self.sql("insert into answers values (?)", answer.body)
        return [row[0] for row in self.sql("select body from answers")]


EGRESS: list[Egress] = []


async def test_an_actor_may_ask_as_any_coroutine_may(
    make: Make, api: Api, server: Server, runtime: LocalRuntime
) -> None:
    EGRESS[:] = [make(api())]
    assert await runtime.get(Caller, "a").ask(get(server).url) == [b"fine"] * 3
