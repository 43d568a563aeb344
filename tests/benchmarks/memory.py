"""What a live isolate facet holds."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

from tests.benchmarks.actors import TOOL, Trunk, inside, opened
from tests.benchmarks.harness import Figure, benchmark

LIVE = 50


def private_mb(pid: int | str = "self") -> float:
    """Memory that only this process, or another of ours, has and wrote to, in MB.

    Clean pages are left out: those of a file that one process maps once count as private, until
    it maps the file a second time.
    """
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Private_Dirty")) / 1024


@inside
async def live(trunk: Trunk, n: int) -> list[float]:
    isolate = trunk.isolates.get(TOOL)
    samples = []
    for batch in range(4):
        before = private_mb()
        for i in range(n):
            await trunk.facets.get(f"live {batch} {i}", isolate.actor("Tool")).nop(1)
        samples.append((private_mb() - before) / n)
    return samples


@benchmark("private memory of a live isolate facet")
async def memory() -> AsyncIterator[Figure]:
    async with opened() as (_, trunk):
        await trunk.run("live", 5)
        samples = await trunk.run("live", LIVE)
        yield Figure(samples, "MB")
