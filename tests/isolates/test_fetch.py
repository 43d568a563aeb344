"""Requests of code in an isolate: by `fetch`, `urllib`, `http.client` and `httpx`, one way out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from facets import Actor, Egress, LocalRuntime
from facets.egress import Attempt, Budget, Request, Response, Rule
from facets.errors import EgressDenied, EgressFailed, EgressTimeout, GuestError, RequestBudget
from facets.isolates import image
from tests.facets.egress.conftest import Api, Make
from tests.facets.egress.conftest import api as api
from tests.facets.egress.conftest import attempts as attempts
from tests.facets.egress.conftest import make as make
from tests.facets.egress.conftest import names as names
from tests.facets.egress.conftest import server as server
from tests.facets.egress.server import Names, Seen, Server, redirect, reply

Run = Callable[..., Awaitable[Any]]

TOOL = """
import asyncio, http.client, httpx, json, urllib.error, urllib.request
import facets
from facets import fetch

def told(error):
    kinds = [cls.__name__ for cls in type(error).__mro__]
    return {"kinds": kinds, "text": str(error), "hint": getattr(error, "hint", "")}

async def get(url, **options):
    response = await fetch(url, **options)
    return [response.status, response.ok, response.text(), response.url]

async def tried(url, **options):
    try: return await get(url, **options)
    except Exception as error: return told(error)

async def headers(url):
    found = (await fetch(url)).headers
    return [found["CONTENT-type"], found.all("x-two"), found["x-two"], dict(found), len(found)]

async def status(url):
    response = await fetch(url)
    try: response.raise_for_status()
    except facets.errors.StatusError as error: return [error.status, error.url]
    return response.json()

async def pieces(url):
    async with fetch.stream(url) as response:
        return [response.status, [piece async for piece in response]]

async def first_piece(url):
    async with fetch.stream(url) as response:
        async for piece in response:
            return piece

async def late(url):
    try:
        async with asyncio.timeout(0.05): await fetch(url)
    except TimeoutError: return "late"

async def gathered(url, n):
    return [one.status for one in await asyncio.gather(*[fetch(f"{url}?{i}") for i in range(n)])]

async def opened(url, data=None, headers={}, method=None):
    request = urllib.request.Request(url, data, headers, method=method)
    with urllib.request.urlopen(request) as response:
        return [response.status, response.read(), response.url, dict(response.headers)]

async def open_tried(url, **options):
    try: return await opened(url, **options)
    except urllib.error.HTTPError as error: return [error.code, error.read()]
    except urllib.error.URLError as error: return [type(error).__name__, told(error.reason)]

async def kept(host, port):
    connection = http.client.HTTPConnection(host, port)
    answers = []
    for i in range(2):
        connection.request("GET", f"/{i}")
        response = connection.getresponse()
        answers.append([response.status, response.read()])
    connection.putrequest("POST", "/slow")
    connection.putheader("Content-Length", "4")
    connection.endheaders()
    connection.send(b"ab")
    connection.send(b"cd")
    answers.append([connection.getresponse().read()])
    connection.request("PUT", "/chunks", body=iter([b"one", b"two"]), encode_chunked=True)
    answers.append([connection.getresponse().read()])
    return answers

async def https(host, port):
    http.client.HTTPSConnection(host, port).request("GET", "/")

async def client(url):
    with httpx.Client(base_url=url, headers={"X-A": "1"}, timeout=3) as client:
        a = client.get("/a", params={"q": "x y", "r": [1, 2]}).raise_for_status()
        b = client.post("b?k=1", json={"n": 1}, headers={"x-a": "2"})
        c = client.put("/c", data={"f": "1 2"})
        d = client.patch("/d", content=b"raw")
        e = client.delete("/e")
        f = client.head("/f")
    try: client.get("/")
    except RuntimeError as error: closed = str(error)
    return [[r.status_code, r.is_success, r.text] for r in (a, b, c, d, e, f)], closed

async def one(url, **options):
    r = httpx.get(url, **options)
    return [r.status_code, r.reason_phrase, r.content, r.headers.get("X-B"), r.url]

async def one_tried(url, **options):
    try:
        return httpx.get(url, **options).raise_for_status().text
    except httpx.HTTPError as error:
        return [told(error), told(error.__cause__) if error.__cause__ else None]

async def both(url):
    async with httpx.AsyncClient() as client:
        posted = client.request("POST", url + "2", json=[])
        got = await asyncio.gather(client.get(url + "1"), posted)
    return [one.json() for one in got]

async def wrong(method):
    from isolate.web import Reply, _own
    return await Reply(_own, method, ["GET"], {})

async def seen():
    from isolate.web import _own
    return [repr(_own), sorted(vars(facets)), dir(_own)]
"""


class Lead(Actor, kind="FetchLead"):
    async def run(self, entry: str, egress: int | None, args: Any, kwargs: Any) -> Any:
        way = None if egress is None else WAYS[egress]
        return await self.isolates.run(TOOL, *args, entry=entry, egress=way, **kwargs)


WAYS: dict[int, Egress] = {}


@pytest.fixture
async def run(guest: image.Image, state: Path) -> AsyncIterator[Run]:
    """`await run(egress, "entry", ...)` calls a function of the tool in a sandbox of its own."""
    async with LocalRuntime(state) as runtime:

        async def run(egress: Egress | None, entry: str, *args: Any, **kwargs: Any) -> Any:
            if egress is not None:
                WAYS[id(egress)] = egress
            found = None if egress is None else id(egress)
            return await runtime.get(Lead, "a").run(entry, found, args, kwargs)

        yield run
    WAYS.clear()


@pytest.fixture
def url(server: Server) -> str:
    return f"http://api.test:{server.port}/"


def echo(seen: Seen) -> bytes:
    return reply(json.dumps([seen.method, seen.target, seen.body.decode()]).encode())


async def test_what_a_rule_allows_is_answered(
    run: Run, make: Make, api: Api, server: Server, url: str
) -> None:
    server.answer = echo
    egress = make(api(methods=["GET", "POST"]))

    assert await run(egress, "get", url + "x?q=1") == [
        200, True, '["GET", "/x?q=1", ""]', url + "x?q=1",
    ]  # fmt: skip
    await run(egress, "get", url, method="post", json={"a": [1]}, headers={"X-A": "b"})
    await run(egress, "get", url, method="POST", body="text", headers=[["X-A", "b"], ["x-a", "c"]])

    assert [server.seen[1].body, server.seen[1].one("content-type")] == [
        b'{"a": [1]}', "application/json",
    ]  # fmt: skip
    assert [server.seen[2].body, server.seen[2].all("x-a")] == [b"text", ["b", "c"]]


async def test_without_an_egress_there_is_no_way_out(run: Run, url: str, server: Server) -> None:
    said = await run(None, "tried", url)
    assert "EgressDenied" in said["kinds"]
    assert "PermissionError" in said["kinds"]
    assert "egress=" in said["hint"]

    with pytest.raises(PermissionError, match="no egress"):
        await run(None, "get", url)
    kind, reason = await run(None, "open_tried", url)
    assert (kind, reason["kinds"][0]) == ("URLError", "EgressDenied")
    with pytest.raises(PermissionError, match="no egress"):
        await run(None, "first_piece", url)
    assert server.connections == 0


async def test_what_no_rule_allows_is_denied_inside_by_name(
    run: Run, make: Make, api: Api, server: Server, url: str, attempts: list[Attempt]
) -> None:
    egress = make(api())

    said = await run(egress, "tried", url, method="DELETE")
    assert said["kinds"][0] == "EgressDenied"
    with pytest.raises(EgressDenied, match="no rule names this host") as caught:
        await run(egress, "get", "http://elsewhere.test/")

    assert isinstance(caught.value, GuestError)
    assert caught.value.reason == "rule"
    assert server.connections == 0
    assert [one.outcome for one in attempts] == ["denied", "denied"]
    assert attempts[0].who.startswith("FetchLead:a: isolate ")
    assert attempts[0].who.endswith(".tried")


@pytest.mark.parametrize("entry", ["tried", "open_tried", "one_tried"])
async def test_a_redirect_to_an_address_that_no_rule_opens_is_denied(
    run: Run, make: Make, api: Api, server: Server, url: str, names: Names, entry: str
) -> None:
    inner = f"http://inner.test:{server.port}/"
    names.answers["inner.test"] = [["127.0.0.3"]]
    server.answer = lambda seen: redirect(inner)
    egress = make(api(), Rule("inner.test", scheme="http", port=server.port))
    options = {"follow_redirects": True} if entry == "one_tried" else {}

    said = str(await run(egress, entry, url, **options))

    assert "EgressDenied" in said
    assert "leads to a loopback address" in said
    assert len(server.seen) == 1


async def test_credentials_are_added_outside_and_are_never_seen_inside(
    run: Run, make: Make, api: Api, server: Server, url: str
) -> None:
    secret = "Bearer 0123456789abcdef"
    server.answer = lambda seen: reply(
        seen.one("authorization").encode(), "200 OK", f"X-Echo: {seen.one('authorization')}",
        "Set-Cookie: a=b", f"Location: /{seen.one('authorization')[7:]}",
    )  # fmt: skip
    egress = make(api(credentials={"Authorization": secret}))

    said = [
        await run(egress, "get", url, headers={"Authorization": "mine"}),
        await run(egress, "opened", url, headers={"Authorization": "mine"}),
        await run(egress, "one", url),
        await run(egress, "pieces", url),
        await run(egress, "seen"),
    ]

    assert {seen.one("authorization") for seen in server.seen} == {secret}
    assert secret[7:] not in str(said)
    assert "a=b" not in str(said)


async def test_a_budget_is_for_each_sandbox(
    run: Run, make: Make, api: Api, server: Server, url: str
) -> None:
    egress = make(api(), budget=Budget(requests=3))

    assert await run(egress, "gathered", url, 3) == [200] * 3
    with pytest.raises(RequestBudget):
        await run(egress, "gathered", url, 4)


@pytest.mark.parametrize("entry", ["tried", "open_tried", "one_tried"])
async def test_an_answer_over_the_limit_of_its_rule_is_an_error(
    run: Run, make: Make, api: Api, server: Server, url: str, entry: str
) -> None:
    server.answer = lambda seen: reply(bytes(2000))
    egress = make(api(response_size=1000))

    if entry == "open_tried":  # no OSError: `urlopen` lets it through
        with pytest.raises(GuestError, match="larger than 1000 bytes"):
            await run(egress, entry, url)
    else:
        assert "EgressTooLarge" in str(await run(egress, entry, url))


async def test_a_body_may_be_read_as_it_comes(
    run: Run, make: Make, api: Api, server: Server, url: str
) -> None:
    server.answer = lambda seen: reply(bytes(range(256)) * 2000)
    egress = make(api())

    status, pieces = await run(egress, "pieces", url)

    assert status == 200
    assert b"".join(pieces) == bytes(range(256)) * 2000
    assert len(pieces) > 1


async def test_leaving_a_stream_closes_its_connection(
    run: Run, make: Make, api: Api, server: Server, url: str, attempts: list[Attempt]
) -> None:
    server.answer = lambda seen: reply(b"x" * 100) [:-50]  # fmt: skip
    egress = make(api())

    assert await run(egress, "first_piece", url) == b"x" * 50

    async with asyncio.timeout(10):
        await server.closed.wait()
    assert len(attempts) == 1


async def test_headers_are_found_in_any_case_and_keep_their_repetitions(
    run: Run, make: Make, api: Api, server: Server, url: str
) -> None:
    server.answer = lambda seen: reply(b"", "200 OK", "Content-Type: a/b", "X-Two: 1", "x-two: 2")
    said = await run(make(api()), "headers", url)
    found = {"content-length": "0", "content-type": "a/b", "x-two": "1, 2"}
    assert said == ["a/b", ["1", "2"], "1, 2", found, 3]


async def test_text_is_decoded_as_its_type_says(
    run: Run, make: Make, api: Api, server: Server, url: str
) -> None:
    answers = iter([
        reply(b"\xe4", "200 OK", "Content-Type: text/plain; charset=latin-1"),
        reply(b"\xc3\xa4\xff", "200 OK", "Content-Type: text/plain; charset=nothing"),
    ])  # fmt: skip
    server.answer = lambda seen: next(answers)
    assert (await run(make(api()), "get", url))[2] == "ä"
    assert (await run(make(api()), "get", url))[2] == "ä\ufffd"


async def test_a_status_is_an_answer_until_it_is_asked_to_raise(
    run: Run, make: Make, api: Api, server: Server, url: str
) -> None:
    server.answer = lambda seen: reply(b'{"a": 1}', "404 Not Found")
    egress = make(api())
    assert await run(egress, "status", url + "x?secret=1") == [404, url + "x"]
    assert (await run(egress, "get", url))[:2] == [404, False]
    assert await run(egress, "open_tried", url) == [404, b'{"a": 1}']
    assert "HTTPStatusError" in str(await run(egress, "one_tried", url))
    server.answer = lambda seen: reply(b'{"a": 1}')
    assert await run(egress, "status", url) == {"a": 1}


async def test_no_answer_in_time_is_a_timeout_by_name(
    run: Run, make: Make, api: Api, server: Server, url: str
) -> None:
    server.answer = lambda seen: None
    egress = make(api())

    with pytest.raises(EgressTimeout, match=r"took more than 0\.05 s") as caught:
        await run(egress, "get", url, timeout=0.05)
    assert isinstance(caught.value, TimeoutError)
    assert "TimeoutException" in str(await run(egress, "one_tried", url, timeout=0.05))
    assert await run(egress, "late", url) == "late"


@pytest.mark.parametrize("timeout", [0, -1, "1", float("nan"), True])
async def test_a_timeout_is_a_positive_number(
    run: Run, make: Make, api: Api, server: Server, url: str, timeout: Any
) -> None:
    with pytest.raises(ValueError, match="positive number"):
        await run(make(api()), "get", url, timeout=timeout)
    assert server.connections == 0


async def test_a_timeout_of_any_length_is_a_timeout(
    run: Run, make: Make, api: Api, url: str
) -> None:
    assert (await run(make(api()), "get", url, timeout=10**400))[0] == 200


async def test_a_broken_connection_is_a_failure_by_name(
    run: Run, make: Make, api: Api, server: Server, url: str
) -> None:
    server.answer = lambda seen: b"not HTTP\r\n\r\n"
    egress = make(api())
    with pytest.raises(EgressFailed) as caught:
        await run(egress, "get", url)
    assert isinstance(caught.value, ConnectionError)
    kind, reason = await run(egress, "open_tried", url)
    assert (kind, reason["kinds"][0]) == ("URLError", "EgressFailed")


@pytest.mark.parametrize(
    "headers",
    [
        {"Transfer-Encoding": "chunked"},
        {"Content-Length": "5"},
        {"Connection": "X-A"},
        {"Host": "inner.test"},
        {"X-A": "1\r\nX-B: 2"},
        {"X-A\r\nX-B": "1"},
        {"X-A: 1": "1"},
        {"X_HTTP_METHOD_OVERRIDE": "DELETE"},
        {"Upgrade": "h2c"},
        {"X-A": "\ud800"},
    ],
)
async def test_headers_that_would_smuggle_another_request_are_refused(
    run: Run, make: Make, api: Api, server: Server, url: str, headers: dict[str, str]
) -> None:
    said = await run(make(api()), "tried", url, headers=headers)
    assert said["kinds"][0] == "EgressDenied"
    assert server.connections == 0


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"method": "GET / HTTP/1.1\r\nX: "}, PermissionError),
        ({"redirect": "sideways"}, ValueError),
        ({"headers": {"a": 1}, "json": {1: 2}, "body": "x"}, TypeError),
    ],
)
async def test_a_request_that_makes_no_sense_is_refused(
    run: Run, make: Make, api: Api, server: Server, url: str, wrong: Any, error: type[Exception]
) -> None:
    with pytest.raises(error):
        await run(make(api()), "get", url, **wrong)
    assert server.connections == 0


async def test_the_runtime_offers_nothing_besides(run: Run, make: Make, api: Api) -> None:
    with pytest.raises(AttributeError, match="not open to callers"):
        await run(make(api()), "wrong", "exit")
    with pytest.raises(TypeError, match="missing"):
        await run(make(api()), "wrong", "fetch")


async def test_what_fails_on_the_side_of_the_host_is_not_told_inside(
    run: Run, make: Make, api: Api, url: str
) -> None:
    reported: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, said: reported.append(said))

    def lose(attempt: Attempt) -> None:
        raise ZeroDivisionError("the password of the audit is 1234")

    said = await run(make(api(), audit=lose), "tried", url)

    assert said["kinds"][0] == "EgressFailed"
    assert "1234" not in str(said)
    assert [str(one["exception"]) for one in reported] == ["the password of the audit is 1234"]


async def test_a_handler_may_take_the_place_of_the_network(run: Run, make: Make) -> None:
    async def handler(request: Request) -> Response:
        if "no" in request.url:
            raise PermissionError
        headers = (("X-A", "1\r\nX-B: 2"), ("Content-Length", "99"))
        return Response(299, headers, request.body or b"made")

    egress = make(handler=handler)
    assert (await run(egress, "get", "https://any.test/"))[:3] == [299, True, "made"]
    status, body, _, found = await run(egress, "opened", "https://any.test/", data=b"sent")
    assert (status, body) == (299, b"sent")
    assert (found["X-A"], found["Content-Length"]) == ("1 X-B: 2", "4")
    assert "EgressDenied" in str(await run(egress, "open_tried", "https://no.test/"))


async def test_urllib_goes_through_the_egress_and_follows_redirects_by_itself(
    run: Run, make: Make, api: Api, server: Server, url: str
) -> None:
    server.answer = lambda seen: redirect("/b?c=1") if seen.target == "/a" else echo(seen)
    egress = make(api(methods=["GET", "POST"]))

    status, body, where, _ = await run(egress, "opened", url + "a", headers={"X-A": "1"})
    assert (status, json.loads(body), where) == (200, ["GET", "/b?c=1", ""], url + "b?c=1")
    assert [seen.one("x-a") for seen in server.seen] == ["1", "1"]
    assert json.loads((await run(egress, "opened", url, data=b"n=1"))[1]) == ["POST", "/", "n=1"]
    assert server.seen[-1].one("content-type") == "application/x-www-form-urlencoded"


async def test_a_connection_of_http_client_is_used_again_and_sends_bodies_of_all_sorts(
    run: Run, make: Make, api: Api, server: Server, url: str
) -> None:
    server.answer = echo
    egress = make(api(methods=["GET", "POST", "PUT"]))

    answers = await run(egress, "kept", "api.test", server.port)

    assert answers == [
        [200, b'["GET", "/0", ""]'],
        [200, b'["GET", "/1", ""]'],
        [b'["POST", "/slow", "abcd"]'],
        [b'["PUT", "/chunks", "onetwo"]'],
    ]


async def test_https_is_spoken_by_the_host(run: Run, make: Make, attempts: list[Attempt]) -> None:
    with pytest.raises(PermissionError, match="no rule names this host"):
        await run(make(), "https", "api.test", 443)
    assert [one.url for one in attempts] == ["https://api.test/"]


async def test_a_client_of_httpx_has_its_methods_and_defaults(
    run: Run, make: Make, api: Api, server: Server, url: str
) -> None:
    server.answer = lambda seen: reply(b"" if seen.method == "HEAD" else seen.method.encode())
    egress = make(api(methods=["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"]))

    answers, closed = await run(egress, "client", url + "v1/")

    said = ["GET", "POST", "PUT", "PATCH", "DELETE", ""]
    assert answers == [[200, True, text] for text in said]
    assert "closed" in closed
    assert [(seen.target, seen.body) for seen in server.seen] == [
        ("/v1/a?q=x+y&r=1&r=2", b""),
        ("/v1/b?k=1", b'{"n": 1}'),
        ("/v1/c", b"f=1+2"),
        ("/v1/d", b"raw"),
        ("/v1/e", b""),
        ("/v1/f", b""),
    ]
    assert [seen.all("x-a") for seen in server.seen[:2]] == [["1"], ["2"]]


async def test_httpx_follows_redirects_only_if_it_is_told_to(
    run: Run, make: Make, api: Api, server: Server, url: str
) -> None:
    server.answer = lambda seen: (
        redirect("/b") if seen.target == "/" else reply(b"", "204 No Content")
    )
    egress = make(api())
    assert (await run(egress, "one", url))[:2] == [302, "Found"]
    said = await run(egress, "one", url, follow_redirects=True)
    assert (said[:2], said[4]) == ([204, "No Content"], url + "b")


async def test_an_asynchronous_client_waits_for_several_at_once(
    run: Run, make: Make, api: Api, server: Server, url: str
) -> None:
    server.answer = echo
    egress = make(api(methods=["GET", "POST"]))
    assert await run(egress, "both", url) == [["GET", "/1", ""], ["POST", "/2", "[]"]]


async def test_errors_of_httpx_say_what_they_were(
    run: Run, make: Make, api: Api, server: Server
) -> None:
    error, cause = await run(make(api()), "one_tried", "http://elsewhere.test/")
    assert error["kinds"][:4] == ["ConnectError", "TransportError", "RequestError", "HTTPError"]
    assert cause["kinds"][0] == "EgressDenied"
