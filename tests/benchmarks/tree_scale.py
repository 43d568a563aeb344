"""Tree operations against what is below: trees of 10, 100, ... facets on this disk.

    facets bench --trees 100000 [--json]

A trunk has one facet, and that has all the others, a row each. What is written in one record of one
row must not grow from column to column; what touches each actor is told for each. A tree takes
8 KB and more for each facet, and three of them are there at a time.
"""

from __future__ import annotations

import shutil
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from rich.table import Table

from facets import Actor, LocalRuntime
from storage import Store

FEW = 3
"""Runs of what touches each actor; half as many files again would not fit."""


class TreeLeaf(Actor):
    async def insert(self, n: int) -> None:
        self.kv["n"] = n

    async def names(self) -> None:
        self.facets.list()


class TreeTrunk(Actor):
    """Times its own operations on its facet `sub`, without the way to it."""

    async def write(self, n: int) -> None:
        await self.facets.get("sub", TreeLeaf).insert(n)

    async def write_leaf(self, n: int) -> None:
        await self.facets.get("leaf", TreeLeaf).insert(n)

    async def names(self) -> None:
        await self.facets.get("sub", TreeLeaf).names()

    async def do(self, method: str, *args: Any) -> float:
        began = time.perf_counter()
        done = getattr(self.facets, method)(*args)
        if isinstance(done, Awaitable):
            await done
        return (time.perf_counter() - began) * 1e6

    async def delete(self, name: str) -> None:
        self.facets.delete(name)


@dataclass(frozen=True)
class Stage:
    """Costs in a tree of so many facets, in us."""

    facets: int
    whole: dict[str, float] = field(default_factory=dict)
    """Of an operation."""
    each: dict[str, float] = field(default_factory=dict)
    """Of an operation, divided by the number of facets."""


def grow(root: Path, count: int) -> None:
    """That many, below the facet `sub` of a trunk, in a directory that is closed again."""
    store = Store.open(root)
    sub = store.root(TreeTrunk.kind, "trunk").child("sub")
    for name in ["", *map(str, range(count - 1))]:
        one = sub.child(name) if name else sub
        one.kv["n"] = 1
        one.commit()
        one.sleep()
        if store.congested:
            store.sync()
            store.tend()
    store.close()


class Trees:
    """One tree, and what is done to it."""

    def __init__(self, runtime: LocalRuntime, count: int, folder: Path) -> None:
        self.runtime = runtime
        self.stage = Stage(count)
        self.folder = folder
        self.trunk = runtime.get(TreeTrunk, "trunk")
        self.few = FEW if count <= 1_000 else 1

    async def measure(self) -> Stage:
        """Everything, in an order in which no more than three trees are there at a time."""
        await self.whole()
        await self.reading()
        await self.copies()
        await self.past()
        await self.deleting()
        return self.stage

    async def whole(self) -> None:
        runtime, do = self.runtime, self.trunk.do
        other = runtime.get(TreeTrunk, "other")
        await other.write_leaf(0)
        found = self.stage.whole
        found["write a facet"] = await self._median(20, lambda n: self.trunk.write_leaf(n))
        found["stat"] = await self._median(20, lambda _: do("stat", "sub"))
        names = ("sub", "renamed")
        found["rename"] = await self._median(
            20, lambda n: do("rename", names[n % 2], names[(n + 1) % 2])
        )
        for name in ("move", "promote", "demote"):
            found[name] = 0.0
        moves, promotes, demotes = [], [], []
        for _ in range(10):
            moves.append(await do("move", "sub", other))
            moves.append(await other.do("move", "sub", self.trunk))
            promotes.append(await do("promote", "sub", TreeLeaf, "free"))
            began = time.perf_counter()
            await runtime.demote(TreeLeaf, "free", self.trunk, "sub")
            demotes.append((time.perf_counter() - began) * 1e6)
        for name, samples in (("move", moves), ("promote", promotes), ("demote", demotes)):
            found[name] = statistics.median(samples)

    async def reading(self) -> None:
        runtime = self.runtime
        await self._each("stat with sums", lambda: runtime.stat(TreeTrunk, "trunk", below=True))
        await self._each("tree", lambda: runtime.tree(TreeTrunk, "trunk"))
        await self._each("list", self.trunk.names)

    async def copies(self) -> None:
        runtime, file = self.runtime, self.folder / "archive"
        await self._each("clone", lambda: runtime.clone(TreeTrunk, "trunk", "copy"))
        await self._each("diff of two trees", lambda: self._diff("trunk", "copy"))
        await self._once("delete", lambda: runtime.delete(TreeTrunk, "copy"))
        await self._each("export", lambda: runtime.export(TreeTrunk, "trunk", file))
        await self._each("import", lambda: runtime.import_(TreeTrunk, "copy", file))
        file.unlink()
        await runtime.delete(TreeTrunk, "copy")

    async def past(self) -> None:
        runtime = self.runtime
        mark = runtime.bookmark()
        await self.trunk.write(2)
        await self._each("diff since a bookmark", lambda: self._diff("trunk", None, at=mark))
        await self._each(
            "clone at a bookmark", lambda: runtime.clone(TreeTrunk, "trunk", "copy", at=mark)
        )
        await runtime.delete(TreeTrunk, "copy")
        await self._each("restore", lambda: runtime.restore(TreeTrunk, "trunk", mark))

    async def deleting(self) -> None:
        await self._once("delete below", lambda: self.trunk.delete("sub"))

    async def _diff(self, name: str, other: str | None, **moments: Any) -> None:
        async for _ in self.runtime.diff(TreeTrunk, name, other, **moments):
            pass

    async def _median(self, count: int, work: Callable[[int], Awaitable[object]]) -> float:
        samples = []
        for n in range(count):
            began = time.perf_counter()
            own = await work(n)
            took = (time.perf_counter() - began) * 1e6
            samples.append(own if isinstance(own, float) else took)
        return statistics.median(samples)

    async def _each(self, name: str, work: Callable[[], Any], runs: int | None = None) -> None:
        async def run(_: int) -> None:
            done = work()
            if isinstance(done, Awaitable):
                await done

        took = await self._median(runs or self.few, run)
        self.stage.each[name] = took / self.stage.facets

    async def _once(self, name: str, work: Callable[[], Any]) -> None:
        await self._each(name, work, 1)


async def measure(most: int, folder: Path, show: Callable[[Stage], object]) -> list[Stage]:
    """Trees of up to `most` facets, each in a directory below `folder` that is removed again."""
    found, facets = [], 10
    while facets <= most:
        root = Path(mkdtemp(prefix="trees-", dir=folder))
        try:
            grow(root / "state", facets)
            async with LocalRuntime(root / "state") as runtime:
                found.append(await Trees(runtime, facets, root).measure())
        finally:
            shutil.rmtree(root)
        show(found[-1])
        facets *= 10
    return found


def table(stages: list[Stage]) -> Table:
    """One row a cost, one column a count."""
    made = Table()
    made.add_column("us")
    for one in stages:
        made.add_column(f"{one.facets:,}", justify="right")
    for group, suffix in (("whole", ""), ("each", ", each")):
        for name in asdict(stages[0])[group]:
            made.add_row(name + suffix, *(f"{getattr(one, group)[name]:,.1f}" for one in stages))
    return made
