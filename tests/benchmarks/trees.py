"""Operations on whole trees: what grows with what is below, and what does not."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from itertools import cycle
from typing import Any

from facets import LocalRuntime
from storage import Store
from tests.benchmarks.actors import Leaf, Trunk, elapsed_us, inside, opened
from tests.benchmarks.harness import Benchmark, Lap, Subject, benchmark

COUNTS = (10, 1_000)
Work = Callable[[], Awaitable[object]]


def grow(store: Store, count: int, root: str = "trunk") -> None:
    """`count` facets with a row each, below the facet `sub` of a trunk."""
    sub = store.root("Trunk", root).child("sub")
    for name in ["", *map(str, range(count - 1))]:
        one = sub.child(name) if name else sub
        one.kv["n"] = 1
        one.commit()
        one.sleep()
    store.sync()
    store.tend(everything=True)


@asynccontextmanager
async def grown(count: int) -> AsyncIterator[tuple[LocalRuntime, Any]]:
    """A runtime with such a trunk."""
    async with opened() as (runtime, trunk):
        grow(runtime.host.store, count)
        await trunk.run("write_leaf", 0)
        yield runtime, trunk


@inside
async def write_leaf(self: Trunk, n: int) -> None:
    await self.facets.get("leaf", Leaf).insert(n)


@inside
async def rename_sub(self: Trunk, n: int) -> None:
    names = ("sub", "other")
    self.facets.rename(names[n % 2], names[(n + 1) % 2])


@inside
async def stat_sub(self: Trunk, n: int) -> float:
    began = time.perf_counter()
    for _ in range(n):
        self.facets.stat("sub")
    return elapsed_us(began)


async def rename(count: int) -> AsyncIterator[Subject]:
    async with grown(count) as (_, trunk):
        turns = cycle((0, 1))
        yield Subject(
            lambda: trunk.run("rename_sub", next(turns)),
            reference=lambda: trunk.run("write_leaf", 1),
            against="a write of a facet",
        )


async def promote(count: int) -> AsyncIterator[Subject]:
    """There and back: half of it each."""
    async with grown(count) as (runtime, trunk):

        async def both() -> None:
            await trunk.run("promote_sub", 0)
            await runtime.demote(Leaf, "free", trunk, "sub")

        yield Subject(
            both, 2, reference=lambda: trunk.run("write_leaf", 1), against="a write of a facet"
        )


@inside
async def promote_sub(self: Trunk, _: int) -> None:
    self.facets.promote("sub", Leaf, "free")


async def move(count: int) -> AsyncIterator[Subject]:
    """To another tree and back: half of it each."""
    async with grown(count) as (runtime, trunk):
        other = runtime.get(Trunk, "other")
        OTHERS[:] = [trunk, other]

        async def both() -> None:
            await trunk.run("move_sub", 1)
            await other.run("move_sub", 0)

        yield Subject(
            both, 2, reference=lambda: trunk.run("write_leaf", 1), against="a write of a facet"
        )


OTHERS: list[Any] = []


@inside
async def move_sub(self: Trunk, to: int) -> None:
    self.facets.move("sub", OTHERS[to])


async def clone(count: int) -> AsyncIterator[Subject]:
    async with grown(count) as (runtime, _):
        yield Subject(lambda: runtime.clone(Trunk, "trunk", "copy"), count, rounds=3)


async def clone_past(count: int) -> AsyncIterator[Subject]:
    async with grown(count) as (runtime, trunk):
        then = runtime.bookmark()
        for n in range(10):
            await trunk.run("write_leaf", n)
        yield Subject(lambda: runtime.clone(Trunk, "trunk", "copy", at=then), count, rounds=3)


async def diff(count: int) -> AsyncIterator[Subject]:
    async with grown(count) as (runtime, trunk):
        then = runtime.bookmark()
        await trunk.run("write_leaf", 1)

        async def told() -> None:
            assert [one async for one in runtime.diff(Trunk, "trunk", at=then)]

        yield Subject(told, count, rounds=3)


async def stat(count: int) -> AsyncIterator[Subject]:
    async with grown(count) as (_, trunk):

        async def work() -> Lap:
            return Lap(await trunk.run("stat_sub", 1_000))

        yield Subject(work, 1_000)


async def sums(count: int) -> AsyncIterator[Subject]:
    async with grown(count) as (runtime, _):

        async def work() -> None:
            runtime.stat(Trunk, "trunk", below=True)

        yield Subject(work, count)


async def tree(count: int) -> AsyncIterator[Subject]:
    async with grown(count) as (runtime, _):

        async def work() -> None:
            runtime.tree(Trunk, "trunk")

        yield Subject(work, count)


WHOLE: dict[str, Callable[[int], AsyncIterator[Subject]]] = {
    "rename a facet with": rename,
    "promote or demote a facet with": promote,
    "move to another tree a facet with": move,
    "stat of a facet with": stat,
}
"""Measured as a whole: what is below must not matter."""
EACH: dict[str, Callable[[int], AsyncIterator[Subject]]] = {
    "clone, an actor of": clone,
    "clone at a bookmark, an actor of": clone_past,
    "diff against a bookmark, an actor of": diff,
    "sums of a subtree, an actor of": sums,
    "list of a subtree, an actor of": tree,
}
for _count in COUNTS:
    for _name, _function in WHOLE.items():
        _whole: Benchmark = partial(_function, _count)
        benchmark(f"{_name} {_count:,} below")(_whole)
for _count in COUNTS:
    for _name, _function in EACH.items():
        _each: Benchmark = partial(_function, _count)
        benchmark(f"{_name} {_count:,}")(_each)
