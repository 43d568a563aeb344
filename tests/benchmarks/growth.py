"""How costs grow: with the number of actors, with the length of the journal."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import apsw

from storage import Store
from storage.limits import JournalLimits
from tests.benchmarks.actors import Leaf, opened
from tests.benchmarks.harness import Benchmark, Figure, benchmark
from tests.benchmarks.storage import crowd  # noqa: F401 - registered there, run here

ROUND = 2000
"""Durable inserts of one sample."""


async def _naive(folder: Path, count: int) -> float:
    """Durable inserts a second where every database syncs itself."""
    count = min(count, 100)
    connections = []
    for i in range(count):
        db = apsw.Connection(str(folder / f"naive {i}.db"))
        for pragma in ("journal_mode=wal", "synchronous=full", "wal_autocheckpoint=0"):
            db.execute(f"pragma {pragma}").fetchall()
        db.execute("create table rows(n integer)")
        connections.append(db)
    began = time.perf_counter()
    for n in range(500):
        connections[n % count].execute("insert into rows values (?)", (n,))
    rate = 500 / (time.perf_counter() - began)
    for db in connections:
        db.close()
    return rate


async def _rate(count: int) -> AsyncIterator[Figure]:
    with TemporaryDirectory(dir=Path.cwd()) as folder:
        naive = await _naive(Path(folder), count)
    async with opened(open_databases=min(count + 256, 2000)) as (_, trunk):
        await trunk.run("crowd", count)
        rates = []
        for _ in range(7 if count < 10_000 else 2):
            rounds = max(1, ROUND // count)
            began = time.perf_counter()
            for _ in range(rounds):
                await trunk.run("crowd", count)
            rates.append(rounds * count / (time.perf_counter() - began))
        yield Figure(rates, "/s", naive, "a sync each")


for _count in (1, 10, 100, 1_000, 10_000):
    _made: Benchmark = partial(_rate, _count)
    benchmark(f"durable inserts by {_count:,} facets at once")(_made)


@benchmark("recovery of 100 MB of journal")
async def recovery() -> AsyncIterator[Figure]:
    with TemporaryDirectory(dir=Path.cwd()) as folder:
        root = Path(folder) / "state"
        store = Store.open(root, journal=JournalLimits(size=1 << 40), open_databases=64)
        actors = [store.root("Leaf", str(i)) for i in range(64)]
        n = 0
        while store.stats()["journal"] < 100 << 20:
            one = actors[n % 64]
            one.sql("create table if not exists rows(n, b)")
            one.sql("insert into rows values (?, randomblob(1000))", n)
            one.commit()
            n += 1
        store.sync()
        samples = []
        for i in range(3):
            copy = Path(folder) / f"copy {i}"
            shutil.copytree(root, copy)
            began = time.perf_counter()
            Store.open(copy).close()
            samples.append((time.perf_counter() - began) * 1e3)
        store.close()
        yield Figure(samples, "ms")


def _written(work: Callable[[], Any]) -> int:
    """Bytes that this process sent towards the disk meanwhile."""

    def total() -> int:
        said = Path(f"/proc/{os.getpid()}/io").read_text()
        return int(said.split("write_bytes: ")[1].split()[0])

    before = total()
    work()
    return total() - before


@benchmark("bytes written per byte of user data, rows of 1 KB")
async def amplification() -> AsyncIterator[Figure]:
    samples = []
    for _ in range(3):
        with TemporaryDirectory(dir=Path.cwd()) as folder:
            store = Store.open(Path(folder) / "state")
            actor = store.root("Leaf", "a")
            actor.sql("create table rows(n integer primary key, b)")
            actor.commit()

            def work(store: Store = store, actor: Any = actor) -> None:
                for _ in range(5000):
                    actor.sql("insert into rows(b) values (randomblob(1000))")
                    actor.commit()
                    store.sync()
                    store.tend()
                store.tend(everything=True)
                os.sync()

            samples.append(await asyncio.to_thread(_bound, store, work) / 5_000_000)
            store.bind_thread()
            store.close()
    yield Figure(samples, "x")


def _bound(store: Store, work: Callable[[], None]) -> int:
    store.bind_thread()
    return _written(work)


__all__ = ["Leaf"]
