"""The two tools as a model sees them: what stands in the place of thousands of schemas."""

from __future__ import annotations

from typing import Any

_SEARCH = """Find tools by words. One line for each: how code calls it, what it gives."""
_EXECUTE = """Run code that calls tools, in a sandbox that reaches nothing else.

The code is the body of an async function: `return` a result, or end with an expression. Python
calls what `search` found as `await connector.tool(name=value)`, several with `asyncio.gather`;
TypeScript as `await connector.tool({ name: value })`, with `Promise.all`.
`await codemode.describe("connector.tool")` declares one in full, `await codemode.search("words")`
finds others, `await codemode.step("name", fn)` keeps what must not be worked out again. A call may
have to wait for an approval: the code then goes on later, on its own."""


def _arguments(required: list[str], **properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object", "properties": properties, "required": required,
        "additionalProperties": False,
    }  # fmt: skip


_LANGUAGE = {"type": "string", "enum": ["python", "typescript"], "default": "python"}
TOOLS: dict[str, tuple[str, dict[str, Any]]] = {
    "search": (
        _SEARCH,
        _arguments(["query"], query={"type": "string", "description": "What to look for"}),
    ),
    "execute": (_EXECUTE, _arguments(["code"], code={"type": "string"}, language=_LANGUAGE)),
}
"""By name: the description, and the JSON schema of the arguments."""
