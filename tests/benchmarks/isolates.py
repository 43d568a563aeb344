"""What sandboxes cost."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from typing import Any

from facets.isolates import Code, Limits, image
from facets.isolates.instance import Instance
from tests.benchmarks.actors import TOOL, WORK, Trunk, elapsed_us, inside, numbers, opened
from tests.benchmarks.harness import Figure, Subject, benchmark
from tests.benchmarks.tools import ECHO, LEDGER

CALLS = 200
FRESH = 15
MANY = int(os.environ.get("FACETS_BENCH_LIVE", "100"))
"""Isolates alive at once: set it to 1000 or 5000 to see what many cost."""


def _facet(trunk: Trunk, name: str, source: str = TOOL) -> Any:
    return trunk.facets.get(name, trunk.isolates.load(source).actor("Tool"))


@inside
async def warm(trunk: Trunk, n: int) -> None:
    tool = trunk.facets.get("warm", trunk.isolates.get(TOOL).actor("Tool"))
    for i in range(n):
        await tool.nop(i)


@inside
async def warm_insert(trunk: Trunk, n: int) -> None:
    tool = trunk.facets.get("warm", trunk.isolates.get(TOOL).actor("Tool"))
    for i in range(n):
        await tool.insert(i)


async def _fresh(trunk: Trunk, source: str) -> dict[str, float]:
    """One fresh isolate: microseconds of mint, load, and the first result with both in it."""
    name = f"fresh {next(numbers)}"
    started = time.perf_counter()
    await _facet(trunk, name, source).nop(1)
    first = elapsed_us(started)
    timings = trunk.facets.stat(name).timings
    trunk.facets.abort(name)
    return {"mint": timings["mint"] * 1e3, "load": timings["load"] * 1e3, "first": first}


async def _prepare(pooled: bool) -> None:
    """Have an instance in the pool, or none."""
    pool = image.load().pool
    pool.drain()
    if pooled:
        pool.take(64 << 20, 1 << 24).close()
        while not pool.ready:
            await asyncio.sleep(0.002)


async def _samples(
    trunk: Trunk, n: int, source: str, *, cached: bool, pooled: bool
) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {"mint": [], "load": [], "first": []}
    for _ in range(3):  # from the third load on the code comes from the cache
        await _fresh(trunk, source)
    guest = image.load()
    while cached and guest.code.get(Code.of(source)) is None:
        await asyncio.sleep(0.001)
    for _ in range(n):
        await _prepare(pooled)
        sample = source if cached else f"{source}# {next(numbers)}\n"
        for phase, value in (await _fresh(trunk, sample)).items():
            found[phase].append(value)
    return found


def _case(name: str, source: str, *, cached: bool, pooled: bool) -> None:
    """Register how to measure this source in this way, inside the parent."""

    async def case(trunk: Trunk, n: int) -> dict[str, list[float]]:
        return await _samples(trunk, n, source, cached=cached, pooled=pooled)

    WORK[name] = case


_case("12 lines", TOOL, cached=False, pooled=False)
_case("ledger", LEDGER, cached=False, pooled=False)
_case("ledger, cached", LEDGER, cached=True, pooled=False)
_case("ledger, pooled", LEDGER, cached=False, pooled=True)
_case("ledger, cached and pooled", LEDGER, cached=True, pooled=True)


@inside
async def echo_text(trunk: Trunk, n: int) -> dict[str, list[float]]:
    """Microseconds for text of `n` bytes to go in and come back."""
    roomy = Limits(memory=256 << 20)
    tool = trunk.facets.get("echo", trunk.isolates.get(ECHO, limits=roomy).actor("Tool"))
    text, samples = "x" * n, []
    for _ in range(5 if n > 1 << 20 else 15):
        started = time.perf_counter()
        await tool.nop(text)
        samples.append(elapsed_us(started))
    return {"echo": samples}


@inside
async def mints(trunk: Trunk, n: int) -> dict[str, list[float]]:
    """Instances minted in a second on one thread."""
    del trunk
    guest, rates = image.load(), []
    for _ in range(5):
        started = time.perf_counter()
        for _ in range(n):
            Instance(guest, 64 << 20, 1 << 20).close()
        rates.append(n / (time.perf_counter() - started))
    return {"mints": rates}


@inside
async def many(trunk: Trunk, n: int) -> dict[str, list[float]]:
    """Milliseconds each for `n` isolates to be alive at once and answer."""
    isolate = trunk.isolates.get(TOOL)
    started = time.perf_counter()
    for i in range(n):
        await trunk.facets.get(f"many {i}", isolate.actor("Tool")).nop(i)
    each = (time.perf_counter() - started) / n * 1e3
    for i in range(n):
        trunk.facets.abort(f"many {i}")
    return {"many": [each] * 2}


@inside
async def write_a_tool_pooled(trunk: Trunk, n: int) -> dict[str, list[float]]:
    """The same with an instance ready: what it is for who does so now and then. Not synced."""
    samples = []
    for _ in range(n):
        await _prepare(pooled=True)
        started = time.perf_counter()
        await write_a_tool(trunk, 1)
        samples.append(elapsed_us(started))
    return {"all": samples}


@inside
async def write_a_tool(trunk: Trunk, n: int) -> None:
    for _ in range(n):
        number = next(numbers)
        tool = _facet(trunk, f"tool {number}", TOOL + f"\n# written for the {number}th time\n")
        await tool.insert(number)
        trunk.facets.abort(f"tool {number}")


def _figure(title: str, work: str, n: int, phase: str, unit: str = "us") -> None:
    """Register a benchmark of what one of the above measured by itself."""

    async def made() -> AsyncIterator[Figure]:
        async with opened() as (_, trunk):
            yield Figure((await trunk.run(work, n))[phase], unit)

    benchmark(title)(made)


_figure("isolate: mint", "12 lines", FRESH, "mint")
_figure("isolate: load 12 lines", "12 lines", FRESH, "load")
_figure("isolate: mint, load, first result in a new facet", "12 lines", FRESH, "first")
for _name in ("ledger", "ledger, cached", "ledger, pooled", "ledger, cached and pooled"):
    _figure(f"isolate: first result of the {_name} (60 lines)", _name, FRESH, "first")
_figure("agent writes a tool, pooled, before its sync", "write_a_tool_pooled", FRESH, "all")
_figure("isolate: echo of 1 KB", "echo_text", 1 << 10, "echo")
_figure("isolate: echo of 1 MB", "echo_text", 1 << 20, "echo")
_figure("isolate: echo of 10 MB", "echo_text", 10 << 20, "echo")
_figure("isolate: mints per second on one thread", "mints", 50, "mints", "/s")
_figure(f"isolate: {MANY} at once, each", "many", MANY, "many", "ms")


@benchmark("isolate: warm call")
async def warm_call() -> AsyncIterator[Subject]:
    async with opened() as (_, trunk):
        yield Subject(lambda: trunk.run("warm", CALLS), CALLS)


@benchmark("isolate: warm call with an insert, not synced")
async def warm_call_insert() -> AsyncIterator[Subject]:
    async with opened() as (_, trunk):
        yield Subject(lambda: trunk.run("warm_insert", CALLS), CALLS)


@benchmark("agent writes a tool, runs it in a new facet, durable")
async def agent_writes_a_tool() -> AsyncIterator[Subject]:
    async with opened() as (_, trunk):
        yield Subject(lambda: trunk.run("write_a_tool", 1))
