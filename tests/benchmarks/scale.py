"""Cost against count: one state directory that grows tenfold from stage to stage.

    facets bench --scale 1000000 [--json]

Facets lie under parents of `BELOW` each. At every stage everything sleeps on the disk, the
directory is opened anew, and the same things are done in it: a cost that grows from column to
column grows with the number of actors. A facet takes 8 KB and more.
"""

from __future__ import annotations

import asyncio
import gc
import random
import shutil
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import apsw
from rich.table import Table

from facets import Actor, LocalRuntime
from storage import Store
from storage.layout import Layout
from tests.benchmarks.memory import private_mb

BELOW = 100
"""Facets of one parent."""
AWAKE = 10_000
"""Facets awake at once, at most."""
SAMPLES = 200
CROWD = 50
"""Parents that fill themselves, or are filled, at once."""
FILLED = 10_000
"""Facets that are made by their parents."""


@dataclass(frozen=True)
class Stage:
    """What things cost among so many facets. Times are medians, in us if nothing else is said."""

    facets: int
    made: float
    """A new facet with its first durable write, while thousands are made. Up to `FILLED` facets:
    the files of the rest are put there, and their rows into the catalogue."""
    disk: float
    """KB of the directory a facet."""
    open_ms: float
    """Opening the directory."""
    asleep_mb: float
    """Private memory of the process when the directory is open and nobody is awake."""
    wake: float
    """The first call of a facet whose parent is awake, which reads."""
    wake_p99: float
    call: float
    """A call from outside to a facet's parent and from there to the facet, both awake."""
    new: float
    """One more facet, with its first durable write."""
    siblings: float
    """`facets.list()` of a parent of a hundred."""
    parents_ms: float
    """`runtime.list(...)` of all parents."""
    stats: float
    """`runtime.stats()`."""
    clone_ms: float
    """A facet copied to another name of the same parent."""
    delete: float
    """A facet deleted."""
    zipf: float
    """Durable writes a second of 64 callers on facets chosen by a skewed distribution."""
    awake_kb: float
    """Private memory of a facet that is awake, of up to `AWAKE`; its database may be closed."""
    slept_kb: float
    """What is left of that when it sleeps again."""


class ScaleLeaf(Actor):
    async def add(self, n: int = 1) -> int:
        self.kv["n"] = self.kv.get("n", 0) + n
        return int(self.kv["n"])

    async def get(self) -> int:
        return int(self.kv.get("n", 0))


class ScaleTrunk(Actor):
    """A parent; what it times is inside, without the way to it."""

    async def fill(self, begin: int, end: int) -> None:
        for i in range(begin, end):
            await self.facets.get(str(i), ScaleLeaf).add()

    async def get(self, name: str) -> int:
        return await self.facets.get(name, ScaleLeaf).get()

    async def add(self, name: str) -> int:
        return await self.facets.get(name, ScaleLeaf).add()

    async def first_get(self, name: str) -> float:
        return await timed(lambda: self.facets.get(name, ScaleLeaf).get())

    async def wake(self, end: int) -> None:
        for i in range(end):
            await self.facets.get(str(i), ScaleLeaf).get()

    async def names(self) -> float:
        began = time.perf_counter()
        self.facets.list()
        return (time.perf_counter() - began) * 1e6

    async def clone(self, source: str, target: str) -> None:
        await self.facets.clone(source, target)

    async def delete(self, name: str) -> None:
        self.facets.delete(name)


async def timed(work: Callable[[], Awaitable[object]]) -> float:
    """Microseconds."""
    began = time.perf_counter()
    await work()
    return (time.perf_counter() - began) * 1e6


async def medians(count: int, work: Callable[[int], Awaitable[object]]) -> float:
    """The median of so many runs of `work(i)`, in us; a float that it returns is its own time."""
    samples = []
    for i in range(count):
        began = time.perf_counter()
        own = await work(i)
        samples.append(own if isinstance(own, float) else (time.perf_counter() - began) * 1e6)
    return statistics.median(samples)


class Scale:
    """The directory and what is done in it."""

    def __init__(self, root: Path, seed: int = 1) -> None:
        self.root = root
        self.rng = random.Random(seed)
        self.facets = 0
        self.made = 0.0

    async def stage(self, facets: int) -> Stage:
        """Grow to so many, and measure."""
        if facets <= FILLED:
            async with LocalRuntime(self.root) as runtime:
                took = await timed(lambda: self._grow(runtime, facets))
            self.made = took / (facets - self.facets)
        else:
            await asyncio.to_thread(plant, self.root, self.facets // BELOW, facets // BELOW)
        self.facets = facets
        gc.collect()
        before = private_mb()
        runtime = LocalRuntime(self.root)
        opened = await timed(runtime.open)
        asleep = private_mb() - before
        try:
            found = await self._measure(runtime)
        finally:
            await runtime.close()
        return Stage(
            facets=facets,
            made=self.made,
            disk=await asyncio.to_thread(used_kb, self.root) / facets,
            open_ms=opened / 1e3,
            asleep_mb=asleep,
            **found,
        )

    async def _grow(self, runtime: LocalRuntime, facets: int) -> None:
        """Whole parents at once, a crowd of them."""
        room = asyncio.Semaphore(CROWD)

        async def fill(parent: int) -> None:
            begin = max(self.facets - parent * BELOW, 0)
            async with room:
                await self.trunk(runtime, parent).fill(begin, min(facets - parent * BELOW, BELOW))

        first = self.facets // BELOW
        await asyncio.gather(*(fill(n) for n in range(first, -(-facets // BELOW))))

    @staticmethod
    def trunk(runtime: LocalRuntime, parent: int) -> ScaleTrunk:
        """A parent by its number."""
        return runtime.get(ScaleTrunk, f"trunk {parent}")

    def _one(self, runtime: LocalRuntime, number: int | None = None) -> tuple[ScaleTrunk, str]:
        """A facet by its number or by chance: its parent and its name."""
        chosen = self.rng.randrange(self.facets) if number is None else number
        return self.trunk(runtime, chosen // BELOW), str(chosen % BELOW)

    async def _measure(self, runtime: LocalRuntime) -> dict[str, float]:
        wakes = await self._wakes(runtime)
        trunk, name = self._one(runtime)
        await trunk.add(name)
        found = {
            "wake": statistics.median(wakes),
            "wake_p99": sorted(wakes)[int(len(wakes) * 0.99)],
            "call": await medians(SAMPLES, lambda _: trunk.get(name)),
            "new": await medians(50, lambda i: trunk.add(f"new {i}")),
            "siblings": await medians(50, lambda _: trunk.names()),
            "parents_ms": await medians(5, _soon(lambda: runtime.list(ScaleTrunk))) / 1e3,
            "stats": await medians(5, _soon(runtime.stats)),
            "clone_ms": await medians(10, lambda i: trunk.clone(name, f"copy {i}")) / 1e3,
            "delete": await medians(10, lambda i: trunk.delete(f"copy {i}")),
            "zipf": await self._zipf(runtime),
        }
        for i in range(50):
            await trunk.delete(f"new {i}")
        return found | await self._awake(runtime)

    async def _wakes(self, runtime: LocalRuntime) -> list[float]:
        chosen = [self._one(runtime) for _ in range(SAMPLES)]
        found = []
        for trunk, name in chosen:
            await trunk.names()  # the parent is awake
            found.append(await trunk.first_get(name))
        return found

    async def _zipf(self, runtime: LocalRuntime, writes: int = 2000, callers: int = 64) -> float:
        """Every caller writes to one facet after the other; the n-th most liked is chosen in
        proportion to 1/n."""
        chosen = iter([int(self.facets ** self.rng.random()) - 1 for _ in range(writes)])

        async def call() -> None:
            for number in chosen:
                trunk, name = self._one(runtime, number)
                await trunk.add(name)

        took = await timed(lambda: asyncio.gather(*(call() for _ in range(callers))))
        return writes / took * 1e6

    async def _awake(self, runtime: LocalRuntime) -> dict[str, float]:
        asleep(runtime)
        awake = min(self.facets, AWAKE)
        with grown_kb() as grown:
            for parent in range(-(-awake // BELOW)):
                await self.trunk(runtime, parent).wake(min(awake - parent * BELOW, BELOW))
        with grown_kb() as left:
            asleep(runtime)
        return {"awake_kb": grown[0] / awake, "slept_kb": (grown[0] + left[0]) / awake}


def plant(root: Path, first: int, last: int) -> None:
    """More parents of that class, each with `BELOW` copies of one facet, in a directory that is
    closed: as if they had been made long ago."""
    Store.open(root).close()  # the journal has nothing now, and all is in the files
    layout = Layout(root)
    layout.path(0).with_name("catalogue.db-wal").unlink(missing_ok=True)
    catalogue = apsw.Connection(str(layout.path(0)))
    model = "select uid, (select kind from actors where parent = 0) from actors where file limit 1"
    ((uid, kind),) = catalogue.execute(model)
    image = layout.path(uid).read_bytes()
    row = "insert into actors(parent, kind, name, file) values (?, ?, ?, ?) returning uid"
    with catalogue:
        for number in range(first, last):
            ((above,),) = catalogue.execute(row, (0, kind, f"trunk {number}", 0))
            for name in range(BELOW):
                ((uid,),) = catalogue.execute(row, (above, "", str(name), 1))
                layout.path(uid).parent.mkdir(exist_ok=True)
                layout.path(uid).write_bytes(image)
    catalogue.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    catalogue.close()


def asleep(runtime: LocalRuntime) -> None:
    """Put everything to sleep, whatever the clock says."""
    host = runtime.host
    for activation in sorted(host.awake, key=lambda one: -one.node.depth):
        activation.node.sleep()
    gc.collect()


@contextmanager
def grown_kb() -> Iterator[list[float]]:
    """KB by which the process grew inside."""
    found: list[float] = []
    gc.collect()
    before = private_mb()
    yield found
    gc.collect()
    found.append((private_mb() - before) * 1024)


def used_kb(root: Path) -> float:
    """Blocks of all files below."""
    return sum(one.lstat().st_blocks for one in root.rglob("*")) / 2


def _soon(work: Callable[[], Any]) -> Callable[[int], Awaitable[float]]:
    async def run(_: int) -> float:
        began = time.perf_counter()
        work()
        return (time.perf_counter() - began) * 1e6

    return run


async def measure(most: int, folder: Path, show: Callable[[Stage], object]) -> list[Stage]:
    """All stages up to `most` facets, in a directory below `folder` that is removed again."""
    root = Path(mkdtemp(prefix="scale-", dir=folder))
    scale, found = Scale(root / "state"), []
    try:
        facets = 10
        while facets <= most:
            found.append(await scale.stage(facets))
            show(found[-1])
            facets *= 10
    finally:
        shutil.rmtree(root)
    return found


def table(stages: list[Stage]) -> Table:
    """One row a cost, one column a count."""
    made = Table()
    made.add_column("facets")
    for one in stages:
        made.add_column(f"{one.facets:,}", justify="right")
    for name in asdict(stages[0]):
        if name != "facets":
            made.add_row(name, *(f"{asdict(one)[name]:,.1f}" for one in stages))
    return made
