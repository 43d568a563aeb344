"""The tools of an MCP server, over the client of the `mcp` package.

A server is not trusted: what it says is data. It may name any tool, and gets no other's calls; its
schemas only tell what it wants to be called with; a call that it does not answer ends, and so does
one it dies in. Its claims that a tool changes nothing are not believed: whoever believes them
names the tools in `repeatable`, and in a rule.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from contextvars import Context
from typing import TYPE_CHECKING, Any, TypeVar

from facets.codemode.errors import ToolFailed
from facets.codemode.operation import Operation, connector_name, distinct, identifier
from facets.codemode.schema import Schema

if TYPE_CHECKING:
    from mcp.client.client import Client

T = TypeVar("T")
TOOLS = 10_000
"""Tools of one server; of one that lists more, the listing fails."""
DESCRIPTION = 8_000
"""Characters of a tool's description that are kept."""
PATIENCE = 10.0
"""Seconds that the end of a connection may take."""


class McpConnector:
    """`connect` makes a client, to be entered: `lambda: mcp.Client(...)`.

    It is called at the first use, and again after the connection was lost; the connection is one
    for all executions. Whatever takes longer than `timeout` seconds fails.
    """

    def __init__(
        self,
        name: str,
        connect: Callable[[], AbstractAsyncContextManager[Client]],
        *,
        timeout: float = 30.0,
        repeatable: Sequence[str] = (),
    ) -> None:
        self.name = connector_name(name)
        self._connect = connect
        self._timeout = timeout
        self._repeatable = frozenset(repeatable)
        self._line: _Line | None = None
        self._leaving: set[_Line] = set()
        """Given up, and not ended yet."""

    async def operations(self) -> Sequence[Operation]:
        """What the server lists now."""
        found: dict[str, Operation] = {}
        for tool in await self._asked(self.name, self._tools):
            name = distinct(identifier(tool.name), found)
            found[name] = self._operation(name, tool)
        return [*found.values()]

    async def close(self) -> None:
        """Give up the connection, and return when its process has ended, as those before it."""
        self._give_up()
        await asyncio.gather(*(one.ended() for one in self._leaving))
        self._leaving.clear()

    def _give_up(self) -> None:
        """Nobody waits for a server to end, which may take seconds where it hangs."""
        line, self._line = self._line, None
        if line is not None:
            line.leave()
            self._leaving = {one for one in self._leaving if not one.over} | {line}

    async def _tools(self, client: Client) -> list[Any]:
        tools: list[Any] = []
        cursor: str | None = None
        while True:
            page = await client.list_tools(cursor=cursor)
            tools += page.tools
            cursor = page.next_cursor
            if len(tools) > TOOLS or (cursor and not page.tools):
                raise ToolFailed(f"{self.name} lists tools without an end", path=self.name)
            if not cursor:
                return tools

    def _operation(self, name: str, tool: Any) -> Operation:
        path = f"{self.name}.{name}"

        returns = Schema(_object(tool.output_schema))
        inner = returns.properties
        wrapped = [*inner] == ["result"]  # as servers do with a result that is no object

        async def call(arguments: dict[str, Any]) -> Any:
            answer = await self._asked(path, lambda client: client.call_tool(tool.name, arguments))
            found = _result(answer, path)
            return found.get("result") if wrapped and isinstance(found, dict) else found

        return Operation(
            connector=self.name, name=name, call=call,
            parameters=Schema(_object(tool.input_schema)),
            returns=inner["result"] if wrapped else returns,
            description=(tool.description or tool.title or "")[:DESCRIPTION],
            repeatable=tool.name in self._repeatable,
        )  # fmt: skip

    async def _asked(self, path: str, ask: Callable[[Client], Awaitable[T]]) -> T:
        """What the server answers; ToolFailed if it does not, or does not as it should."""
        try:
            async with asyncio.timeout(self._timeout):
                return await ask(await self._client())
        except ToolFailed:
            raise
        except TimeoutError as error:
            self._give_up()
            text = f"{path}: no answer in {self._timeout:g} seconds"
            raise ToolFailed(text, path=path) from error
        except Exception as error:
            if _lost(error) or self._line is None or self._line.over:
                self._give_up()
            raise ToolFailed(f"{path}: {_why(error)}", path=path) from error

    async def _client(self) -> Client:
        if self._line is None or self._line.over:
            self._line = _Line(self._connect)
        return await asyncio.shield(self._line.ready)


class _Line:
    """One connection, entered and left by a task of its own, as the client needs it.

    The task is no part of the actor whose call happened to come first.
    """

    def __init__(self, connect: Callable[[], AbstractAsyncContextManager[Client]]) -> None:
        loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[Client] = loop.create_future()
        self._leave = asyncio.Event()
        self._task = loop.create_task(self._held(connect), context=Context())

    @property
    def over(self) -> bool:
        """It is lost."""
        return self._task.done()

    async def _held(self, connect: Callable[[], AbstractAsyncContextManager[Client]]) -> None:
        try:
            async with connect() as client:
                if not self._leave.is_set():
                    self.ready.set_result(client)
                    await self._leave.wait()
        except Exception as error:
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        """Whoever waits for the client hears why there is none."""
        if not self.ready.done():
            self.ready.set_exception(error)
            self.ready.exception()  # nobody may be waiting

    def leave(self) -> None:
        """Begin to end it: the client gives the server some seconds, and then kills it."""
        self._leave.set()
        self._fail(ToolFailed("the connection to the server was given up", path=""))

    async def ended(self) -> None:
        """Return when it is over. A client that does not come to an end is cancelled."""
        _, late = await asyncio.wait({self._task}, timeout=PATIENCE)
        for task in late:
            task.cancel()


def _lost(error: Exception) -> bool:
    """Whether it is of the connection, and not of one call."""
    from anyio import BrokenResourceError, ClosedResourceError
    from mcp import MCPError
    from mcp.types import CONNECTION_CLOSED

    if isinstance(error, MCPError):
        return error.code == CONNECTION_CLOSED
    return isinstance(error, (BrokenResourceError, ClosedResourceError, OSError))


def _why(error: BaseException) -> str:
    """What went wrong. Of a group, as the client raises for all of a connection, what it is of; in
    words only if they are the protocol's: others name the address, which may have credentials."""
    from mcp import MCPError

    inner = error
    while isinstance(inner, BaseExceptionGroup):
        inner = inner.exceptions[0]
    told = inner is error or isinstance(inner, MCPError)
    return f"{type(inner).__name__}: {inner if told else 'the connection failed'}"


def _object(schema: Any) -> Mapping[str, Any]:
    return schema if isinstance(schema, Mapping) else {}


def _result(answer: Any, path: str) -> Any:
    """What a tool gave: its structured content, or else its texts."""
    texts = [one.text for one in answer.content if getattr(one, "type", "") == "text"]
    if answer.is_error:
        raise ToolFailed(f"{path}: {' '.join(texts)[:4_000] or 'failed'}", path=path)
    if answer.structured_content is not None:
        return answer.structured_content
    if len(answer.content) == len(texts) == 1:
        return texts[0]
    return [one.model_dump(mode="json", exclude_none=True) for one in answer.content]
