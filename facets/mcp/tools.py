"""One method of one actor as a tool."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from mcp.types import CallToolResult, TextContent, Tool

from actors.actor import Actor
from actors.deadline import deadline
from facets.serve.encoding import encode
from facets.serve.errors import TooLarge
from facets.serve.failures import said
from facets.serve.reaching import DOOR, Runtime
from facets.serve.shapes import Shape, described, shapes

RESULT = 1 << 20
"""Bytes of JSON that one call may give; a model reads much less."""
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")  # what the interfaces of models take
_REF = "#/$defs/{name}"

Tell = Callable[[float, str], Awaitable[None]]
"""Tells the client how far a call is: the number of an item, and its JSON."""


@dataclass(frozen=True)
class Offer:
    """A tool: the method and the actor that has it."""

    tool: Tool
    shape: Shape
    cls: type[Actor]
    actor: str

    async def call(
        self, runtime: Runtime, arguments: Mapping[str, Any], seconds: float | None, tell: Tell
    ) -> CallToolResult:
        """What the method gave, or how it failed, for a model to read."""
        try:
            named = self.shape.bind(dict(arguments))
            with contextlib.nullcontext() if seconds is None else deadline(seconds):
                reply = getattr(runtime.get(self.cls, self.actor), self.shape.name)(**named)
                if self.shape.kind == "stream":
                    found = await self._items(aiter(reply), tell)
                else:
                    found = self._sized(encode(await reply))
        except Exception as error:
            return _failed(error)
        value = msgspec.json.decode(found)
        text = value if isinstance(value, str) else found.decode()
        return CallToolResult(content=[_text(text)], structured_content={"result": value})

    async def _items(self, items: AsyncIterator[Any], tell: Tell) -> bytes:
        """All items as one array; each of them is told as it comes."""
        parts: list[bytes] = []
        size = 0
        try:
            async for item in items:
                part = encode(item)
                parts.append(self._sized(part, size))
                size += len(part)
                await tell(len(parts), part.decode())
        finally:
            close = getattr(items, "aclose", None)
            if close is not None:
                await close()
        return b"[%s]" % b",".join(parts)

    def _sized(self, part: bytes, before: int = 0) -> bytes:
        if before + len(part) > RESULT:
            raise TooLarge(
                f"{self.tool.name} gave more than {RESULT} bytes of JSON",
                hint="ask for less of it", limit=RESULT,
            )  # fmt: skip
        return part


def offers(actors: Mapping[str, tuple[type[Actor], str]]) -> dict[str, Offer]:
    """The tools of these actors by name; ValueError for a name that no tool may have."""
    found: dict[str, Offer] = {}
    for label, (cls, actor) in actors.items():
        for shape in _open(cls):
            name = f"{label}_{shape.name}"
            if _NAME.fullmatch(name) is None:
                raise ValueError(f"{name!r} is no name of a tool: A-Z, a-z, 0-9, _ and -, up to 64")
            if name in found:
                raise ValueError(f"two tools are called {name!r}")
            found[name] = Offer(_tool(name, shape), shape, cls, actor)
    return found


def _open(cls: type[Actor]) -> list[Shape]:
    """An agent is asked by `run` alone: the rest of it is for the program that it is part of."""
    agents = sys.modules.get("facets.agents.agent")
    agent = agents is not None and issubclass(cls, agents.Agent)
    return [
        shape
        for name, shape in shapes(cls).items()
        if (name == "run" if agent else name != DOOR)
    ]  # fmt: skip


# -- schemas ---------------------------------------------------------------------------------------


def _tool(name: str, shape: Shape) -> Tool:
    arguments, definitions = _schema(shape.arguments)
    own = definitions.pop(arguments["$ref"].rpartition("/")[2])
    own.pop("title", None)
    return Tool(
        name=name,
        description=shape.text,
        input_schema=own | ({"$defs": definitions} if definitions else {}),
        output_schema=_output(shape),
    )


def _output(shape: Shape) -> dict[str, Any]:
    """A result is an object by the protocol: one with the field `result`."""
    returned, definitions = _schema(shape.returns)
    if shape.kind == "stream":
        returned = {"type": "array", "items": returned}
    schema = {"type": "object", "properties": {"result": returned}, "required": ["result"]}
    return schema | ({"$defs": definitions} if definitions else {})


def _schema(wanted: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """A type's schema and the definitions that it refers to."""
    lifted: dict[str, Any] = {}

    def hook(cls: type) -> dict[str, Any]:
        found = described(cls)  # a pydantic model's own definitions are found at the root only
        lifted.update(found.pop("$defs", {}))
        return found

    (schema,), found = msgspec.json.schema_components([wanted], ref_template=_REF, schema_hook=hook)
    return schema, found | lifted


# -- results ---------------------------------------------------------------------------------------


def _failed(error: Exception) -> CallToolResult:
    """The error as text: what it is, and what to do."""
    told = said(error)
    lines = [f"{told['type']}: {told['message']}"]
    if told.get("hint"):
        lines.append(f"hint: {told['hint']}")
    if told.get("fields"):
        lines.append(f"fields: {msgspec.json.encode(told['fields']).decode()}")
    return CallToolResult(content=[_text("\n".join(lines))], is_error=True)


def _text(text: str) -> TextContent:
    return TextContent(type="text", text=text)
