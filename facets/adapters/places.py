"""Where an adapter keeps its actors: at the top of a runtime, or below an actor of yours."""

from __future__ import annotations

import asyncio
from typing import Any

from actors.actor import Actor
from actors.blocking import BlockingRuntime
from actors.local import LocalRuntime
from facets.adapters.bridge import Bridge
from facets.children import Facets


class Place:
    """Actors by class and name, called from any thread and event loop.

    `of` is a runtime of any kind, also of `blocking()`, or `self.facets` of an actor.
    """

    __slots__ = ("_of", "bridge")

    def __init__(self, of: Any) -> None:
        self._of = of._runtime if isinstance(of, BlockingRuntime) else of
        self.bridge = Bridge(of)

    async def call(self, cls: type[Actor], name: str, method: str, *args: Any) -> Any:
        """What a method of that actor gives. Cancelling this cancels it."""
        return await self.bridge.run(self._call, cls, name, method, *args)

    async def names(self, cls: type[Actor]) -> list[str]:
        """The names of that class, sorted; of `self.facets`, of all facets."""
        return await self.bridge.run(self._names, cls)

    async def delete(self, cls: type[Actor], name: str) -> None:
        """Wipe that actor and all below it; nothing happens if it is not there."""
        await self.bridge.run(self._delete, cls, name)

    async def clone(self, cls: type[Actor], source: str, target: str) -> None:
        """Put a copy of an actor in the place of another, in one commit."""
        await self.bridge.run(self._clone, cls, source, target)

    def get(self, cls: type[Actor], name: str) -> Any:
        """A stub, for code on the loop of the actors."""
        return self._of.get(name, cls) if isinstance(self._of, Facets) else self._of.get(cls, name)

    async def _call(self, cls: type[Actor], name: str, method: str, *args: Any) -> Any:
        return await getattr(self.get(cls, name), method)(*args)

    async def _names(self, cls: type[Actor]) -> list[str]:
        if isinstance(self._of, Facets):
            return self._of.list()
        if isinstance(self._of, LocalRuntime):
            return self._of.list(cls)
        return await asyncio.to_thread(self._of.list, cls)  # a cluster: it waits for every host

    async def _delete(self, cls: type[Actor], name: str) -> None:
        if isinstance(self._of, Facets):
            self._of.delete(name)
        else:
            await self._of.delete(cls, name)

    async def _clone(self, cls: type[Actor], source: str, target: str) -> None:
        if isinstance(self._of, Facets):
            await self._of.clone(source, target)
        else:
            await self._of.clone(cls, source, target)
