"""What it costs to have many isolates at once, and to make them on more than one processor.

FACETS_BENCH_LIVE says how many at most; memory that runs short ends it earlier.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import time
from collections.abc import AsyncIterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from facets.isolates import image
from facets.isolates.instance import Instance
from tests.benchmarks.actors import TOOL, Trunk, inside, numbers, opened
from tests.benchmarks.harness import Figure, Skip, benchmark
from tests.benchmarks.memory import private_mb

MOST = int(os.environ.get("FACETS_BENCH_LIVE", "1000"))
COUNTS = (1, 10, 100, 1_000, 5_000)
EACH_MB = 2.5
"""More than a live isolate takes; to know beforehand whether they fit."""
MINTS = 200
"""Instances each worker makes for one sample."""


def _room_for(count: int) -> None:
    """Skip where so many are not wanted or do not fit in the memory that is free."""
    if count > MOST:
        raise Skip(f"set FACETS_BENCH_LIVE={count} or more")
    lines = Path("/proc/meminfo").read_text().splitlines()
    free = next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable")) / 1024
    if count * EACH_MB > free * 0.8:
        raise Skip(f"{count:,} take {count * EACH_MB:,.0f} MB, and {free:,.0f} are free")


@inside
async def many(trunk: Trunk, n: int) -> dict[str, float]:
    """Have `n` alive that each answered once: milliseconds and private MB of each."""
    isolate, pool = trunk.isolates.get(TOOL), image.load().pool
    names = [f"many {next(numbers)}" for _ in range(n)]
    pool.drain()
    before, began = private_mb(), time.perf_counter()
    for name in names:
        await trunk.facets.get(name, isolate.actor("Tool")).nop(1)
    took = time.perf_counter() - began
    pool.drain()  # what was made ahead is not in use
    grown = private_mb() - before
    for name in names:
        trunk.facets.abort(name)
    return {"ms": took / n * 1e3, "MB": grown / n}


async def _alive(count: int, unit: str) -> AsyncIterator[Figure]:
    if count not in _found:
        _room_for(count)
        async with opened() as (_, trunk):
            await trunk.run("many", 1)
            rounds = range(5 if count <= 100 else 2)
            _found[count] = [await trunk.run("many", count) for _ in rounds]
    samples = [one[unit] for one in _found[count]]
    # Later rounds find room in what the first one left of the heap, and so would show too little.
    yield Figure(samples if unit == "ms" else samples[:1] * 2, unit)


_found: dict[int, list[dict[str, float]]] = {}
"""Both units are measured in one go."""
for _count in COUNTS:
    for _unit, _what in (("ms", "time"), ("MB", "private memory")):
        _title = f"isolate: {_count:,} at once, {_what} of each"
        benchmark(_title)(partial(_alive, _count, _unit))


def mint(n: int) -> tuple[float, float]:
    """Make and drop `n` instances; when it began and ended, on a clock all processes share."""
    guest = image.load()
    began = time.monotonic()
    for _ in range(n):
        Instance(guest, 64 << 20, 1 << 20).close()
    return began, time.monotonic()


async def _mints(kind: Any, workers: int) -> AsyncIterator[Figure]:
    """Instances a second of so many workers, from when the first began to when the last ended."""
    rates = []
    with kind(workers) as pool:
        await _round(pool, workers, 5)
        for _ in range(5):
            spans = await _round(pool, workers, MINTS)
            took = max(end for _, end in spans) - min(began for began, _ in spans)
            rates.append(workers * MINTS / took)
    yield Figure(rates, "/s")


async def _round(pool: Executor, workers: int, n: int) -> list[tuple[float, float]]:
    loop = asyncio.get_running_loop()
    return await asyncio.gather(*[loop.run_in_executor(pool, mint, n) for _ in range(workers)])


def _processes(workers: int) -> Executor:
    # Not forked: a copy of a process with Wasmtime's threads and locks in it is of no use.
    return ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))


for _kind, _name in ((ThreadPoolExecutor, "thread"), (_processes, "process")):
    for _workers in (1, 2):
        _plural = _name if _workers == 1 else {"thread": "threads", "process": "processes"}[_name]
        benchmark(f"isolate: mints per second, {_workers} {_plural}")(
            partial(_mints, _kind, _workers)
        )
