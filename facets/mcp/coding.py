"""The server of two tools: `search` and `execute`, in the place of all tools of some connectors."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from mcp.server import Server
from mcp.shared.exceptions import MCPError, NoBackChannelError
from mcp.types import (
    INVALID_PARAMS,
    CallToolRequestParams,
    CallToolResult,
    ClientCapabilities,
    ElicitationCapability,
    ElicitRequest,
    ElicitRequestFormParams,
    InputRequests,
    InputRequiredResult,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
    Tool,
)

from facets.codemode.bench import Workbench
from facets.codemode.ledger import CallRecord
from facets.codemode.offered import TOOLS
from facets.codemode.runs import Execution
from facets.codemode.tokens import cut
from facets.serve.reaching import Exposed, Runtime

_ASKING = ClientCapabilities(elicitation=ElicitationCapability())
_NOTHING = {"type": "object", "properties": {}}


def code_server(
    runtime: Runtime, bench: type[Workbench], *, actor: str = "code", name: str = "facets"
) -> Server[None]:
    """A server of the `mcp` package with the two tools of code mode.

        bench = workbench([OpenApiConnector("shop", document, request=HttpRequest(url))])
        await facets.mcp.stdio(facets.mcp.code_server(runtime, bench))

    A client that sees thousands of tools sees two, whatever the connectors offer, and its model
    writes code that uses them. `execute` gives what `CodeMode.told` says, an error if the code
    ended in one. All clients use one actor, named `actor`.

    A call that a rule asks for is put to the user by the client (elicitation): accepted it runs,
    declined the code gets `CallRejected`, and otherwise the execution goes on waiting, as it does
    where a client cannot ask: `runtime.get(bench, actor).approve(id)` is there for that.
    """
    exposed = Exposed(runtime, [bench])
    tools = [
        Tool(name=key, description=text, input_schema=schema)
        for key, (text, schema) in TOOLS.items()
    ]

    @asynccontextmanager
    async def lifespan(_: Server[None]) -> AsyncIterator[None]:
        async with exposed.opened():
            yield

    async def listed(_: Any, __: PaginatedRequestParams | None) -> ListToolsResult:
        return ListToolsResult(tools=tools)

    async def called(
        context: Any, asked: CallToolRequestParams
    ) -> CallToolResult | InputRequiredResult:
        given = asked.arguments or {}
        _check(asked.name, given)
        stub = runtime.get(bench, actor)
        if asked.name == "search":
            return _said(await stub.search(given["query"]))
        # What no other client can guess: it comes back with it, to this execution and no other.
        key = asked.request_state or secrets.token_urlsafe(24)
        done = await stub.execute(given["code"], None, given.get("language"), key)
        done = await _answered(stub, done, asked)
        if done.pending and context.session.check_client_capability(_ASKING):
            try:
                done = await _decided(context.session, stub, done)
            except NoBackChannelError:  # since 2026-07-28 the client comes back with the answers
                if asked.request_state is None:
                    return _required(done, key)
        return _said(await stub.told(done.id), failed=done.status == "error")

    return Server(name, lifespan=lifespan, on_list_tools=listed, on_call_tool=called)


def _check(name: str, given: dict[str, Any]) -> None:
    from facets.codemode.schema import Schema

    if name not in TOOLS:
        raise MCPError(INVALID_PARAMS, f"there is no tool {name!r}")
    wrong = Schema(TOOLS[name][1]).misfit(given)
    if wrong:
        raise MCPError(INVALID_PARAMS, f"{name}: {wrong}")


async def _decided(session: Any, stub: Workbench, done: Execution) -> Execution:
    """Where an execution stands once its user has said what is to become of its calls."""
    seen: set[int] = set()
    while waiting := [one for one in done.pending if one.id not in seen]:
        call = waiting[0]
        seen.add(call.id)
        answer = await session.elicit_form(_question(call), _NOTHING)
        done = await _decide(stub, done, call.id, answer.action)
    return done


def _required(done: Execution, key: str) -> InputRequiredResult:
    """What its user is asked, for a client that then makes the call again."""
    asked: InputRequests = {
        str(one.id): ElicitRequest(
            params=ElicitRequestFormParams(message=_question(one), requested_schema=_NOTHING)
        )
        for one in done.pending
    }
    return InputRequiredResult(input_requests=asked, request_state=key)


async def _answered(stub: Workbench, done: Execution, asked: CallToolRequestParams) -> Execution:
    """Where an execution stands with the answers that the client came back with."""
    for call in done.pending:
        answer = (asked.input_responses or {}).get(str(call.id))
        done = await _decide(stub, done, call.id, str(getattr(answer, "action", "")))
    return done


async def _decide(stub: Workbench, done: Execution, call: int, answer: str) -> Execution:
    if answer == "accept":
        return await stub.approve(call)
    if answer == "decline":
        return await stub.reject(call, reason="the user said no")
    return done


def _question(call: CallRecord) -> str:
    shown = cut(json.dumps(call.arguments, default=str, ensure_ascii=False), 500)
    return f"Let the code call {call.path}?\n{shown}"


def _said(text: str, *, failed: bool = False) -> CallToolResult:
    return CallToolResult(content=[TextContent(type="text", text=text)], is_error=failed)
