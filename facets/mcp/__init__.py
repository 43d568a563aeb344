"""Actors and agents over MCP: their methods are the tools of a server of the `mcp` package.

    serving.py   the server, and stdio
    coding.py    a server of two tools, for all tools of some connectors of code mode
    tools.py     one method as a tool of the protocol (see facets.serve.methods)

Needs the extra `mcp`. Servers of others are used by `facets.codemode.McpConnector`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from facets.mcp.coding import code_server as code_server
    from facets.mcp.serving import server as server
    from facets.mcp.serving import stdio as stdio

__all__ = ["code_server", "server", "stdio"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'facets.mcp' has no attribute {name!r}")
    from facets.mcp import coding, serving

    return getattr(coding if name == "code_server" else serving, name)
