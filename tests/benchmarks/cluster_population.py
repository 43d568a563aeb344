"""What many actors cost on Ray, beside bare Ray actors.

    python -m tests.benchmarks.cluster_population --actors 10000 --facets 10 --bare 40

creates so many once, and says what that took in time and memory; bare actors as far as given.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.benchmarks.cluster import Bare, Counter, cluster
from tests.benchmarks.harness import RAY, Figure, Lap, Subject, benchmark

AT_ONCE = 250
"""Actors that are made at the same time."""


class BareProcess(Bare):
    """It also says who it is."""

    async def process(self) -> int:
        return os.getpid()


@benchmark("Ray: new actor with 10 facets, first answer", RAY)
async def creation() -> AsyncIterator[Subject]:
    import ray

    names = iter(range(10**9))
    async with cluster() as (runtime, _):

        async def ours() -> None:
            await _grow(runtime, [f"new {next(names)}" for _ in range(100)], 10)

        async def theirs() -> Lap:
            started = time.perf_counter()
            made: Any = ray.remote(Bare).options(num_cpus=0).remote()
            await made.echo.remote(1)
            took = time.perf_counter() - started
            ray.kill(made)
            return Lap(took * 1e6)

        yield Subject(ours, 100, theirs, 1, "new bare Ray actor", rounds=5)


@benchmark("Ray: memory of an awake actor with 10 facets", RAY)
async def memory() -> AsyncIterator[Figure]:
    async with cluster() as (runtime, _):
        pid = await runtime.get(Counter, "one").process()
        bare = await _bare(2)
        samples = []
        for i in range(5):
            before = private(pid)
            await _grow(runtime, [f"{i} {k}" for k in range(200)], 10)
            samples.append((private(pid) - before) / 200)
        yield Figure(samples, "KB", bare.kb_each, "bare Ray actor")


async def _grow(runtime: Any, names: list[str], facets: int) -> None:
    await asyncio.gather(*[runtime.get(Counter, one).grow(facets) for one in names])


def private(pid: int) -> float:
    """KB that are this process's own: what would be free without it."""
    said = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return float(sum(int(line.split()[1]) for line in said if line.startswith("Private_")))


# -- once, in full ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Crowd:
    """So many that were made."""

    count: int
    seconds: float
    kb_each: float


async def _bare(count: int) -> Crowd:
    """Bare actors, one after the other's first answer; they are ended again."""
    import ray

    made: list[Any] = []
    started = time.perf_counter()
    try:
        pids = []
        for _ in range(count):
            made.append(ray.remote(BareProcess).options(num_cpus=0).remote())
            pids.append(await made[-1].process.remote())
        took = time.perf_counter() - started
        return Crowd(count, took, sum(private(pid) for pid in pids) / count)
    finally:
        for one in made:
            with suppress(Exception):
                ray.kill(one)


async def _ours(actors: int, facets: int) -> Crowd:
    async with cluster() as (runtime, _):
        pid = await runtime.get(Counter, "first").process()
        before, started = private(pid), time.perf_counter()
        for first in range(0, actors, AT_ONCE):
            names = [f"{n}" for n in range(first, min(first + AT_ONCE, actors))]
            await _grow(runtime, names, facets)
        took = time.perf_counter() - started
        return Crowd(actors, took, (private(pid) - before) / actors)


async def _both(actors: int, facets: int, bare: int) -> dict[str, Any]:
    found: dict[str, Any] = {"ours": asdict(await _ours(actors, facets)), "facets_each": facets}
    if bare:
        found["bare"] = asdict(await _bare(bare))
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--actors", type=int, default=10_000)
    parser.add_argument("--facets", type=int, default=10)
    parser.add_argument("--bare", type=int, default=20)
    print(json.dumps(asyncio.run(_both(**vars(parser.parse_args())))))
