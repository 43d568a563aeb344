"""The server: tools are listed and called."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from mcp.server import Server
from mcp.server.stdio import stdio_server
from mcp.shared.exceptions import MCPError
from mcp.types import (
    INVALID_PARAMS,
    CallToolRequestParams,
    CallToolResult,
    ListToolsResult,
    PaginatedRequestParams,
)

from actors.actor import Actor
from facets.mcp.tools import offers
from facets.serve.reaching import Exposed, Runtime


def server(
    runtime: Runtime,
    actors: Mapping[str, tuple[type[Actor], str]],
    *,
    name: str = "facets",
    timeout: float | None = None,
) -> Server[None]:
    """A server of the `mcp` package whose tools are the methods of some actors.

        server = facets.mcp.server(runtime, {"words": (Tally, "alice")})
        await facets.mcp.stdio(server)           # over stdin and stdout
        app = server.streamable_http_app()       # or this, over HTTP, under uvicorn

    `actors` has a class and a name for each label; the method `add` of that actor is the tool
    `words_add`. Tools are the methods that other actors may call and that JSON has arguments for;
    of an `Agent` it is `run` alone. Docstrings and annotations are what a model sees. A result is
    the field `result` of the structured content, and text.

    A reply is durable before it leaves. A client that cancels a call cancels the method, as any
    caller does, and so does the end of its session; steps that were committed are kept. Over HTTP
    before protocol 2026-07-28 a lost connection ends no session: give a `timeout`. A call that
    takes longer than `timeout` seconds is `DeadlineExceeded`.

    An async generator tells each item as progress, and its result is the list of all. What a
    method raises is the tool's error, with its hint and fields as text; so are arguments that do
    not fit, and results of more than 1 MiB (`TooLarge`). A tool that is not there is an error of
    the protocol.

    A runtime that is not open is opened when the server starts, and closed when it ends. Calls run
    on the event loop of the server. Who reaches the server may call: `streamable_http_app` takes
    what checks tokens, and the hosts that may be asked for.

    ValueError if two tools would have one name, or one that models cannot call.
    """
    exposed = Exposed(runtime, [cls for cls, _ in actors.values()])
    found = offers(actors)

    @asynccontextmanager
    async def lifespan(_: Server[None]) -> AsyncIterator[None]:
        async with exposed.opened():
            yield

    async def listed(_: Any, __: PaginatedRequestParams | None) -> ListToolsResult:
        return ListToolsResult(tools=[one.tool for one in found.values()])

    async def called(context: Any, asked: CallToolRequestParams) -> CallToolResult:
        offer = found.get(asked.name)
        if offer is None:
            raise MCPError(INVALID_PARAMS, f"there is no tool {asked.name!r}")

        async def tell(number: float, item: str) -> None:
            await context.session.report_progress(number, None, item)

        return await offer.call(runtime, asked.arguments or {}, timeout, tell)

    return Server(name, lifespan=lifespan, on_list_tools=listed, on_call_tool=called)


async def stdio(server: Server[None]) -> None:
    """Serve the client at stdin and stdout until it closes them.

    What the program prints meanwhile goes to stderr: stdout is the client's.
    """
    async with stdio_server() as (received, sent):
        await server.run(received, sent, server.create_initialization_options())
