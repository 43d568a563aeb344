"""One method of one actor as a tool of the protocol."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from mcp.types import CallToolResult, TextContent, Tool

from actors.actor import Actor
from facets.serve.methods import Method, Tell, methods, told
from facets.serve.reaching import Runtime

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")  # what the interfaces of models take


@dataclass(frozen=True)
class Offer:
    """A tool: the method and the actor that has it."""

    tool: Tool
    method: Method
    cls: type[Actor]
    actor: str

    async def call(
        self, runtime: Runtime, arguments: Mapping[str, Any], seconds: float | None, tell: Tell
    ) -> CallToolResult:
        """What the method gave, or how it failed, for a model to read."""
        try:
            stub = runtime.get(self.cls, self.actor)
            found = await self.method.call(stub, arguments, seconds, tell)
        except Exception as error:
            return CallToolResult(content=[_text(told(error))], is_error=True)
        value = msgspec.json.decode(found)
        text = value if isinstance(value, str) else found.decode()
        return CallToolResult(content=[_text(text)], structured_content={"result": value})


def offers(actors: Mapping[str, tuple[type[Actor], str]]) -> dict[str, Offer]:
    """The tools of these actors by name; ValueError for a name that no tool may have."""
    found: dict[str, Offer] = {}
    for label, (cls, actor) in actors.items():
        for method in methods(cls):
            name = f"{label}_{method.shape.name}"
            if _NAME.fullmatch(name) is None:
                raise ValueError(f"{name!r} is no name of a tool: A-Z, a-z, 0-9, _ and -, up to 64")
            if name in found:
                raise ValueError(f"two tools are called {name!r}")
            found[name] = Offer(_tool(name, method), method, cls, actor)
    return found


def _tool(name: str, method: Method) -> Tool:
    return Tool(
        name=name,
        description=method.shape.text,
        input_schema=method.arguments(),
        output_schema=_output(method),
    )


def _output(method: Method) -> dict[str, Any]:
    """A result is an object by the protocol: one with the field `result`."""
    returned, definitions = method.result()
    schema = {"type": "object", "properties": {"result": returned}, "required": ["result"]}
    return schema | ({"$defs": definitions} if definitions else {})


def _text(text: str) -> TextContent:
    return TextContent(type="text", text=text)
