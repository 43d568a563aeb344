"""What a call costs on Ray, beside a bare Ray actor."""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from actors.ray.errors import HostLost
from actors.ray.runtime import RayRuntime
from facets import Actor
from tests.benchmarks.harness import RAY, Figure, Lap, Subject, benchmark

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
async def cluster(hosts: int = 1) -> AsyncIterator[tuple[RayRuntime, Any]]:
    import ray

    if not ray.is_initialized():
        ray.init(
            "local", num_cpus=CPUS, include_dashboard=False, log_to_driver=False, namespace="facets"
        )
    with tempfile.TemporaryDirectory(prefix="facets-bench-") as root:
        async with RayRuntime(root, hosts=hosts) as runtime:
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
            rounds = max(1, 512 // at_once)

            async def ours() -> None:
                for _ in range(rounds):
                    await asyncio.gather(*[stubs[i % 16].echo(i) for i in range(at_once)])

            async def theirs() -> None:
                for _ in range(rounds):
                    await asyncio.gather(*[bare.echo.remote(i) for i in range(at_once)])

            count = at_once * rounds
            yield Subject(ours, count, theirs, count, "bare Ray actor", rounds=7)


for at_once in (1, 16, 256, 4096):
    gathered(at_once)


@benchmark("Ray: durable write, 256 at once", RAY)
async def writes() -> AsyncIterator[Subject]:
    async with cluster() as (runtime, _):
        stubs = [runtime.get(Counter, f"{i}") for i in range(256)]

        async def ours() -> None:
            await asyncio.gather(*[stub.insert(1) for stub in stubs])

        yield Subject(ours, 256)


@benchmark("Ray: new actor with 10 facets, first answer", RAY)
async def creation() -> AsyncIterator[Subject]:
    import ray

    names = iter(range(10**9))
    async with cluster() as (runtime, _):

        async def ours() -> None:
            made = [runtime.get(Counter, f"new {next(names)}") for _ in range(100)]
            await asyncio.gather(*[one.grow(10) for one in made])

        async def theirs() -> Lap:
            started = time.perf_counter()
            made: Any = ray.remote(Bare).options(num_cpus=0).remote()
            await made.echo.remote(1)
            took = time.perf_counter() - started
            ray.kill(made)
            return Lap(took * 1e6)

        yield Subject(ours, 100, theirs, 1, "new bare Ray actor", rounds=5)


@benchmark("Ray: first answer after the host was killed", RAY)
async def failover() -> AsyncIterator[Figure]:
    async with cluster() as (runtime, _):
        stub = runtime.get(Counter, "one")
        await stub.insert(1)
        samples = []
        for _ in range(5):
            pid = await stub.process()
            os.kill(pid, signal.SIGKILL)
            samples.append(await _until_back(stub))
        yield Figure(samples, "ms")


async def _until_back(stub: Any) -> float:
    started = time.perf_counter()
    while True:
        try:
            await stub.echo(1)
        except HostLost:
            await asyncio.sleep(0.01)
        else:
            return (time.perf_counter() - started) * 1e3


@benchmark("Ray: memory of an awake actor with 10 facets", RAY)
async def memory() -> AsyncIterator[Figure]:
    async with cluster() as (runtime, _):
        pid = await runtime.get(Counter, "one").process()
        samples = []
        for i in range(5):
            before = _resident(pid)
            made = [runtime.get(Counter, f"{i} {k}") for k in range(200)]
            await asyncio.gather(*[one.grow(10) for one in made])
            samples.append((_resident(pid) - before) / 200)
        yield Figure(samples, "KB")


def _resident(pid: int) -> float:
    said = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in said.splitlines() if line.startswith("VmRSS"))
    return float(line.split()[1])
