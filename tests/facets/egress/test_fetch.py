"""Requests over the network: what goes out, what comes back, and to which address."""

from __future__ import annotations

import asyncio
import gzip
import ssl
from pathlib import Path

import pytest
import trustme

from facets.egress import Attempt, Egress, Request, Response, Rule, Timeouts
from facets.egress.errors import EgressDenied, EgressFailed, EgressTimeout, EgressTooLarge
from facets.egress.messages import Headers
from tests.facets.egress.conftest import Api, Make
from tests.facets.egress.server import Names, Seen, Server, reply


def at(server: Server, path: str = "/", host: str = "api.test") -> str:
    return f"http://{host}:{server.port}{path}"


# -- out and back -------------------------------------------------------------------------------


async def test_a_request_arrives_as_it_was_made(make: Make, api: Api, server: Server) -> None:
    egress = make(api(methods=["POST"]))
    request = Request(
        "post", at(server, "/a%20b/ü?x=1&y=ü#z"), (("X-One", "1"), ("X-Two", "2")), b"\0body"
    )
    answer = await egress.fetch(request)
    (seen,) = server.seen
    assert (seen.method, seen.target) == ("POST", "/a%20b/%C3%BC?x=1&y=%C3%BC")
    assert seen.body == b"\0body"
    assert (seen.one("x-one"), seen.one("x-two")) == ("1", "2")
    assert seen.one("host") == f"api.test:{server.port}"
    assert seen.one("content-length") == "5"
    assert answer.status == 200
    assert answer.body == b"fine"
    assert answer.url == at(server, "/a%20b/%C3%BC?x=1&y=%C3%BC")


async def test_repeated_headers_come_back_in_order_and_those_of_the_connection_do_not(
    make: Make, api: Api, server: Server
) -> None:
    lines = ("X-A: 1", "X-B: 2", "X-A: 3", "Connection: close", "Keep-Alive: 5", "Upgrade: x")
    server.answer = lambda seen: reply(b"", "404 Not Found", *lines)
    answer = await make(api()).fetch(Request("GET", at(server)))
    assert answer.status == 404
    assert answer.headers == (("Content-Length", "0"), ("X-A", "1"), ("X-B", "2"), ("X-A", "3"))


async def test_nothing_of_the_environment_takes_part(
    make: Make, api: Api, server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    netrc = tmp_path / "netrc"
    netrc.write_text("machine api.test login me password secret")
    monkeypatch.setenv("NETRC", str(netrc))
    await make(api()).fetch(Request("GET", at(server)))
    assert server.seen[0].all("authorization") == []


async def test_cookies_are_shared_with_nobody(make: Make, api: Api, server: Server) -> None:
    server.answer = lambda seen: reply(b"", "200 OK", "Set-Cookie: a=b")
    egress = make(api())
    answer = await egress.fetch(Request("GET", at(server)))
    await egress.fetch(Request("GET", at(server)))
    assert answer.header("set-cookie") == "a=b"
    assert server.seen[1].all("cookie") == []


async def test_a_connection_is_used_again_by_the_same_rule_only(
    make: Make, api: Api, server: Server
) -> None:
    egress = make(api(paths=["/a"]), api())
    for path in ("/a", "/a", "/b"):
        await egress.fetch(Request("GET", at(server, path)))
    assert [seen.connection for seen in server.seen] == [1, 1, 2]


async def test_idle_connections_are_closed(
    make: Make, api: Api, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("facets.egress.connections.KEEP", 0.0)
    egress = make(api())
    for count in (1, 2):
        await egress.fetch(Request("GET", at(server)))
        await server.closed.wait()
        server.closed.clear()
        assert server.connections == count


async def test_a_closed_egress_opens_again(make: Make, api: Api, server: Server) -> None:
    egress = make(api())
    for _ in range(2):
        async with egress:
            await egress.fetch(Request("GET", at(server)))
    assert [seen.connection for seen in server.seen] == [1, 2]


def test_an_egress_serves_one_loop_after_another(names: Names) -> None:
    async def fetch(egress: Egress | None, port: int) -> tuple[Egress, int]:
        async with Server(port=port) as server:
            rule = Rule("api.test", scheme="http", private=True, port=server.port)
            egress = egress or Egress([rule], resolver=names)
            assert (await egress.fetch(Request("GET", at(server)))).status == 200
            await egress.close()
            return egress, server.port

    egress, port = asyncio.run(fetch(None, 0))
    asyncio.run(fetch(egress, port))


# -- addresses ----------------------------------------------------------------------------------


async def test_a_name_that_leads_to_a_private_address_is_refused_without_a_connection(
    make: Make, api: Api, server: Server, attempts: list[Attempt]
) -> None:
    with pytest.raises(EgressDenied) as caught:
        await make(api(private=False)).fetch(Request("GET", at(server)))
    assert caught.value.reason == "address"
    assert "127.0.0.1" not in str(caught.value)
    assert server.connections == 0
    assert (attempts[0].address, attempts[0].sent) == ("127.0.0.1", 0)


async def test_one_bad_address_among_good_ones_refuses_the_name(
    make: Make, api: Api, server: Server, names: Names
) -> None:
    names.answers["api.test"] = [["127.0.0.1", "169.254.169.254"]]
    with pytest.raises(EgressDenied, match="metadata"):
        await make(api()).fetch(Request("GET", at(server)))
    assert server.connections == 0


async def test_a_resolver_that_changes_its_answer_changes_nothing(
    make: Make, api: Api, server: Server
) -> None:
    rebinding = Names(api_test=[["127.0.0.1"], ["169.254.169.254"]])
    egress = make(api(), resolver=rebinding)
    await egress.fetch(Request("GET", at(server)))
    assert rebinding.asked == ["api.test"]
    await egress.fetch(Request("GET", at(server)))
    assert [seen.connection for seen in server.seen] == [1, 1]
    await egress.close()
    with pytest.raises(EgressDenied, match="metadata"):
        await egress.fetch(Request("GET", at(server)))
    assert len(server.seen) == 2


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[64:ff9b::7f00:1]"]
)
async def test_an_address_in_the_url_is_checked_as_one_behind_a_name(
    make: Make, server: Server, host: str, names: Names
) -> None:
    egress = make(Rule("*", scheme="http", port=server.port))
    with pytest.raises(EgressDenied) as caught:
        await egress.fetch(Request("GET", at(server, host=host)))
    assert caught.value.reason == "address"
    assert names.asked == []
    assert server.connections == 0


async def test_a_metadata_address_is_reached_by_no_name(make: Make, names: Names) -> None:
    names.answers["api.test"] = [["169.254.169.254"]]
    egress = make(Rule("api.test", scheme="http", private=True))
    with pytest.raises(EgressDenied, match="metadata"):
        await egress.fetch(Request("GET", "http://api.test/latest/meta-data"))


async def test_the_next_address_is_tried_where_one_does_not_answer(
    make: Make, api: Api, server: Server, names: Names, attempts: list[Attempt]
) -> None:
    names.answers["api.test"] = [["::1", "127.0.0.3"]]  # the server listens on IPv4
    await make(api()).fetch(Request("GET", at(server)))
    assert attempts[0].address == "127.0.0.3"


async def test_a_denied_host_is_not_even_looked_up(make: Make, api: Api, names: Names) -> None:
    with pytest.raises(EgressDenied):
        await make(api()).fetch(Request("GET", "http://data-as-a-label.evil.test/"))
    assert names.asked == []


async def test_a_name_that_does_not_resolve_is_a_failure(
    make: Make, api: Api, server: Server
) -> None:
    with pytest.raises(EgressFailed):
        await make(api(host="*.test")).fetch(Request("GET", at(server, host="none.test")))


async def test_the_system_resolver_is_asked_unless_another_is_given(
    server: Server, attempts: list[Attempt]
) -> None:
    rule = Rule("localhost", scheme="http", private=True, port=server.port)
    async with Egress([rule], audit=attempts.append) as egress:
        await egress.fetch(Request("GET", at(server, host="localhost")))
    assert attempts[0].address == "127.0.0.1"


# -- TLS ----------------------------------------------------------------------------------------


async def test_tls_names_and_verifies_the_host_and_not_the_address(
    make: Make, names: Names
) -> None:
    authority = trustme.CA()
    theirs, ours = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    authority.issue_cert("api.test").configure_cert(theirs)
    authority.configure_trust(ours)
    async with Server(tls=theirs) as server:
        names.answers["other.test"] = [["127.0.0.1"]]
        rules = [Rule(host, port=server.port, private=True) for host in ("api.test", "other.test")]
        egress = make(*rules, tls=ours)
        answer = await egress.fetch(Request("GET", f"https://api.test:{server.port}/"))
        assert answer.status == 200
        with pytest.raises(EgressFailed, match="certificate"):
            await egress.fetch(Request("GET", f"https://other.test:{server.port}/"))
        with pytest.raises(EgressFailed, match="certificate"):
            await make(rules[0]).fetch(Request("GET", f"https://api.test:{server.port}/"))
        assert server.names == ["api.test", "other.test", "api.test"]
        await egress.close()


# -- headers ------------------------------------------------------------------------------------

SMUGGLED = {
    "transfer encoding": (("Transfer-Encoding", "chunked"),),
    "with an underscore": (("Transfer_Encoding", "chunked"),),
    "connection": (("Connection", "X-Forwarded-For"),),
    "keep alive": (("Keep-Alive", "timeout=5"),),
    "upgrade": (("Upgrade", "h2c"),),
    "te": (("TE", "trailers"),),
    "trailer": (("Trailer", "X"),),
    "proxy authorization": (("Proxy-Authorization", "Basic x"),),
    "proxy connection": (("Proxy-Connection", "close"),),
    "expect": (("Expect", "100-continue"),),
    "method override": (("X-HTTP-Method-Override", "DELETE"),),
    "path override": (("X-Original-URL", "/admin"),),
    "path rewrite": (("X-Rewrite-URL", "/admin"),),
    "another host": (("Host", "evil.test"),),
    "second host": (("host", "api.test"), ("HOST", "evil.test")),
    "wrong length": (("Content-Length", "5"),),
    "two lengths": (("Content-Length", "4"), ("Content-Length", "0")),
    "length with a sign": (("Content-Length", "+4"),),
    "line end in a value": (("X", "a\r\nHost: evil.test"),),
    "line feed in a value": (("X", "a\nb"),),
    "nul in a value": (("X", "a\0b"),),
    "escape in a value": (("X", "a\x1bb"),),
    "wide character that encodes to a line end": (("X", "a\u010a"),),
    "line end in a name": (("X\r\nY", "a"),),
    "colon in a name": (("X:", "a"),),
    "space in a name": (("Host ", "evil.test"),),
    "space before a name": ((" Host", "evil.test"),),
    "empty name": (("", "a"),),
    "non-ASCII name": (("H\u00f6st", "a"),),
    "too many": (("X", "a"),) * 101,
    "too large": (("X", "a" * 40_000),),
}


@pytest.mark.parametrize("headers", SMUGGLED.values(), ids=SMUGGLED)
async def test_headers_that_could_smuggle_are_refused(
    make: Make, api: Api, server: Server, headers: Headers
) -> None:
    egress = make(api(methods=["POST"]))
    with pytest.raises(EgressDenied) as caught:
        await egress.fetch(Request("POST", at(server), headers, b"body"))
    assert caught.value.reason == "header"
    assert server.connections == 0


@pytest.mark.parametrize("method", ["CONNECT", "TRACE", "GET /x HTTP/1.1\r\nX:", "", "GET ", "GĘT"])
async def test_methods_that_tunnel_echo_or_smuggle_are_refused(
    make: Make, api: Api, server: Server, method: str
) -> None:
    with pytest.raises(EgressDenied):
        await make(api()).fetch(Request(method, at(server)))
    assert server.connections == 0


async def test_what_the_host_sets_itself_may_be_given_where_it_agrees(
    make: Make, api: Api, server: Server
) -> None:
    headers = (("Host", f"api.test:{server.port}"), ("Content-Length", "4"), ("User-Agent", "me"))
    await make(api(methods=["PUT"])).fetch(Request("PUT", at(server), headers, b"body"))
    (seen,) = server.seen
    assert (seen.one("host"), seen.one("content-length")) == (f"api.test:{server.port}", "4")
    assert seen.one("user-agent") == "me"


# -- limits -------------------------------------------------------------------------------------


async def test_a_request_over_its_limit_is_not_sent(make: Make, api: Api, server: Server) -> None:
    egress = make(api(methods=["POST"], request_size=4))
    await egress.fetch(Request("POST", at(server), body=b"1234"))
    with pytest.raises(EgressTooLarge) as caught:
        await egress.fetch(Request("POST", at(server), body=b"12345"))
    assert caught.value.limit == 4
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    "answer",
    [
        reply(b"12345"),
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n12345",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n123\r\n2\r\n45\r\n0\r\n\r\n",
    ],
    ids=["length", "until close", "chunked"],
)
async def test_an_answer_over_its_limit_is_cut_off(
    make: Make, api: Api, server: Server, answer: bytes
) -> None:
    server.answer = lambda seen: answer
    assert (await make(api(response_size=5)).fetch(Request("GET", at(server)))).body == b"12345"
    with pytest.raises(EgressTooLarge) as caught:
        await make(api(response_size=4)).fetch(Request("GET", at(server)))
    assert caught.value.limit == 4


async def test_a_compressed_answer_is_undone_and_says_nothing_of_it(
    make: Make, api: Api, server: Server
) -> None:
    text = b"a long tale " * 20_000
    server.answer = lambda seen: reply(gzip.compress(text), "200 OK", "Content-Encoding: gzip")
    answer = await make(api()).fetch(Request("GET", at(server)))
    assert answer.body == text
    assert answer.headers == ()
    assert server.seen[0].one("accept-encoding") == "gzip"


async def test_a_bomb_bursts_at_the_limit(make: Make, api: Api, server: Server) -> None:
    bomb = gzip.compress(bytes(20 << 20))
    assert len(bomb) < 1 << 16
    server.answer = lambda seen: reply(bomb, "200 OK", "Content-Encoding: gzip")
    way = make(api(response_size=1 << 20)).exit()
    async with await way.open(Request("GET", at(server))) as answer:
        sizes = [len(await anext(aiter(answer))) for _ in range(16)]
        with pytest.raises(EgressTooLarge):
            await anext(aiter(answer))
    assert max(sizes) <= 1 << 16


@pytest.mark.parametrize("damage", [gzip.compress(b"text" * 99)[:-9], b"not gzip at all"])
async def test_a_damaged_compressed_answer_is_a_failure(
    make: Make, api: Api, server: Server, damage: bytes
) -> None:
    server.answer = lambda seen: reply(damage, "200 OK", "Content-Encoding: gzip")
    with pytest.raises(EgressFailed, match="compressed"):
        await make(api()).fetch(Request("GET", at(server)))


async def test_a_part_is_asked_for_uncompressed(make: Make, api: Api, server: Server) -> None:
    await make(api()).fetch(Request("GET", at(server), (("Range", "bytes=0-3"),)))
    assert server.seen[0].one("accept-encoding") == "identity"


async def test_an_answer_to_head_has_headers_and_no_body(
    make: Make, api: Api, server: Server
) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\nContent-Encoding: gzip\r\n\r\n"
    server.answer = lambda seen: head
    answer = await make(api()).fetch(Request("HEAD", at(server)))
    assert (answer.header("content-length"), answer.body) == ("99", b"")


@pytest.mark.parametrize(
    "timeouts", [Timeouts(total=0.5), Timeouts(idle=0.05)], ids=["total", "idle"]
)
@pytest.mark.parametrize(
    "answer", [None, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n1234"], ids=["none", "half"]
)
async def test_a_server_that_keeps_silent_is_given_up_and_its_connection_closed(
    make: Make, api: Api, server: Server, timeouts: Timeouts, answer: bytes | None
) -> None:
    server.answer = lambda seen: answer
    with pytest.raises(EgressTimeout):
        await make(api(timeouts=timeouts)).fetch(Request("GET", at(server)))
    await server.closed.wait()


async def test_a_resolver_that_keeps_silent_is_given_up(
    make: Make, api: Api, server: Server
) -> None:
    async def silent(host: str, port: int) -> list[str]:
        return await asyncio.get_running_loop().create_future()

    egress = make(api(timeouts=Timeouts(connect=0.05)), resolver=silent)
    with pytest.raises(EgressTimeout):
        await egress.fetch(Request("GET", at(server)))


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nConnection: close\r\n\r\n1234",
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\n12345",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 200_000 + b"\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
        b"HTTP/1.1 999 What\r\nContent-Length: 0\r\n\r\n",
        b"",
    ],
    ids=["ssh", "short", "two lengths", "endless header", "101", "999", "nothing"],
)
async def test_what_is_not_plain_http_is_a_failure(
    make: Make, api: Api, server: Server, answer: bytes
) -> None:
    def once(seen: Seen) -> bytes:
        asyncio.get_running_loop().call_soon(server.hang_up)
        return answer

    server.answer = once
    with pytest.raises(EgressFailed):
        await make(api()).fetch(Request("GET", at(server)))


async def test_a_port_where_nobody_listens_is_a_failure(make: Make, server: Server) -> None:
    await server.__aexit__(None, None, None)
    rule = Rule("127.0.0.1", scheme="http", port=server.port, private=True)
    with pytest.raises(EgressFailed) as caught:
        await make(rule).fetch(Request("GET", at(server, host="127.0.0.1")))
    assert caught.value.rule == rule.label


# -- streams and cancellation -------------------------------------------------------------------


async def test_a_stream_is_read_as_it_comes(make: Make, api: Api, server: Server) -> None:
    server.answer = lambda seen: b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n1234"
    async with await make(api()).exit().open(Request("GET", at(server))) as answer:
        assert (answer.status, answer.url) == (200, at(server))
        assert await anext(aiter(answer)) == b"1234"
    await server.closed.wait()


async def test_a_stream_may_be_read_by_another_task_than_opened_it(
    make: Make, api: Api, server: Server, attempts: list[Attempt]
) -> None:
    way = make(api()).exit()
    answer = await asyncio.create_task(way.open(Request("GET", at(server))))
    read: Response = await asyncio.create_task(answer.read())
    await asyncio.create_task(answer.aclose())
    assert read.body == b"fine"
    assert attempts[0].outcome == "answered"


async def test_cancelling_a_request_closes_its_connection(
    make: Make, api: Api, server: Server, attempts: list[Attempt]
) -> None:
    arrived = asyncio.Event()

    def answer(seen: Seen) -> None:
        arrived.set()

    server.answer = answer
    task = asyncio.create_task(make(api()).fetch(Request("GET", at(server))))
    await arrived.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await server.closed.wait()
    assert attempts[0].outcome == "cancelled"
