"""Code mode: a model finds tools with `search` and uses them by writing code, `execute`.

mode        CodeMode: executions, approvals, rollback, snippets
runs        executions, run and run again    passes     one run: calls made, replayed, asked for
scopes      what an isolate is handed        running    one isolate with code in it
script      code that a model wrote          inside     what runs in the isolate, .py and .js
snippets    code that was saved              examples   its tests
ledger      what is kept in the actor's database
listing     the tools there are now          undoing    tools that raise, undone
policy      rules: Allow, Ask, Deny
catalog     all tools, and the search        words      as the search compares them
operation   one tool, and what offers tools  stubs     declarations in Python and TypeScript
schema      JSON Schema, read
functions, actors, openapi, mcp, files, sandbox, browser       the connectors
placing     arguments in a request           requests   requests to one service
swagger     documents of OpenAPI 2
offered     the two tools as a model sees them
bench       all of it as an actor
telling     what a model is told             own        the tools of code mode itself
tokens      estimates and cutting            errors    one tree
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from facets.codemode.actors import ActorConnector as ActorConnector
    from facets.codemode.bench import Workbench as Workbench
    from facets.codemode.bench import workbench as workbench
    from facets.codemode.browser import BrowserConnector as BrowserConnector
    from facets.codemode.catalog import Catalog as Catalog
    from facets.codemode.files import FilesConnector as FilesConnector
    from facets.codemode.functions import FunctionConnector as FunctionConnector
    from facets.codemode.ledger import CallRecord as CallRecord
    from facets.codemode.mcp import McpConnector as McpConnector
    from facets.codemode.mode import CodeMode as CodeMode
    from facets.codemode.openapi import OpenApiConnector as OpenApiConnector
    from facets.codemode.operation import Connector as Connector
    from facets.codemode.operation import Operation as Operation
    from facets.codemode.operation import call_id as call_id
    from facets.codemode.policy import Allow as Allow
    from facets.codemode.policy import Ask as Ask
    from facets.codemode.policy import Deny as Deny
    from facets.codemode.requests import HttpRequest as HttpRequest
    from facets.codemode.runs import Execution as Execution
    from facets.codemode.sandbox import SandboxConnector as SandboxConnector
    from facets.codemode.snippets import Answer as Answer
    from facets.codemode.snippets import Example as Example
    from facets.codemode.snippets import Snippet as Snippet

__all__ = [
    "ActorConnector",
    "Allow",
    "Answer",
    "Ask",
    "BrowserConnector",
    "CallRecord",
    "Catalog",
    "CodeMode",
    "Connector",
    "Deny",
    "Example",
    "Execution",
    "FilesConnector",
    "FunctionConnector",
    "HttpRequest",
    "McpConnector",
    "OpenApiConnector",
    "Operation",
    "SandboxConnector",
    "Snippet",
    "Workbench",
    "call_id",
    "workbench",
]

_LAZY = {
    "ActorConnector": "actors",
    "Allow": "policy",
    "Answer": "snippets",
    "Ask": "policy",
    "BrowserConnector": "browser",
    "CallRecord": "ledger",
    "Catalog": "catalog",
    "CodeMode": "mode",
    "Connector": "operation",
    "Deny": "policy",
    "Example": "snippets",
    "Execution": "runs",
    "FilesConnector": "files",
    "FunctionConnector": "functions",
    "HttpRequest": "requests",
    "McpConnector": "mcp",
    "OpenApiConnector": "openapi",
    "Operation": "operation",
    "SandboxConnector": "sandbox",
    "Snippet": "snippets",
    "Workbench": "bench",
    "call_id": "operation",
    "workbench": "bench",
}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    module = _LAZY.get(name)
    if module is None:
        raise AttributeError(f"module 'facets.codemode' has no attribute {name!r}")
    return getattr(import_module(f"facets.codemode.{module}"), name)
