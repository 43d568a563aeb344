"""What a call over HTTP costs, beside a bare Starlette route that does nothing.

    python -m tests.benchmarks.serve

Rounds alternate; each is the median of many calls by one client on the same loop.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from websockets.asyncio.client import connect

import facets
import facets.serve
from tests.facets.serve.conftest import serving

CALLS, ROUNDS = 200, 9


class Echo(facets.Actor):
    async def echo(self, n: int) -> int:
        return n

    async def write(self, n: int) -> int:
        self.kv["n"] = n
        return n

    async def on_socket(self, socket: object) -> None:
        """Everybody is let in."""

    async def on_socket_message(self, socket: object, data: str | bytes) -> None:
        await socket.send(data)  # type: ignore[attr-defined]


async def bare(request: Request) -> JSONResponse:
    return JSONResponse((await request.json())["n"])


async def median(call: Callable[[], Awaitable[object]]) -> float:
    took = []
    for _ in range(CALLS):
        began = time.perf_counter()
        await call()
        took.append(time.perf_counter() - began)
    return statistics.median(took) * 1e6


class Plain:
    """A client that keeps one connection and does as little as can be."""

    def __init__(self, url: str) -> None:
        self._address = url.removeprefix("http://").split(":")

    async def __aenter__(self) -> Plain:
        self._reader, self._writer = await asyncio.open_connection(*self._address)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()

    async def post(self, path: str) -> None:
        self._writer.write(
            f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
            'content-length: 7\r\n\r\n{"n":1}'.encode()
        )
        head = await self._reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        await self._reader.readexactly(length)


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        runtime = facets.LocalRuntime(folder)
        served = facets.serve.app(runtime, expose=[Echo])
        route = Starlette(routes=[Route("/bare", bare, methods=["POST"])])
        async with (
            serving(served, timeout_keep_alive=600) as url,
            serving(route, timeout_keep_alive=600) as other,
            Plain(url) as client,
            Plain(other) as beside,
            connect(url.replace("http", "ws") + "/actors/Echo/a/socket") as socket,
        ):

            async def message() -> object:
                await socket.send("x")
                return await socket.recv()

            works: dict[str, Callable[[], Awaitable[object]]] = {
                "bare": lambda: beside.post("/bare"),
                "echo": lambda: client.post("/actors/Echo/a/echo"),
                "write": lambda: client.post("/actors/Echo/a/write"),
                "message": message,
            }
            rounds: dict[str, list[float]] = {name: [] for name in works}
            for _ in range(ROUNDS):
                for name, work in works.items():
                    rounds[name].append(await median(work))
    found = {name: round(statistics.median(took)) for name, took in rounds.items()}
    ratios = [a / b for a, b in zip(rounds["echo"], rounds["bare"], strict=True)]
    print(json.dumps({"us": found, "echo / bare": round(statistics.median(ratios), 2)}))


if __name__ == "__main__":
    asyncio.run(main())
