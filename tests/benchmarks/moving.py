"""What it takes to move actors from one host to another: `python -m tests.benchmarks.moving`.

Two hosts in one process, so without Ray's part: what a bucket without trees, a tree and its size
cost, and how long calls of what moves have to wait.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from actors.ray.directory import BUCKETS, amend
from facets import Actor
from tests.actors.ray.neighbours import Side, shared

EVERY = range(BUCKETS)
TREES = 256
LARGE = 8


class Cell(Actor, kind="BenchmarkCell"):
    async def fill(self, size: int) -> None:
        self.kv["data"] = b"x" * min(size, 1 << 20)
        for i in range(size >> 20):
            self.kv[f"data {i}"] = bytes(1 << 20)

    async def below(self) -> None:
        await self.facets.get("below", Cell).fill(100)


async def measure(folder: Path) -> None:
    """Print a table."""
    store = shared(folder)
    one, two = [Side(folder, name, store, Cell) for name in ("a", "b")]
    await one.open(["a", "b"])
    await two.open(["a", "b"])
    amend(store, lambda found: found.moved(EVERY, "a"))
    await one.look()
    await two.look()
    sides = [one, two]

    async def moved(what: str, each: int) -> None:
        source, target = sides
        began = time.perf_counter()
        done = await source.handover.give(EVERY, target.name, target)
        took = time.perf_counter() - began
        sides.reverse()
        print(
            f"{what:34} {1e3 * took:9.1f} ms  {1e3 * took / each:8.3f} ms each  "
            f"held {1e3 * done.held:7.1f} ms  {done.size / 1e6:7.1f} MB"
        )

    for _ in range(3):
        await moved("4,096 buckets without trees", 1)
    for i in range(TREES):
        await sides[0].call(Cell, f"small {i}", "fill", 100)
    for _ in range(2):
        await moved(f"{TREES} actors, asleep or idle", TREES)
    for i in range(TREES):
        await sides[0].call(Cell, f"small {i}", "below")
    for _ in range(2):
        await moved(f"{TREES} actors with a facet", TREES)
    for i in range(TREES):
        await sides[0].runtime.delete(Cell, f"small {i}")
    for i in range(LARGE):
        await sides[0].call(Cell, f"large {i}", "fill", 16 << 20)
    for _ in range(2):
        await moved(f"{LARGE} actors of 16 MB, each MB", LARGE * 16)
    for side in sides:
        await side.end()


if __name__ == "__main__":
    with TemporaryDirectory(prefix="facets-") as folder:
        asyncio.run(measure(Path(folder)))
