"""What large values cost on their way to an actor on Ray and back, beside a bare Ray actor."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from facets import Actor
from tests.benchmarks.cluster import cluster
from tests.benchmarks.harness import RAY, Subject, benchmark

SIZES = {"1 KB": 1_000, "100 KB": 100_000, "1 MB": 1_000_000, "100 MB": 100_000_000}


class Keeper(Actor):
    """Takes values in, and gives them back."""

    async def size(self, value: Any) -> int:
        return len(value)

    async def same(self, value: Any) -> Any:
        return value


class BareKeeper:
    """The same as a Ray actor."""

    async def size(self, value: Any) -> int:
        return len(value)

    async def same(self, value: Any) -> Any:
        return value


@asynccontextmanager
async def keepers() -> AsyncIterator[tuple[Any, Any]]:
    import ray

    async with cluster() as (runtime, _):
        bare: Any = ray.remote(BareKeeper).options(num_cpus=0, max_concurrency=100).remote()
        await bare.size.remote(b"")
        try:
            yield runtime.get(Keeper, "one"), bare
        finally:
            ray.kill(bare)


def row(label: str, size: int, way: str) -> None:
    """Register one row."""

    @benchmark(f"Ray: {label} of bytes, {way}", RAY)
    async def measured() -> AsyncIterator[Subject]:
        value = os.urandom(min(size, 1_000_000)) * max(1, size // 1_000_000)
        count = 20 if size < 10_000_000 else 1
        method = "size" if way == "one way" else "same"
        async with keepers() as (ours, bare):

            async def to_ours() -> None:
                for _ in range(count):
                    await getattr(ours, method)(value)

            async def to_bare() -> None:
                for _ in range(count):
                    await getattr(bare, method).remote(value)

            yield Subject(to_ours, count, to_bare, count, "bare Ray actor", rounds=7)


for label, size in SIZES.items():
    for way in ("one way", "and back"):
        row(label, size, way)
