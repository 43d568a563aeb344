"""Backpressure: a journal that fills up holds new work back, and never for good."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from facets import Actor, LocalRuntime
from storage.limits import JournalLimits

SMALL = JournalLimits(segment=64 << 10, size=128 << 10, backlog=1 << 20)


class Writer(Actor, kind="RoomWriter"):
    async def write(self, n: int) -> int:
        self.kv[str(n % 7)] = b"x" * 20_000
        await asyncio.sleep(0)
        self.kv["n"] = n
        return n

    async def many(self, times: int) -> None:
        for n in range(times):
            await self.write(n)

    async def inside(self, times: int) -> None:
        async with self.facets.transaction():
            for n in range(times):
                await self.facets.get("a", Writer).write(n)
                await asyncio.sleep(0)

    async def copies(self, times: int) -> None:
        for n in range(times):
            await self.facets.get("a", Writer).write(n)
            await self.facets.clone("a", "b")


@pytest.fixture
async def runtime(state: Path) -> AsyncIterator[LocalRuntime]:
    async with LocalRuntime(state, journal=SMALL) as runtime:
        yield runtime


def size(runtime: LocalRuntime) -> int:
    return int(runtime.stats().storage["journal"])


async def test_a_crowd_of_writers_does_not_grow_the_journal_without_bound(
    runtime: LocalRuntime,
) -> None:
    writers = [runtime.get(Writer, str(n)) for n in range(10)]
    largest = 0
    for _ in range(10):
        await asyncio.gather(*[writer.many(5) for writer in writers])
        largest = max(largest, size(runtime))

    assert largest < 10 * SMALL.size


async def test_a_transaction_that_fills_the_journal_ends(runtime: LocalRuntime) -> None:
    writer = runtime.get(Writer, "a")
    others = [runtime.get(Writer, str(n)) for n in range(5)]

    await asyncio.gather(writer.inside(30), *[other.many(20) for other in others])

    assert await writer.write(1) == 1


async def test_clones_go_on_while_the_journal_is_full(runtime: LocalRuntime) -> None:
    trees = [runtime.get(Writer, str(n)) for n in range(5)]

    await asyncio.gather(*[tree.copies(10) for tree in trees])

    assert await trees[0].write(1) == 1


class Parent(Actor, kind="RoomParent"):
    async def fill(self, count: int) -> None:
        for n in range(count):
            await self.facets.get(str(n), Writer).write(n)

    async def facets_below(self) -> int:
        return len(self.facets.list())


async def test_a_crowd_of_small_databases_leaves_only_so_many_to_a_recovery(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.checkpoint.MANY", 8)
    monkeypatch.setattr("storage.checkpoint.ROUND", 16)
    async with LocalRuntime(state) as runtime:
        await runtime.get(Parent, "a").fill(100)  # one answer: one sync for all of them
        checkpointer = runtime.host.store._checkpointer
        while checkpointer.running:
            await asyncio.sleep(0)
        assert len(checkpointer._dirty) <= 8
    async with LocalRuntime(state) as runtime:
        assert await runtime.get(Parent, "a").facets_below() == 100
