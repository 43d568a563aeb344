"""Capabilities in another process: they are described there, and used here."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any, NamedTuple

from actors.faces import Face, Held, show
from actors.streams import Stream
from facets.capabilities.capability import Capability, Form, Kind
from facets.capabilities.running import iterate, run


class Description(NamedTuple):
    """What is told of a capability."""

    name: str
    form: Form
    methods: dict[str, Kind]
    texts: dict[str, str]
    notes: list[str]


class RemoteCapability(Capability):
    """A capability of another process: each use runs there, and its rules are checked there.

    `revoke` here takes back what was handed on from here, and no more.
    """

    __slots__ = ("_held", "_said")

    def __init__(self, held: Held, said: Description) -> None:
        super().__init__(said.name, kind=said.form, at_home=False)
        self._held = held
        self._said = said

    @property
    def methods(self) -> Mapping[str, Kind]:
        """As they were known when it was sent."""
        return self._said.methods

    def text(self, method: str) -> str:
        """What its author says."""
        return self._said.texts.get(method, "")

    def notes(self) -> list[str]:
        """What narrowed it when it was sent."""
        return self._said.notes

    async def call(self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call a method, where it is."""
        return await self._held.use("call", method, args, kwargs)

    async def stream(
        self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> AsyncGenerator[Any, None]:
        """The items of a method, each asked for when it is taken."""
        async with aclosing(await self._held.use("stream", method, args, kwargs)) as items:
            async for item in items:
                yield item


def arrived(held: Held, said: Description) -> RemoteCapability:
    """The capability on the other side."""
    return RemoteCapability(held, said)


def _describe(one: Capability) -> Description:
    methods = dict(one.methods)
    texts = {name: one.text(name) for name in ("", *methods)}
    return Description(one.name, one.kind, methods, texts, one.notes())


async def _use(
    one: Capability, verb: str, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    if verb == "stream":
        return Stream(iterate(one, method, args, kwargs), None, at_home=False)
    return await run(one, method, args, kwargs)


show(Capability, Face(_describe, _use, arrived))
