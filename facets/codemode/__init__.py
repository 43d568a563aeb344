"""Code mode: a model finds tools with `search` and uses them by writing code, `execute`.

mode        CodeMode: executions, approvals, rollback, snippets
passes      one run of the code: calls made, replayed, asked for
inside      what runs in the isolate
ledger      what is kept in the actor's database
policy      rules: Allow, Ask, Deny
catalog     all tools, and the search        stubs     declarations in Python and TypeScript
operation   one tool, and what offers tools  schema    JSON Schema, read
functions, openapi, mcp, files               the connectors
offered     the two tools as a model sees them
tokens      estimates and cutting            errors    one tree
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from facets.codemode.catalog import Catalog as Catalog
    from facets.codemode.files import FilesConnector as FilesConnector
    from facets.codemode.functions import FunctionConnector as FunctionConnector
    from facets.codemode.ledger import CallRecord as CallRecord
    from facets.codemode.ledger import Snippet as Snippet
    from facets.codemode.mcp import McpConnector as McpConnector
    from facets.codemode.mode import CodeMode as CodeMode
    from facets.codemode.mode import Execution as Execution
    from facets.codemode.openapi import OpenApiConnector as OpenApiConnector
    from facets.codemode.operation import Connector as Connector
    from facets.codemode.operation import Operation as Operation
    from facets.codemode.policy import Allow as Allow
    from facets.codemode.policy import Ask as Ask
    from facets.codemode.policy import Deny as Deny

__all__ = [
    "Allow",
    "Ask",
    "CallRecord",
    "Catalog",
    "CodeMode",
    "Connector",
    "Deny",
    "Execution",
    "FilesConnector",
    "FunctionConnector",
    "McpConnector",
    "OpenApiConnector",
    "Operation",
    "Snippet",
]

_LAZY = {
    "Allow": "policy",
    "Ask": "policy",
    "CallRecord": "ledger",
    "Catalog": "catalog",
    "CodeMode": "mode",
    "Connector": "operation",
    "Deny": "policy",
    "Execution": "mode",
    "FilesConnector": "files",
    "FunctionConnector": "functions",
    "McpConnector": "mcp",
    "OpenApiConnector": "openapi",
    "Operation": "operation",
    "Snippet": "ledger",
}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    module = _LAZY.get(name)
    if module is None:
        raise AttributeError(f"module 'facets.codemode' has no attribute {name!r}")
    return getattr(import_module(f"facets.codemode.{module}"), name)
