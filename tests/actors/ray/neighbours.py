"""Hosts that share a directory, in one process and without Ray."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from actors.local import LocalRuntime
from actors.ray.directory import settle
from actors.ray.errors import Superseded
from actors.ray.handover import Handover, Tree
from actors.ray.ownership import Ownership
from actors.ray.sighting import Sighting
from facets import Actor
from facets.testing import VirtualClock
from storage.objects import FolderStore, ObjectStore


class Side:
    """One host, and the way to it; `before` and `after` are run around what it is asked."""

    def __init__(
        self, folder: Path, name: str, store: ObjectStore, *classes: type[Actor], **options: Any
    ) -> None:
        self.name = name
        self.clock = VirtualClock()
        self.before: dict[str, Callable[[], Awaitable[None]]] = {}
        self.after: dict[str, Callable[[], Awaitable[None]]] = {}
        self.superseded: list[Superseded] = []
        self._folder = folder
        self._store = store
        self._classes = classes
        self._options = options
        self._hosts: Sequence[str] = ()

    async def open(self, hosts: Sequence[str]) -> Side:
        """Start it, as its Ray actor does."""
        self.runtime = LocalRuntime(
            self._folder / self.name, host=self.name, clock=self.clock, **self._options
        )
        await self.runtime.open()
        self._hosts = hosts
        self.ownership = self.again()
        self.ownership.on_superseded = self.superseded.append
        self.runtime.host.owns = self.ownership.owns
        await self.ownership.enter()
        self.ownership.on_change = self.runtime.host.timers.again
        self.handover = Handover(self.runtime.host, self.ownership)
        await self.handover.clear()
        for cls in self._classes:
            self.runtime.register(cls)
        return self

    def again(self) -> Ownership:
        """What a newer incarnation begins with."""
        directory = settle(self._store, self._hosts)
        return Ownership(self.name, self._store, directory, Sighting(self._folder / self.name))

    async def take(self, sender: str, token: str, trees: Sequence[Tree]) -> str:
        """As a peer."""
        return str(await self._asked("take", self.handover.take, sender, token, trees))

    async def look(self) -> object:
        """As a peer."""
        return await self._asked("look", self.ownership.look)

    async def _asked(self, verb: str, do: Callable[..., Any], *args: Any) -> Any:
        if verb in self.before:
            await self.before[verb]()
        done = await do(*args)
        if verb in self.after:
            await self.after[verb]()
        return done

    async def call(self, cls: type[Actor], name: str, method: str, *args: Any) -> Any:
        """A call from outside; `NotOwner` if the actor is not here."""
        one = await self.ownership.admitted(cls.kind, name)
        try:
            return await getattr(self.runtime.get(cls, name), method)(*args)
        finally:
            self.ownership.over(one)

    async def end(self) -> None:
        """As a crash, as far as that is to be seen from outside."""
        await self.runtime.close()


def shared(folder: Path) -> ObjectStore:
    """What they share."""
    return FolderStore(folder / "shared")
