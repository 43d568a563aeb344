"""`facets mcp`: servers of two tools, `search` and `execute`, for a client that starts them."""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from contextlib import nullcontext
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from facets.codemode.operation import Connector
from facets.errors import BadDocument

app = typer.Typer(
    no_args_is_help=True, help="Serve two tools over MCP: search, and code that uses."
)
_NAME = typer.Option(help="What code calls the connector.")
_READ_ONLY = typer.Option("--read-only", help="Requests with GET and HEAD alone.")
_ASK = typer.Option("--ask", help="The user is asked about every other call.")
_STATE = typer.Option(help="Keep executions here; without it they end with the server.")
_HEADER = typer.Option(
    help="Sent with each request, as 'Name: value'; $NAMES are of the environment."
)


@app.command()
def openapi(
    document: Annotated[
        str, typer.Argument(help="A file or an http(s) address: JSON or YAML, version 3 or 2.")
    ],
    url: Annotated[str, typer.Option(help="The service; else what the document says.")] = "",
    header: Annotated[list[str] | None, _HEADER] = None,
    name: Annotated[str, _NAME] = "api",
    read_only: Annotated[bool, _READ_ONLY] = False,
    ask: Annotated[bool, _ASK] = False,
    state: Annotated[str, _STATE] = "",
) -> None:
    """All operations of an OpenAPI document behind two tools, over stdin and stdout."""
    from facets.codemode import HttpRequest, OpenApiConnector
    from facets.codemode.openapi import server_url

    described = _document(document)
    address = url or server_url(described)
    if "://" not in address:
        raise BadDocument(
            "the document does not say where the service is", where="servers",
            hint="give --url https://...",
        )  # fmt: skip
    request = HttpRequest(address, headers=_headers(header or []))
    _serve(OpenApiConnector(name, described, request=request), read_only, ask, state)


@app.command()
def server(
    command: Annotated[list[str], typer.Argument(help="What starts the server, after --.")],
    name: Annotated[str, _NAME] = "server",
    ask: Annotated[bool, _ASK] = False,
    state: Annotated[str, _STATE] = "",
) -> None:
    """All tools of another MCP server behind two tools, over stdin and stdout."""
    from mcp import Client, StdioServerParameters

    from facets.codemode import McpConnector

    started = StdioServerParameters(command=command[0], args=command[1:])
    _serve(McpConnector(name, lambda: Client(started)), False, ask, state)


def _serve(connector: Connector, read_only: bool, ask: bool, state: str) -> None:
    """Until the client closes."""
    from facets import LocalRuntime, mcp
    from facets.codemode import Allow, Ask, Deny
    from facets.codemode.bench import workbench

    safe = Allow(method=("GET", "HEAD"))
    rules = [safe, Deny()] if read_only else [safe, Ask()] if ask else [Allow()]
    with tempfile.TemporaryDirectory() if not state else nullcontext(state) as directory:
        bench = workbench([connector], rules=rules)
        asyncio.run(mcp.stdio(mcp.code_server(LocalRuntime(directory), bench)))


def _document(place: str) -> dict[str, Any]:
    if place.startswith(("http://", "https://")):
        import httpx

        text = httpx.get(place, follow_redirects=True, timeout=30.0).raise_for_status().text
    else:
        text = Path(place).read_text()
    found = _parsed(text, place)
    if not isinstance(found, dict):
        raise BadDocument(f"{place} is no OpenAPI document", where="")
    return found


def _parsed(text: str, place: str) -> Any:
    if text.lstrip().startswith("{"):
        try:
            return json.loads(text)
        except ValueError as error:
            raise BadDocument(f"{place} is no JSON: {error}", where="") from error
    try:
        yaml = import_module("yaml")
    except ModuleNotFoundError:
        hint = "pip install 'facets-runtime[mcp]' brings PyYAML"
        raise BadDocument(f"{place} is no JSON", where="", hint=hint) from None
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise BadDocument(f"{place} is neither JSON nor YAML: {error}", where="") from error


def _headers(given: list[str]) -> dict[str, str]:
    found = {}
    for one in given:
        name, colon, value = one.partition(":")
        if not colon:
            raise typer.BadParameter("write it as 'Name: value'", param_hint="--header")
        found[name.strip()] = os.path.expandvars(value.strip())
    return found
