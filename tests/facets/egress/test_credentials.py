"""Credentials: added by the host, and never seen inside."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facets.egress import Attempt, Request
from facets.egress.errors import EgressFailed
from facets.egress.scrubbing import Scrubber, forms
from tests.facets.egress.conftest import Api, Make
from tests.facets.egress.server import Seen, Server, reply

TOKEN = "hush-hush-a/b"


def at(server: Server, path: str = "/") -> str:
    return f"http://api.test:{server.port}{path}"


async def test_credentials_take_the_place_of_what_a_guest_sets(
    make: Make, api: Api, server: Server
) -> None:
    rule = api(credentials={"Authorization": f"Bearer {TOKEN}", "X-Key": "key"})
    mine = (("authorization", "mine"), ("X_Key", "mine"), ("x-key", "mine"))
    await make(rule).fetch(Request("GET", at(server), mine))
    (seen,) = server.seen
    assert seen.one("authorization") == f"Bearer {TOKEN}"
    assert seen.one("x-key") == "key"
    assert seen.all("x_key") == []


async def test_a_function_may_make_credentials_from_the_request(
    make: Make, api: Api, server: Server
) -> None:
    def sign(request: Request) -> Mapping[str, str]:
        return {"X-Signature": f"{request.method} {request.url} {len(request.body)}"}

    async def fetch_token(request: Request) -> Mapping[str, str]:
        return {"X-Token": "fresh"}

    rules = api(credentials=sign, methods=["POST"]), api(credentials=fetch_token)
    egress = make(*rules)
    await egress.fetch(Request("post", at(server, "/a/../b?q"), body=b"123"))
    await egress.fetch(Request("GET", at(server)))
    assert server.seen[0].one("x-signature") == f"POST {at(server, '/b?q')} 3"
    assert server.seen[1].one("x-token") == "fresh"


async def test_a_function_that_fails_tells_the_guest_nothing(
    make: Make, api: Api, server: Server
) -> None:
    def fail(request: Request) -> Mapping[str, str]:
        raise KeyError("the vault at 10.0.0.1 is sealed")

    with pytest.raises(EgressFailed) as caught:
        await make(api(credentials=fail)).fetch(Request("GET", at(server)))
    assert "vault" not in str(caught.value)
    assert isinstance(caught.value.__cause__, KeyError)
    assert server.connections == 0


@pytest.mark.parametrize("value", ["a\r\nX-Other: b", "a\u010a"])
async def test_credentials_that_are_not_headers_are_not_sent(
    make: Make, api: Api, server: Server, value: str
) -> None:
    rule = api(credentials=lambda request: {"X-Key": value})
    with pytest.raises(EgressFailed, match="credentials"):
        await make(rule).fetch(Request("GET", at(server)))
    assert server.seen == []


async def test_a_server_that_echoes_does_not_give_credentials_away(
    make: Make, api: Api, server: Server, attempts: list[Attempt]
) -> None:
    def echo(seen: Seen) -> bytes:
        sent = seen.one("authorization")
        quoted = "hush-hush-a%2Fb"
        return reply(f"<{sent}> {sent[7:]} {quoted}".encode(), "200 OK", f"X-Echo: {sent}")

    server.answer = echo
    rule = api(credentials={"Authorization": f"Bearer {TOKEN}"})
    answer = await make(rule).fetch(Request("GET", at(server)))
    stars = "*" * len(TOKEN)
    assert answer.body.decode() == f"<*******{stars}> {stars} **{stars}"
    assert answer.header("x-echo") == f"*******{stars}"
    assert TOKEN not in repr(attempts)


async def test_a_cookie_set_in_answer_to_credentials_stays_outside(
    make: Make, api: Api, server: Server
) -> None:
    server.answer = lambda seen: reply(b"", "200 OK", "Set-Cookie: session=1", "X-A: b")
    answer = await make(api(credentials={"X-Key": "short"})).fetch(Request("GET", at(server)))
    assert answer.header("set-cookie") is None
    assert answer.header("x-a") == "b"


@settings(deadline=None)
@given(
    st.lists(
        st.sampled_from([b"a", b"sec", b"secret-1", b"ret-1", b"-", b"Bearer ", b"secret-12"])
    ),
    st.integers(1, 9),
)
def test_a_secret_is_found_however_the_body_is_cut(parts: list[bytes], cut: int) -> None:
    body = b"".join(parts)
    scrubber = Scrubber(forms(["Bearer secret-1"]))
    pieces = [scrubber.feed(body[start : start + cut]) for start in range(0, len(body), cut)]
    clean = b"".join([*pieces, scrubber.rest()])
    assert len(clean) == len(body)
    assert clean == body.replace(b"Bearer secret-1", b"*" * 15).replace(b"secret-1", b"*" * 8)


def test_short_values_are_left_alone() -> None:
    assert forms(["1", "Token abc", ""]) == {b"Token abc", b"Token%20abc"}
