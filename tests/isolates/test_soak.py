"""Isolates leave nothing behind: minted, run and dropped as often as you like.

FACETS_SOAK_CYCLES says how often; 100,000 take some minutes.
"""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from facets import Actor, Limits, LocalRuntime
from facets.errors import CpuLimit, GuestError
from facets.isolates import image
from tests.benchmarks.memory import private_mb

CYCLES = int(os.environ.get("FACETS_SOAK_CYCLES", "400"))
WARM = 100
"""Cycles until threads, caches and heaps have the size that they keep."""
GROWTH = 16.0
"""MB that all cycles together may add. A live isolate holds about 0.7, so a few dozen that stayed
behind, or 40 KB lost with each of 400, would show."""
SOURCE = """
import asyncio
from facets import Actor

class Tool(Actor):
    async def run(self, n):
        return [n, str(n)]

    async def fail(self):
        raise ValueError("as asked")

    async def wait(self):
        await asyncio.sleep(3600)

    async def spin(self):
        while True:
            pass

async def main(n):
    print("cycle", n)
    return n + 1
"""


class Owner(Actor):
    """Uses isolates in every way in which they end."""

    async def cycle(self, n: int) -> None:
        await (self.fine, self.fine, self.failing, self.waiting, self.once)[n % 5](n)
        if n % 100 == 99:
            await self.spinning()

    def tool(self, source: str, **options: Any) -> Any:
        return self.facets.get("tool", self.isolates.load(source, **options).actor("Tool"))

    async def fine(self, n: int) -> None:
        assert await self.tool(SOURCE).run(n) == [n, str(n)]
        self.facets.abort("tool")

    async def failing(self, n: int) -> None:
        with pytest.raises(GuestError, match="as asked"):
            await self.tool(f"{SOURCE}# {n}\n").fail()
        self.facets.delete("tool")

    async def waiting(self, n: int) -> None:
        waits = asyncio.ensure_future(self.tool(SOURCE, env={"n": n}).wait())
        await self.tool(SOURCE, env={"n": n}).run(n)
        self.facets.abort("tool")
        with pytest.raises(Exception, match="abort"):
            await waits

    async def once(self, n: int) -> None:
        assert await self.isolates.run(f"{SOURCE}# {n}\n", n) == n + 1

    async def spinning(self) -> None:
        with pytest.raises(CpuLimit):
            await self.tool(SOURCE, limits=Limits(cpu=0.01)).spin()


class Held(NamedTuple):
    """What the process holds."""

    descriptors: int
    threads: int
    mappings: int
    megabytes: float

    @classmethod
    def now(cls) -> Held:
        image.load().pool.drain()
        gc.collect()
        proc = Path("/proc/self")
        return cls(
            len(list((proc / "fd").iterdir())),
            len(list((proc / "task").iterdir())),
            len((proc / "maps").read_text().splitlines()),
            private_mb(),
        )


@pytest.fixture
async def owner(state: Path) -> AsyncIterator[Any]:
    async with LocalRuntime(state) as runtime:
        yield runtime.get(Owner, "owner")


@pytest.mark.timeout(max(120, CYCLES // 20))
async def test_cycles_of_mint_run_and_drop_leave_nothing_behind(owner: Any) -> None:
    for n in range(WARM):
        await owner.cycle(n)
    before = Held.now()
    for n in range(CYCLES):
        await owner.cycle(n)
    after = Held.now()

    assert after.descriptors <= before.descriptors
    assert after.threads <= before.threads + 1  # a pool's last thread may start late
    assert after.mappings <= before.mappings + 50  # the heap splits and joins its own
    assert after.megabytes <= before.megabytes + GROWTH
