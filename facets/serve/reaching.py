"""From what a request asks for to something that can be called."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any, Protocol

from actors.actor import Actor
from actors.contract import HOOKS
from actors.errors import RuntimeClosed
from actors.local import LocalRuntime
from actors.sockets.events import Event
from actors.stub import Stub
from facets.serve.asking import Ask
from facets.serve.errors import NotServed
from facets.serve.shapes import Shape, shape_of

DOOR = "facet"
"""The method by which an actor opens its facets to requests: `async def facet(self, name)`."""


class Runtime(Protocol):
    """What serving needs of a runtime, local or of a cluster."""

    async def open(self) -> Any:
        """Take it; nothing happens if it is open."""

    async def close(self) -> None:
        """Let it go."""

    def register(self, cls: type[Actor]) -> None:
        """Announce a class."""

    def get(self, cls: type[Any], name: str) -> Any:
        """A stub."""

    def list(self, cls: type[Actor]) -> list[str]:
        """The names of a kind."""

    async def tell_socket(
        self, cls: type[Actor], name: str, door: tuple[str, ...], event: Event
    ) -> dict[str, str]:
        """Tell an actor what happened to a socket."""


class Exposed:
    """The classes that requests may reach; every other kind is not there for them."""

    def __init__(self, runtime: Runtime, classes: Iterable[type[Actor]]) -> None:
        self.runtime = runtime
        self.classes = {cls.kind: cls for cls in classes}

    def check_open(self) -> None:
        """Raise why nothing can be called here, if so."""
        for cls in self.classes.values():
            self.runtime.register(cls)
        if isinstance(self.runtime, LocalRuntime):
            self.runtime.host.check_open()

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Open the runtime for the block, unless it is open; then it is left so."""
        mine = not self._is_open()
        if mine:
            await self.runtime.open()
            self.check_open()
        try:
            yield
        finally:
            if mine:
                await self.runtime.close()

    def _is_open(self) -> bool:
        try:
            self.check_open()
        except RuntimeClosed:
            return False
        return True

    def cls(self, kind: str) -> type[Actor]:
        """The class of a kind."""
        found = self.classes.get(kind)
        if found is None:
            raise NotServed(f"there is no kind {kind!r} here")
        return found

    def root(self, ask: Ask) -> Any:
        """A stub of the actor that is asked for."""
        return self.runtime.get(self.cls(ask.kind), ask.name)

    def shape(self, ask: Ask) -> Shape | None:
        """The method of a root actor; None for a facet, which only its parent knows."""
        cls = self.cls(ask.kind)
        if not ask.facets:
            return shape_of(cls, ask.method)
        shape_of(cls, DOOR)
        if ask.method.startswith("_") or ask.method in HOOKS:
            raise NotServed(f"{ask.method!r} is not open to requests")
        return None

    async def target(self, ask: Ask) -> Any:
        """A stub of what is asked for: each actor on the way says who is below it."""
        found = self.root(ask)
        for name in ask.facets:
            found = await getattr(found, DOOR)(name)
            if not is_stub(found):
                raise NotServed(f"there is no facet {name!r} that is open to requests")
        return found

    async def names(self, kind: str) -> list[str]:
        """The names of a kind, sorted."""
        cls = self.cls(kind)
        if isinstance(self.runtime, LocalRuntime):
            return self.runtime.list(cls)
        return await asyncio.to_thread(self.runtime.list, cls)  # it waits for every host


def is_stub(value: object) -> bool:
    """Whether this is a reference to an actor, here or on a cluster."""
    remote = sys.modules.get("actors.ray.stub")
    return isinstance(value, Stub) or (remote is not None and isinstance(value, remote.RemoteStub))


def shape_below(target: object, ask: Ask) -> Shape | None:
    """The method of a facet, if its class is known here."""
    cls = target._node.cls if isinstance(target, Stub) else None
    return None if cls is None else shape_of(cls, ask.method)
