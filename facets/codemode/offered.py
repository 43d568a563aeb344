"""The two tools as a model sees them: what stands in the place of thousands of schemas."""

from __future__ import annotations

from typing import Any

_SEARCH = """Find tools by words. One line for each: how code calls it, what it gives."""
_EXECUTE = """Run Python that calls tools, in a sandbox that reaches nothing else.

The code is the body of an async function: `return` a result, or end with an expression. Call what
`search` found: `await connector.tool(name=value)`; several at once with `asyncio.gather`.
`await codemode.describe("connector.tool")` declares one in full, `await codemode.search("words")`
finds others, `await codemode.step("name", fn)` keeps what must not be worked out again, and
`await codemode.run("snippet", input)` runs saved code. A call may have to wait for an approval:
the code then goes on later, on its own."""


def _arguments(**texts: str) -> dict[str, Any]:
    properties = {key: {"type": "string", "description": text} for key, text in texts.items()}
    return {
        "type": "object", "properties": properties, "required": [*texts],
        "additionalProperties": False,
    }  # fmt: skip


TOOLS: dict[str, tuple[str, dict[str, Any]]] = {
    "search": (_SEARCH, _arguments(query="What to look for, in words")),
    "execute": (_EXECUTE, _arguments(code="Python")),
}
"""By name: the description, and the JSON schema of the arguments."""
