"""The classes that a host runs."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from actors.host import Stats
from actors.ray.errors import ClassBroken, ClassUnknown
from actors.ray.shipping import ClassStore, Deployed, Shipment, unpack
from actors.ray.turnstile import Turnstile

if TYPE_CHECKING:
    from actors.actor import Actor
    from actors.host import Host


@dataclass(frozen=True)
class KindStats:
    """The code of one kind."""

    version: int
    """How often a class of it was deployed."""
    deployed: str
    """The digest of the class that actors start with."""
    running: dict[str, int]
    """Root actors that are awake, by the digest of what they run."""
    broken: dict[str, str]
    """Why the deployed class cannot be used, by host."""


@dataclass(frozen=True)
class ClusterStats(Stats):
    """A moment of a cluster, or of one of its hosts."""

    classes: dict[str, KindStats] = field(default_factory=dict)
    """By kind."""


class Classes:
    """Loaded when they are needed, and all that are deployed when the host opens: timers may be
    due. One that cannot be loaded fails the calls of its kind, and nothing else."""

    def __init__(self, store: ClassStore, name: str) -> None:
        self._store = store
        self._name = name
        self._host: Host
        self._served: dict[str, Deployed] = {}
        self._broken: dict[str, tuple[Deployed, ClassBroken]] = {}
        self._digests: WeakKeyDictionary[type, str] = WeakKeyDictionary()
        self._needed: dict[str, Turnstile] = {}

    async def open(self, host: Host) -> None:
        """Serve every kind that is deployed."""
        self._host = host
        await self._refresh()

    def refresh(self) -> None:
        """Serve every kind that was deployed meanwhile, soon; then look at the timers again."""
        self._host.background(self._refresh())

    async def _refresh(self) -> None:
        for one in await asyncio.to_thread(self._store.all):
            await self._load(one)
        self._host.timers.again()

    def find(self, kind: str) -> type[Actor]:
        """The class to start actors of a kind with; `ClassUnknown` if none was ever used,
        `ClassBroken` if it cannot be loaded. Blocks, unless `need` was awaited."""
        if kind in self._broken:
            raise self._broken[kind][1]
        if kind not in self._served:
            one = self._store.deployed(kind)
            if one is None:
                raise ClassUnknown(f"{self._name} has no class for the kind {kind!r}", kind=kind)
            self._serve(one, self._store.load(one, self._name))
        return self._host.classes[kind]

    async def need(self, kind: str) -> None:
        """Load the class of a kind, if there is one, without holding up anybody else."""
        turnstile = self._needed.get(kind)
        if turnstile is None:
            if kind in self._served:
                return
            turnstile = self._needed[kind] = Turnstile(partial(self.look, kind))
        await turnstile.passed()
        if turnstile.clear:
            self._needed.pop(kind, None)

    async def look(self, kind: str) -> None:
        """Serve what is deployed now: what starts from here on runs it."""
        one = await asyncio.to_thread(self._store.deployed, kind)
        if one is not None:
            await self._load(one)

    async def admit(self, shipment: Shipment) -> None:
        """The class is deployed, if none is of its kind, and served."""
        if shipment.kind not in self._served:
            await asyncio.to_thread(self._store.settle, shipment)
            await self.need(shipment.kind)

    async def try_out(self, shipment: Shipment) -> ClassBroken | None:
        """Why a class could not be used here; None if it could."""
        try:
            unpacked = (shipment.kind, shipment.digest, shipment.payload, self._name)
            await asyncio.to_thread(unpack, *unpacked)
        except ClassBroken as error:
            return error
        return None

    async def _load(self, one: Deployed) -> None:
        known = self._served.get(one.kind)
        if known is not None and known.version >= one.version:
            return
        try:
            cls = await asyncio.to_thread(self._store.load, one, self._name)
        except ClassBroken as error:
            self._broken[one.kind] = one, error
            self._served.pop(one.kind, None)
            self._host.classes.pop(one.kind, None)
        else:
            self._serve(one, cls)

    def _serve(self, one: Deployed, cls: type[Any]) -> None:
        known = self._served.get(one.kind)
        if known is not None and known.version >= one.version:
            return
        self._served[one.kind] = one
        self._broken.pop(one.kind, None)
        self._digests[cls] = one.digest
        self._host.deploy(cls)

    def stats(self) -> ClusterStats:
        """The present moment of this host."""
        running: dict[str, Counter[str]] = {}
        for one in self._host.awake:
            if one.node.parent is None:
                digest = self._digests.get(getattr(one.start.code, "cls", object), "")
                running.setdefault(one.node.kind, Counter())[digest] += 1
        newest = {**self._served, **{kind: one for kind, (one, _) in self._broken.items()}}
        classes = {
            kind: KindStats(one.version, one.digest, dict(running.get(kind, {})), self._why(kind))
            for kind, one in newest.items()
        }
        return ClusterStats(**_fields(self._host.stats()), classes=classes)

    def _why(self, kind: str) -> dict[str, str]:
        found = self._broken.get(kind)
        return {} if found is None else {self._name: found[1].why}


def together(several: list[dict[str, KindStats]]) -> dict[str, KindStats]:
    """The same for all hosts."""
    made: dict[str, KindStats] = {}
    for classes in several:
        for kind, one in classes.items():
            known = made.get(kind)
            made[kind] = one if known is None else _joined(known, one)
    return made


def _joined(one: KindStats, other: KindStats) -> KindStats:
    newer = max(one, other, key=lambda found: found.version)
    running = Counter(one.running) + Counter(other.running)
    return KindStats(newer.version, newer.deployed, dict(running), {**one.broken, **other.broken})


def _fields(stats: Stats) -> dict[str, Any]:
    return {name: getattr(stats, name) for name in Stats.__dataclass_fields__}
