"""Redirects: each is a new request to be allowed, and credentials do not go astray."""

from __future__ import annotations

import pytest

from facets.egress import Attempt, Request
from facets.egress.errors import EgressDenied
from tests.facets.egress.conftest import Api, Make
from tests.facets.egress.server import Names, Seen, Server, redirect, reply


def leads(server: Server, **steps: str | bytes) -> None:
    """Answer `/name` with a redirect to the location, or with the bytes."""

    def answer(seen: Seen) -> bytes:
        step = steps.get(seen.target.strip("/"), reply())
        return step if isinstance(step, bytes) else redirect(step)

    server.answer = answer


def at(server: Server, path: str, host: str = "api.test") -> str:
    return f"http://{host}:{server.port}{path}"


async def test_a_redirect_is_followed_to_its_end(make: Make, api: Api, server: Server) -> None:
    leads(server, a="/b/", b="../c?x#y", **{"c?x": at(server, "/end", "other.test")})
    answer = await make(api(), api("other.test")).fetch(Request("GET", at(server, "/a")))
    assert [seen.target for seen in server.seen] == ["/a", "/b/", "/c?x", "/end"]
    assert answer.body == b"fine"
    assert answer.url == at(server, "/end", "other.test")


@pytest.mark.parametrize(
    ("status", "method", "becomes", "body"),
    [
        ("301 x", "POST", "GET", b""),
        ("302 x", "POST", "GET", b""),
        ("302 x", "PUT", "PUT", b"body"),
        ("303 x", "PUT", "GET", b""),
        ("303 x", "HEAD", "HEAD", b""),
        ("307 x", "POST", "POST", b"body"),
        ("308 x", "POST", "POST", b"body"),
    ],
)
async def test_method_and_body_go_on_as_the_status_says(
    make: Make, api: Api, server: Server, status: str, method: str, becomes: str, body: bytes
) -> None:
    leads(server, a=redirect("/b", status))
    headers = (("Content-Type", "text/plain"),)
    egress = make(api(methods=["GET", "HEAD", "PUT", "POST"]))
    await egress.fetch(Request(method, at(server, "/a"), headers, b"body"))
    seen = server.seen[-1]
    assert (seen.target, seen.method, seen.body) == ("/b", becomes, body)
    assert seen.all("content-type") == (["text/plain"] if body else [])


DENIED = {
    "host without a rule": ("http://evil.test/", "rule"),
    "method without a rule": ("/post-only", "rule"),
    "metadata by address": ("http://169.254.169.254/latest/meta-data/", "rule"),
    "metadata by name": ("http://metadata.test/", "address"),
    "private by name": ("http://private.test/", "address"),
    "mapped address": ("http://[::ffff:169.254.169.254]/", "rule"),
    "decimal address": ("http://2852039166/", "url"),
    "user information": ("http://api.test@evil.test/", "url"),
    "backslash": ("/\\evil.test/", "url"),
    "file": ("file:///etc/passwd", "url"),
    "javascript": ("javascript:alert(1)", "url"),
}


@pytest.mark.parametrize(("location", "reason"), DENIED.values(), ids=DENIED)
async def test_no_redirect_leads_where_a_request_could_not_go(
    make: Make, api: Api, server: Server, attempts: list[Attempt], location: str, reason: str
) -> None:
    names = Names(
        api_test=[["127.0.0.1"]], metadata_test=[["169.254.169.254"]], private_test=[["10.0.0.1"]]
    )
    rules = (
        api(paths=["/start"]),
        api("metadata.test", port=80),
        api("private.test", port=80, private=False),
        api(methods=["POST"]),
    )
    leads(server, start=location)
    with pytest.raises(EgressDenied) as caught:
        await make(*rules, resolver=names).fetch(Request("GET", at(server, "/start")))
    assert caught.value.reason == reason
    assert len(server.seen) == 1
    assert [(one.hop, one.outcome) for one in attempts] == [(0, "answered"), (1, "denied")]


async def test_redirects_have_an_end(make: Make, api: Api, server: Server) -> None:
    leads(server, a="/a")
    with pytest.raises(EgressDenied) as caught:
        await make(api(), redirects=3).fetch(Request("GET", at(server, "/a")))
    assert caught.value.reason == "redirects"
    assert len(server.seen) == 4


async def test_a_redirect_that_is_not_to_be_followed_is_an_answer(
    make: Make, api: Api, server: Server
) -> None:
    leads(server, a="http://evil.test/")
    request = Request("GET", at(server, "/a"), redirect="manual")
    answer = await make(api()).fetch(request)
    assert (answer.status, answer.header("location")) == (302, "http://evil.test/")


async def test_a_redirect_without_a_location_is_an_answer(
    make: Make, api: Api, server: Server
) -> None:
    leads(server, a=reply(b"", "302 Found"))
    assert (await make(api()).fetch(Request("GET", at(server, "/a")))).status == 302


async def test_credentials_stay_where_they_belong(make: Make, api: Api, server: Server) -> None:
    secret = {"Authorization": "Bearer for-api-only"}
    leads(server, a="/b", b=at(server, "/c", "other.test"), c=at(server, "/d"))
    await make(api(credentials=secret), api("other.test")).fetch(Request("GET", at(server, "/a")))
    assert [len(seen.all("authorization")) for seen in server.seen] == [1, 1, 0, 0]
    assert [seen.target for seen in server.seen] == ["/a", "/b", "/c", "/d"]


async def test_a_stranger_cannot_have_another_hosts_credentials_used(
    make: Make, api: Api, server: Server
) -> None:
    rules = api("other.test"), api(credentials={"X-Key": "for-api-only"}, methods=["GET", "POST"])
    leads(server, a=at(server, "/delete-everything"))
    await make(*rules).fetch(Request("GET", at(server, "/a", "other.test")))
    assert [seen.all("x-key") for seen in server.seen] == [[], []]


async def test_a_guests_own_headers_do_not_go_on_to_another_origin(
    make: Make, api: Api, server: Server
) -> None:
    mine = (
        ("Authorization", "mine"), ("Cookie", "a=b"), ("X-Api-Key", "mine"), ("Accept", "text/*"),
        ("Accept-Language", "de"),
    )  # fmt: skip
    leads(server, a=at(server, "/b", "other.test"))
    await make(api(), api("other.test")).fetch(Request("GET", at(server, "/a"), mine))
    for name in ("authorization", "cookie", "x-api-key"):
        assert [len(seen.all(name)) for seen in server.seen] == [1, 0]
    assert server.seen[1].one("accept") == "text/*"
    assert server.seen[1].one("accept-language") == "de"


async def test_another_port_is_another_origin(make: Make, api: Api, server: Server) -> None:
    async with Server() as second:
        leads(server, a=f"http://api.test:{second.port}/")
        rules = (
            api(credentials={"X-Key": "for-the-first"}),
            api(port=second.port, credentials={"X-Key": "for-the-second"}),
        )
        egress = make(*rules)
        await egress.fetch(Request("GET", at(server, "/a")))
        assert second.seen[0].all("x-key") == []
        await egress.close()


async def test_a_secret_does_not_move_on_in_a_location(
    make: Make, api: Api, server: Server
) -> None:
    leads(server, a=at(server, "/b?key=for-api-only", "other.test"))
    rules = api(credentials={"X-Key": "for-api-only"}), api("other.test")
    await make(*rules).fetch(Request("GET", at(server, "/a")))
    assert server.seen[1].target == "/b?key=************"


async def test_a_location_in_utf8_is_understood(make: Make, api: Api, server: Server) -> None:
    leads(server, a="/ü")
    answer = await make(api()).fetch(Request("GET", at(server, "/a")))
    assert answer.url == at(server, "/%C3%BC")
