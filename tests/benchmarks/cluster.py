"""What a call costs on Ray, beside a bare Ray actor."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from actors.ray.runtime import RayRuntime
from facets import Actor
from tests.benchmarks.harness import RAY, Subject, benchmark

CPUS = 4
"""What Ray is told this machine has: its workers, ours and the bare actors, start at once."""


class Counter(Actor):
    """One method without a write, one with."""

    async def echo(self, n: int) -> int:
        return n

    async def insert(self, n: int) -> None:
        self.kv["n"] = n

    async def grow(self, facets: int) -> int:
        for i in range(facets):
            await self.facets.get(f"facet {i}", Counter).echo(i)
        return facets

    async def process(self) -> int:
        return os.getpid()


class Bare:
    """The same as a Ray actor."""

    async def echo(self, n: int) -> int:
        return n


@asynccontextmanager
async def cluster(**options: Any) -> AsyncIterator[tuple[RayRuntime, Any]]:
    """A runtime, and a bare actor beside it."""
    import ray

    if not ray.is_initialized():
        ray.init(
            "local", num_cpus=CPUS, include_dashboard=False, log_to_driver=False, namespace="facets"
        )
    with tempfile.TemporaryDirectory(prefix="facets-bench-") as root:
        async with RayRuntime(root, **options) as runtime:
            bare: Any = ray.remote(Bare).options(num_cpus=0, max_concurrency=10_000).remote()
            await bare.echo.remote(0)
            try:
                yield runtime, bare
            finally:
                ray.kill(bare)
                await runtime.down()


@benchmark("Ray: call, one at a time", RAY)
async def single() -> AsyncIterator[Subject]:
    async with cluster() as (runtime, bare):
        stub = runtime.get(Counter, "one")

        async def ours() -> None:
            for i in range(100):
                await stub.echo(i)

        async def theirs() -> None:
            for i in range(100):
                await bare.echo.remote(i)

        yield Subject(ours, 100, theirs, 100, "bare Ray actor")


def gathered(at_once: int) -> None:
    """Register one row."""

    @benchmark(f"Ray: call, {at_once:,} at once", RAY)
    async def row() -> AsyncIterator[Subject]:
        async with cluster() as (runtime, bare):
            stubs = [runtime.get(Counter, f"{i}") for i in range(16)]
            rounds = max(1, 256 // at_once)

            async def ours() -> None:
                for _ in range(rounds):
                    await asyncio.gather(*[stubs[i % 16].echo(i) for i in range(at_once)])

            async def theirs() -> None:
                for _ in range(rounds):
                    await asyncio.gather(*[bare.echo.remote(i) for i in range(at_once)])

            count = at_once * rounds
            yield Subject(ours, count, theirs, count, "bare Ray actor", rounds=5)


for at_once in (1, 16, 256, 4096):
    gathered(at_once)


@benchmark("Ray: durable write, 128 at once", RAY)
async def writes() -> AsyncIterator[Subject]:
    async with cluster() as (runtime, _):
        # Fewer than databases stay open: what is measured is a write, not reopening.
        stubs = [runtime.get(Counter, f"{i}") for i in range(128)]

        async def ours() -> None:
            await asyncio.gather(*[stub.insert(1) for stub in stubs])

        yield Subject(ours, 128)
