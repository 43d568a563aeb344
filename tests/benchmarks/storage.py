"""What durable writes cost, against the disk itself."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from actors import LocalRuntime
from tests.benchmarks.actors import Leaf, Trunk, inside, numbers, opened
from tests.benchmarks.harness import Subject, benchmark

INSERTS = 20


class Raw:
    """Writing and syncing the same bytes to a zero-filled file, without any of us."""

    def __init__(self, record: int) -> None:
        self.record = record
        """Bytes that one insert sends to the journal."""
        self.file = NamedTemporaryFile(dir=Path.cwd())  # noqa: SIM115 - closed below
        self.fd = self.file.fileno()
        os.write(self.fd, bytes(16 << 20))
        os.fsync(self.fd)
        self.at = 0

    async def write(self) -> None:
        for _ in range(INSERTS):
            os.pwrite(self.fd, b"x" * self.record, self.at)
            os.fdatasync(self.fd)
            self.at = (self.at + self.record) % (15 << 20)

    def close(self) -> None:
        self.file.close()


async def raw_for(runtime: LocalRuntime, trunk: Any) -> Raw:
    """The reference for an insert of `trunk`'s leaf, as large as its record really is."""
    await trunk.run("insert", 0)
    before = runtime.stats().storage["journal"]
    await trunk.run("insert", 1)
    return Raw(runtime.stats().storage["journal"] - before)


@inside
async def insert(trunk: Trunk, n: int) -> None:
    await trunk.facets.get("leaf", Leaf).insert(n)


@inside
async def crowd(trunk: Trunk, n: int) -> None:
    await asyncio.gather(*[trunk.facets.get(f"leaf {i}", Leaf).insert(i) for i in range(n)])


@inside
async def first_write(trunk: Trunk, n: int) -> None:
    for _ in range(n):
        await trunk.facets.get(f"new {next(numbers)}", Leaf).insert(1)


@inside
async def reopen(trunk: Trunk, n: int) -> None:
    for i in range(n):
        trunk.facets.abort(f"old {i}")
        trunk._activation.node.child(f"old {i}").database.sleep()  # type: ignore[union-attr]
        await trunk.facets.get(f"old {i}", Leaf).insert(1)


@inside
async def make_old(trunk: Trunk, n: int) -> None:
    for i in range(n):
        await trunk.facets.get(f"old {i}", Leaf).insert(1)


@benchmark("facet RPC and a durable insert, one outside caller")
async def durable_insert() -> AsyncIterator[Subject]:
    async with opened() as (runtime, trunk):
        raw = await raw_for(runtime, trunk)

        async def work() -> None:
            for i in range(INSERTS):
                await trunk.run("insert", i)

        yield Subject(work, INSERTS, raw.write, INSERTS, "write + fdatasync")
        raw.close()


@benchmark("durable inserts, 100 facets at once, each")
async def durable_crowd() -> AsyncIterator[Subject]:
    async with opened() as (runtime, trunk):
        raw = await raw_for(runtime, trunk)
        yield Subject(lambda: trunk.run("crowd", 100), 100, raw.write, INSERTS, "write + fdatasync")
        raw.close()


@benchmark("durable inserts, 100 outside callers at once, each")
async def outside_crowd() -> AsyncIterator[Subject]:
    async with opened() as (runtime, trunk):
        raw = await raw_for(runtime, trunk)
        leaves = [runtime.get(Leaf, str(i)) for i in range(100)]

        async def work() -> None:
            await asyncio.gather(*[leaf.insert(1) for leaf in leaves])

        yield Subject(work, 100, raw.write, INSERTS, "write + fdatasync")
        raw.close()


@benchmark("new facet, first durable write (20 share one sync)")
async def new_facet_write() -> AsyncIterator[Subject]:
    async with opened() as (runtime, trunk):
        raw = await raw_for(runtime, trunk)
        yield Subject(
            lambda: trunk.run("first_write", INSERTS),
            INSERTS,
            raw.write,
            INSERTS,
            "write + fdatasync",
        )
        raw.close()


@benchmark("reopen a sleeping facet and insert (20 share one sync)")
async def reopen_facet() -> AsyncIterator[Subject]:
    async with opened() as (_, trunk):
        await trunk.run("make_old", INSERTS)
        yield Subject(lambda: trunk.run("reopen", INSERTS), INSERTS)
