"""One process's way to the hosts of a runtime."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

from actors.ray.claims import Claims
from actors.ray.context import CallContext
from actors.ray.directory import Directory
from actors.ray.errors import HostLost, NotOwner
from actors.ray.lane import Lane
from actors.ray.link import Link
from actors.ray.parcels import Data
from actors.ray.seeking import seek
from actors.ray.shipping import Shipment
from actors.ray.wire import Target
from storage.errors import StorageError

NAMESPACE = "facets"
LOOK = 3.0
"""Seconds that a host may take to say who owns what, before another is asked."""


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
        self._lanes: dict[tuple[str, str], Lane[Link]] = {}
        """By kind and name, of actors that are being called."""
        self.claims: Claims | None = None
        """What this process calls with, if it opened the runtime."""
        self._learning: asyncio.Task[Directory] | None = None

    def claim(self, shipment: Shipment) -> None:
        """Calls of its kind are meant for this class; only in a process that opened the runtime."""
        assert self.claims is not None  # noqa: S101 - that has set it
        self.claims.claim(shipment)

    async def link(self, kind: str, name: str) -> Link:
        """The link to the host that owns an actor."""
        if self.claims is not None and kind in self.claims.open:
            await self.claims.settle(kind)
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
            ways = partial(handle, self.runtime, host), partial(seek, self.runtime, host)
            found = self._links[host] = Link(host, *ways)
        return found

    def learn(self, directory: Directory) -> None:
        """This is the directory from now on, unless a newer one is known."""
        if self._directory is None or directory.version > self._directory.version:
            self._directory = directory

    def use(self, directory: Directory) -> None:
        """The directory from now on; hosts are looked up again."""
        self._directory = directory
        for link in self._links.values():
            link.renew()

    async def call(
        self, target: Target, method: str, data: Data, context: CallContext | None
    ) -> Any:
        """Make a call, to the host that owns the actor; its result, or what it raised."""
        with self._lane(target) as (lane, place):
            while True:
                link = await self._in_turn(target, lane, place)
                try:
                    return await link.call(target, method, data, context)
                except NotOwner as error:
                    lane.back(place)
                    await self.correct(link.host, error.version)
                except HostLost:
                    lane.back(place)
                    if not await self._has_left(link):
                        raise

    async def stream(
        self, target: Target, method: str, data: Data, context: CallContext | None
    ) -> AsyncGenerator[Any, None]:
        """Make a call that streams, to the host that owns the actor; its items."""
        with ExitStack() as until_it_begins:
            lane, place = until_it_begins.enter_context(self._lane(target))
            while True:
                link = await self._in_turn(target, lane, place)
                items = link.stream(target, method, data, context)
                began = False
                try:
                    async for item in items:
                        if not began:
                            began = True
                            until_it_begins.close()  # whoever takes the items may call the actor
                        yield item
                    return
                except NotOwner as error:
                    lane.back(place)
                    await self.correct(link.host, error.version)
                except HostLost:
                    if began:
                        raise
                    lane.back(place)
                    if not await self._has_left(link):
                        raise
                finally:
                    await items.aclose()

    @contextmanager
    def _lane(self, target: Target) -> Iterator[tuple[Lane[Link], int]]:
        """A call's place among those to its actor."""
        key = target[0], target[1]
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = Lane()
        try:
            with lane.place() as place:
                yield lane, place
        finally:
            if not lane and self._lanes.get(key) is lane:
                del self._lanes[key]

    async def _in_turn(self, target: Target, lane: Lane[Link], place: int) -> Link:
        """The link to the host that owns an actor, when it is a call's turn to be sent there."""
        while True:
            link = await self.link(target[0], target[1])
            if lane.may(place, link):
                return link
            await lane.change(place)

    async def perform(self, kind: str, name: str, ask: Callable[[Any], Any]) -> Any:
        """Ask the host that owns an actor something that is no call; `ask` gets Ray's handle."""
        while True:
            link = await self.link(kind, name)
            try:
                return await ask(link.handle)
            except NotOwner as error:
                await self.correct(link.host, error.version)

    async def correct(self, host: str, version: int) -> None:
        """A host that was called does not own the actor, as of a version."""
        if self.directory.version < version:
            await self._learn([host, *self.directory.hosts])

    async def _has_left(self, link: Link) -> bool:
        """Whether a host that is gone had handed over all it owned, and left in peace.

        Then what was sent to it in vain did not run: it owned nothing, and had answered all that
        did."""
        known = link.token or self.directory.tokens.get(link.host)
        try:
            found = await self._learn(self.directory.hosts, but=link.host)
        except StorageError:
            return False
        return link.host not in found.hosts and found.tokens.get(link.host) == known

    async def _learn(self, hosts: Sequence[str] = (), but: str = "") -> Directory:
        """The newest directory, from the first host that answers, or else from where it is kept;
        all who ask share one answer."""
        if self._learning is None:
            self._learning = asyncio.ensure_future(self._ask(hosts, but))
            self._learning.add_done_callback(self._learned)
        return await asyncio.shield(self._learning)

    def _learned(self, _: asyncio.Task[Directory]) -> None:
        self._learning = None

    async def _ask(self, hosts: Sequence[str], but: str) -> Directory:
        import ray

        from actors.ray.fleet import Fleet

        for host in hosts:
            if host == but:
                continue
            with suppress(ValueError, TimeoutError, ray.exceptions.RayActorError):
                asked = handle(self.runtime, host).look.remote()
                self.learn(await asyncio.wait_for(asked, LOOK))
                return self.directory
        fleet = await asyncio.to_thread(Fleet.of, self.runtime)
        self.learn(await fleet.directory())
        return self.directory


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
