"""The server of two tools: over functions, an OpenAPI document, another server."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, MCPError, StdioServerParameters
from mcp.types import ElicitResult
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

import facets.mcp
from facets.codemode import Allow, Ask, FunctionConnector, workbench
from facets.errors import BadDocument
from facets.mcp_commands import _document
from facets.testing import MemoryRuntime
from tests.facets.serve.conftest import serving

ROOT = Path(__file__).parents[3]
HOSTILE = ROOT / "tests" / "facets" / "codemode" / "hostile_mcp.py"
COMMAND = "from facets.cli import main; main()"
PAID: list[int] = []


async def pay(amount: int) -> str:
    """Pay an amount."""
    PAID.append(amount)
    return f"paid {amount}"


def client(runtime: MemoryRuntime, *, answer: str = "", mode: str = "auto") -> Client:
    PAID.clear()
    rules = [Ask(when=lambda given: given["amount"] > 99), Allow()]
    bench = workbench([FunctionConnector("bank", [pay])], rules=rules)
    server = facets.mcp.code_server(runtime, bench)

    async def ask(context: Any, params: Any) -> ElicitResult:
        assert params.message == 'Let the code call bank.pay?\n{"amount": 500}'
        return ElicitResult(action=answer, content={})

    return Client(server, elicitation_callback=ask if answer else None, mode=mode)


def text(result: Any) -> str:
    return str(result.content[0].text)


async def test_a_client_sees_two_tools_that_find_and_run() -> None:
    async with MemoryRuntime() as runtime, client(runtime) as one:
        assert [tool.name for tool in (await one.list_tools()).tools] == ["search", "execute"]
        found = await one.call_tool("search", {"query": "pay"})
        assert text(found) == "await bank.pay(amount: int) -> str  # Pay an amount."
        done = await one.call_tool("execute", {"code": "await bank.pay(5)"})
        assert text(done) == 'status: completed\nresult:\n"paid 5"'
        typed = {"code": "await bank.pay({ amount: 6 })", "language": "typescript"}
        assert text(await one.call_tool("execute", typed)).endswith('"paid 6"')
        failed = await one.call_tool("execute", {"code": "1 / 0"})
        assert failed.is_error
        assert "ZeroDivisionError" in text(failed)
        for name, given in (("pay", {}), ("execute", {}), ("search", {"query": 5})):
            with pytest.raises(MCPError):
                await one.call_tool(name, given)


@pytest.mark.parametrize("mode", ["auto", "legacy"])
@pytest.mark.parametrize(
    ("answer", "told", "paid"),
    [
        ("accept", '"paid 500"', [500]),
        ("decline", "CallRejected: bank.pay was not approved: the user said no", []),
        ("cancel", 'call 1 waits for approval: bank.pay {"amount": 500}', []),
        ("", 'call 1 waits for approval: bank.pay {"amount": 500}', []),
    ],
)
async def test_the_user_of_the_client_decides_about_a_call_that_is_asked_for(
    answer: str, told: str, paid: list[int], mode: str
) -> None:
    async with MemoryRuntime() as runtime, client(runtime, answer=answer, mode=mode) as one:
        done = await one.call_tool("execute", {"code": "await bank.pay(500)"})
    assert told in text(done)
    assert paid == PAID


async def test_a_client_cannot_answer_what_another_one_was_asked() -> None:
    async with MemoryRuntime() as runtime, client(runtime) as one:
        asked = await one.call_tool("execute", {"code": "await bank.pay(500)"})
        assert "waits for approval" in text(asked)

        for state in ("1", "0", "", "None"):
            again = {"code": "await bank.pay(1)"}
            answers = {"1": ElicitResult(action="accept", content={})}
            done = await one.session.call_tool(
                "execute", again, request_state=state, input_responses=answers
            )
            assert text(done) == 'status: completed\nresult:\n"paid 1"'

    assert PAID == [1] * 4


async def test_what_no_client_can_ask_is_approved_through_the_actor() -> None:
    async with MemoryRuntime() as runtime:
        bench = workbench([FunctionConnector("bank", [pay])], rules=[Ask()])
        stub = runtime.get(bench, "code")
        PAID.clear()
        done = await stub.execute("[await bank.pay(1), await bank.pay(2)]")
        await stub.approve(done.pending[0].id)
        (call,) = await stub.pending()
        done = await stub.reject(call.id, reason="enough")
        assert "not approved: enough" in await stub.told(done.id)
        assert await stub.resume(done.id) == done
        assert (await stub.describe("bank.pay")).startswith("await bank.pay(amount: int) -> str")
    assert PAID == [1]


DOCUMENT: dict[str, Any] = {
    "openapi": "3.1.0",
    "paths": {
        "/orders/{id}": {
            "get": {"operationId": "order_get", "summary": "Get an order"},
            "delete": {"operationId": "order_delete", "summary": "Delete an order"},
        }
    },
}


async def test_the_command_serves_any_openapi_document(tmp_path: Path) -> None:
    seen: list[Any] = []

    async def order(request: Request) -> JSONResponse:
        seen.append((request.method, request.headers["authorization"]))
        return JSONResponse({"id": request.path_params["id"]})

    app = Starlette(routes=[Route("/v1/orders/{id}", order, methods=["GET", "DELETE"])])
    async with serving(app) as url:
        path = tmp_path / "shop.json"
        path.write_text(json.dumps(DOCUMENT | {"servers": [{"url": f"{url}/v1"}]}))
        options = ["--read-only", "--name", "shop", "--header", "Authorization: Bearer $TOKEN"]
        command = StdioServerParameters(
            command=sys.executable,
            args=["-c", COMMAND, "mcp", "openapi", str(path), *options],
            cwd=ROOT,
            env={"TOKEN": "secret"},
        )
        async with Client(command) as one:
            code = "try: await shop.order_delete(id='7')\nexcept PermissionError: pass\n"
            done = await one.call_tool("execute", {"code": f"{code}await shop.order_get(id='7')"})
    assert text(done) == 'status: completed\nresult:\n{"id": "7"}'
    assert seen == [("GET", "Bearer secret")]


async def test_the_command_serves_the_tools_of_another_server() -> None:
    options = ["mcp", "server", "--name", "other", "--", sys.executable, str(HOSTILE)]
    command = StdioServerParameters(
        command=sys.executable, args=["-c", COMMAND, *options], cwd=ROOT
    )
    async with Client(command) as one:
        done = await one.call_tool("execute", {"code": "await other.echo(a=1)"})
    assert text(done) == """status: completed\nresult:\n"echo {'a': 1}\""""


def test_documents_are_json_or_yaml(tmp_path: Path) -> None:
    path = tmp_path / "shop"
    for text in ('{"openapi": "3.1.0"}', "openapi: 3.1.0\n"):
        path.write_text(text)
        assert _document(str(path)) == {"openapi": "3.1.0"}
    for text in ("{", "a: b: c", "- 1", "5"):
        path.write_text(text)
        with pytest.raises(BadDocument, match="is n"):
            _document(str(path))
