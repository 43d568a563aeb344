"""One process's way to the hosts of a runtime."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

from actors.ray.directory import Directory
from actors.ray.link import Link
from actors.ray.shipping import Shipment

NAMESPACE = "facets"


def host_name(index: int) -> str:
    """The name of a host within its runtime."""
    return f"host-{index}"


def actor_name(runtime: str, host: str) -> str:
    """The name under which Ray knows it."""
    return f"facets-{runtime}-{host}"


class Router:
    """Links to the hosts of one runtime, on one loop."""

    def __init__(self, runtime: str) -> None:
        self.runtime = runtime
        self._directory: Directory | None = None
        self._links: dict[str, Link] = {}
        self._classes: dict[str, Shipment] = {}

    def know(self, shipment: Shipment) -> None:
        """Each host gets this class with the next call to it."""
        if self._classes.get(shipment.kind) is not shipment:
            self._classes[shipment.kind] = shipment
            for link in self._links.values():
                link.know(shipment)

    async def link(self, kind: str, name: str) -> Link:
        """The link to the host that owns an actor."""
        directory = self._directory or await self._learn()
        return self.to(directory.owner(kind, name))

    @property
    def directory(self) -> Directory:
        """Who owns what; only after `use`."""
        assert self._directory is not None  # noqa: S101 - an open runtime has told it
        return self._directory

    def owner(self, kind: str, name: str) -> str:
        """The host that owns an actor; only after `use`."""
        return self.directory.owner(kind, name)

    def to(self, host: str) -> Link:
        """The link to a host."""
        found = self._links.get(host)
        if found is None:
            found = self._links[host] = Link(host, partial(handle, self.runtime, host))
            for shipment in self._classes.values():
                found.know(shipment)
        return found

    def use(self, directory: Directory) -> None:
        """The directory from now on; hosts are looked up again."""
        self._directory = directory
        for link in self._links.values():
            link.renew()

    async def _learn(self) -> Directory:
        greeting = await handle(self.runtime, host_name(0)).greet.remote()
        self.use(greeting.directory)
        directory: Directory = greeting.directory
        return directory


def handle(runtime: str, host: str) -> Any:
    """Ray's handle of a host."""
    import ray

    return ray.get_actor(actor_name(runtime, host), namespace=NAMESPACE)


def find(runtime: str, host: str) -> Any:
    """Ray's handle of a host; None if no such host runs or is being started."""
    try:
        return handle(runtime, host)
    except ValueError:
        return None


_routers: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, Router]] = WeakKeyDictionary()


def router(runtime: str) -> Router:
    """The router of this loop for a runtime, made when it is first needed."""
    of_loop = _routers.setdefault(asyncio.get_running_loop(), {})
    found = of_loop.get(runtime)
    if found is None:
        found = of_loop[runtime] = Router(runtime)
    return found
