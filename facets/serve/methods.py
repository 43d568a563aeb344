"""Methods of actors as tools: what a model is shown, and one call.

What asks for them, over a protocol or from a framework of others, is not known here.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from actors.actor import Actor
from actors.deadline import deadline
from facets.serve.encoding import encode
from facets.serve.errors import TooLarge
from facets.serve.failures import said
from facets.serve.reaching import DOOR
from facets.serve.shapes import Shape, described, shapes

RESULT = 1 << 20
"""Bytes of JSON that one call may give; a model reads much less."""
_REF = "#/$defs/{name}"

Tell = Callable[[float, str], Awaitable[None]]
"""Tells whoever called how far it is: the number of an item, and its JSON."""


@dataclass(frozen=True, slots=True)
class Method:
    """One method that a model may call."""

    shape: Shape

    async def call(
        self,
        stub: Any,
        arguments: Mapping[str, Any],
        seconds: float | None = None,
        tell: Tell | None = None,
    ) -> bytes:
        """What the method of that actor gave, as JSON; of a stream, the array of its items.

        Raises what the method raises, `BadArguments` if it did not run, `DeadlineExceeded` after
        `seconds`, `TooLarge` for results of more than 1 MiB. Cancelling it cancels the method.
        """
        named = self.shape.bind(dict(arguments))
        with contextlib.nullcontext() if seconds is None else deadline(seconds):
            reply = getattr(stub, self.shape.name)(**named)
            if self.shape.kind == "stream":
                return await self._items(aiter(reply), tell)
            return self._sized(encode(await reply))

    async def _items(self, items: AsyncIterator[Any], tell: Tell | None) -> bytes:
        """All items as one array; each of them is told as it comes."""
        parts: list[bytes] = []
        size = 0
        try:
            async for item in items:
                part = encode(item)
                parts.append(self._sized(part, size))
                size += len(part)
                if tell is not None:
                    await tell(len(parts), part.decode())
        finally:
            close = getattr(items, "aclose", None)
            if close is not None:
                await close()
        return b"[%s]" % b",".join(parts)

    def _sized(self, part: bytes, before: int = 0) -> bytes:
        if before + len(part) > RESULT:
            raise TooLarge(
                f"{self.shape.name} gave more than {RESULT} bytes of JSON",
                hint="ask for less of it", limit=RESULT,
            )  # fmt: skip
        return part

    def arguments(self) -> dict[str, Any]:
        """The JSON schema of its arguments: an object."""
        arguments, definitions = _schema(self.shape.arguments)
        own: dict[str, Any] = definitions.pop(arguments["$ref"].rpartition("/")[2])
        own.pop("title", None)
        return own | ({"$defs": definitions} if definitions else {})

    def result(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The JSON schema of its result, and the definitions that it refers to."""
        returned, definitions = _schema(self.shape.returns)
        if self.shape.kind == "stream":
            returned = {"type": "array", "items": returned}
        return returned, definitions


def is_agent(cls: type[Actor]) -> bool:
    """Whether a model drives it; asking imports nothing."""
    agents = sys.modules.get("facets.agents.agent")
    return agents is not None and issubclass(cls, agents.Agent)


def methods(cls: type[Actor]) -> list[Method]:
    """What models may call of a class. An agent is asked by `run` alone: the rest of it is for the
    program that it is part of."""
    agent = is_agent(cls)
    return [
        Method(shape)
        for name, shape in shapes(cls).items()
        if (name == "run" if agent else name != DOOR)
    ]  # fmt: skip


def told(error: BaseException) -> str:
    """An error as text for a model: what it is, and what to do. No lines of code."""
    known = said(error)
    lines = [f"{known['type']}: {known['message']}"]
    if known.get("hint"):
        lines.append(f"hint: {known['hint']}")
    if known.get("fields"):
        lines.append(f"fields: {msgspec.json.encode(known['fields']).decode()}")
    return "\n".join(lines)


def _schema(wanted: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """A type's schema and the definitions that it refers to."""
    lifted: dict[str, Any] = {}

    def hook(cls: type) -> dict[str, Any]:
        found = described(cls)  # a pydantic model's own definitions are found at the root only
        lifted.update(found.pop("$defs", {}))
        return found

    (schema,), found = msgspec.json.schema_components([wanted], ref_template=_REF, schema_hook=hook)
    return schema, found | lifted
