"""`fetch` of JavaScript, through the egress of its isolate."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from facets import Actor, Egress, LocalRuntime
from facets.egress import Request, Response
from facets.errors import EgressDenied, EgressFailed
from tests.facets.egress.conftest import Api, Make
from tests.facets.egress.conftest import api as api
from tests.facets.egress.conftest import attempts as attempts
from tests.facets.egress.conftest import make as make
from tests.facets.egress.conftest import names as names
from tests.facets.egress.conftest import server as server
from tests.facets.egress.server import Seen, Server, reply

Run = Callable[..., Awaitable[Any]]
TOOL = """
import { errors } from "facets";
export async function get(url, init) {
  const response = await fetch(url, init);
  return [response.status, response.ok, await response.text(), response.url];
}
export async function post(url) {
  const headers = new Headers({ "X-A": "1" });
  headers.append("x-a", "2");
  const response = await fetch(url, { method: "post", headers, body: JSON.stringify({ n: 1 }) });
  const body = new Uint8Array([0, 255]);
  const raw = await fetch(url, { method: "POST", body, headers: [["X-B", "3"]] });
  return [await response.json(), raw.status];
}
export async function headers(url) {
  const { headers } = await fetch(url);
  const all = [];
  headers.forEach((value, name) => all.push([name, value]));
  const found = ["CONTENT-TYPE", "x-two", "none"].map((name) => headers.get(name));
  return [...found, headers.has("X-Two"), all];
}
export async function bytes(url) {
  const response = await fetch(url);
  return [await response.bytes(), new Uint8Array(await response.arrayBuffer())];
}
export async function caught(url) {
  try { await fetch(url); } catch (error) {
    const { EgressDenied, EgressError } = errors;
    return [error.name, error instanceof EgressDenied, error instanceof EgressError, error.hint];
  }
}
export async function changed(url) {
  Array.prototype.map = Array.prototype.push = () => { throw new Error("mine"); };
  Map.prototype.get = () => undefined;
  return (await fetch(url)).status;
}
"""


class Lead(Actor, kind="JsFetchLead"):
    async def run(self, entry: str, egress: int | None, args: Any) -> Any:
        way = None if egress is None else WAYS[egress]
        options: Any = {"language": "javascript", "egress": way}
        return await self.isolates.run(TOOL, *args, entry=entry, **options)


WAYS: dict[int, Egress] = {}


@pytest.fixture
async def run(state: Path) -> AsyncIterator[Run]:
    """`await run(egress, "entry", ...)` calls a function of the tool in a sandbox of its own."""
    async with LocalRuntime(state) as runtime:

        async def run(egress: Egress | None, entry: str, *args: Any) -> Any:
            if egress is not None:
                WAYS[id(egress)] = egress
            return await runtime.get(Lead, "a").run(entry, egress and id(egress), args)

        yield run
    WAYS.clear()


@pytest.fixture
def url(server: Server) -> str:
    return f"http://api.test:{server.port}/"


def echo(seen: Seen) -> bytes:
    return reply(json.dumps([seen.method, seen.target, seen.all("x-a")]).encode())


async def test_what_a_rule_allows_is_answered(
    run: Run, make: Make, api: Api, server: Server, url: str
) -> None:
    server.answer = echo
    egress = make(api(methods=["GET", "POST"]))

    said = await run(egress, "get", url + "x?q=1")
    assert said == [200, True, '["GET", "/x?q=1", []]', url + "x?q=1"]
    assert await run(egress, "post", url) == [["POST", "/", ["1", "2"]], 200]
    assert [seen.body for seen in server.seen[1:]] == [b'{"n":1}', b"\0\xff"]
    assert await run(egress, "changed", url) == 200


async def test_headers_and_bodies_are_read_as_elsewhere(
    run: Run, make: Make, api: Api, server: Server, url: str
) -> None:
    server.answer = lambda seen: reply(
        b"\0\xff", "200 OK", "Content-Type: a/b", "X-Two: 1", "X-Two: 2"
    )
    egress = make(api())
    all_ = [["Content-Length", "2"], ["Content-Type", "a/b"], ["X-Two", "1"], ["X-Two", "2"]]
    assert await run(egress, "headers", url) == ["a/b", "1, 2", None, True, all_]
    assert await run(egress, "bytes", url) == [b"\0\xff", b"\0\xff"]


async def test_without_an_egress_there_is_no_way_out(run: Run, url: str, server: Server) -> None:
    name, denied, of_egress, hint = await run(None, "caught", url)
    assert (name, denied, of_egress) == ("EgressDenied", True, True)
    assert "egress=" in hint
    with pytest.raises(PermissionError, match="no egress"):
        await run(None, "get", url)
    assert server.connections == 0


async def test_errors_keep_their_names(
    run: Run, make: Make, api: Api, server: Server, url: str
) -> None:
    egress = make(api())
    with pytest.raises(EgressDenied, match="no rule names this host"):
        await run(egress, "get", "http://elsewhere.test/")
    with pytest.raises(EgressDenied, match="header"):
        await run(egress, "get", url, {"headers": {"Transfer-Encoding": "chunked"}})
    server.answer = lambda seen: b"not HTTP\r\n\r\n"
    with pytest.raises(EgressFailed):
        await run(egress, "get", url)


async def test_a_redirect_is_followed_unless_it_is_asked_for(run: Run, make: Make) -> None:
    async def handler(request: Request) -> Response:
        if request.url.endswith("/a"):
            return Response(302, (("Location", "/b"),))
        return Response(200, (), b"there")

    egress = make(handler=handler)
    url = "https://any.test/"
    assert (await run(egress, "get", url + "a"))[::3] == [200, url + "b"]
    assert (await run(egress, "get", url + "a", {"redirect": "manual"}))[0] == 302
