"""What sandboxes cost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

from facets.isolates import Code, Limits, image
from tests.benchmarks.actors import TOOL, WORK, Trunk, elapsed_us, inside, numbers, opened
from tests.benchmarks.harness import Figure, Subject, benchmark
from tests.benchmarks.tools import LEDGER, PAYLOAD

CALLS = 200
FRESH = 15


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
    mint, load = timings["mint"] * 1e3, timings["load"] * 1e3
    return {"mint": mint, "load": load, "first": first, "call": first - mint - load}


async def prepare(pooled: bool) -> None:
    """Have one instance in the pool, or none."""
    pool = image.load().pool
    pool.drain()
    if pooled:
        pool.take(64 << 20, 1 << 24).close()
        while not pool.ready:
            await asyncio.sleep(0.002)


async def _samples(
    trunk: Trunk, n: int, source: str, *, cached: bool, pooled: bool
) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {"mint": [], "load": [], "first": [], "call": []}
    for _ in range(3):  # from the third load on the code comes from the cache
        await _fresh(trunk, source)
    guest = image.load()
    while cached and guest.code.get(Code.of(source)) is None:
        await asyncio.sleep(0.001)
    for _ in range(n):
        await prepare(pooled)
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
_case("60 lines", LEDGER, cached=False, pooled=False)
_case("60 lines, cached", LEDGER, cached=True, pooled=False)
_case("60 lines, pooled", LEDGER, cached=False, pooled=True)
_case("60 lines, cached and pooled", LEDGER, cached=True, pooled=True)


@inside
async def payload(trunk: Trunk, n: int) -> dict[str, list[float]]:
    """Microseconds for text of `n` bytes to go in, to come out, and to do both."""
    roomy = Limits(memory=256 << 20)
    tool = trunk.facets.get("payload", trunk.isolates.get(PAYLOAD, limits=roomy).actor("Tool"))
    text = "x" * n
    found: dict[str, list[float]] = {"in": [], "out": [], "echo": []}
    for _ in range(5 if n > 1 << 20 else 15):
        for way, call in (
            ("in", partial(tool.take, text)),
            ("out", partial(tool.give, n)),
            ("echo", partial(tool.echo, text)),
        ):
            started = time.perf_counter()
            await call()
            found[way].append(elapsed_us(started))
    return found


@inside
async def write_a_tool_pooled(trunk: Trunk, n: int) -> dict[str, list[float]]:
    """The same with an instance ready: what it is for who does so now and then. Not synced."""
    samples = []
    for _ in range(n):
        await prepare(pooled=True)
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
_figure("isolate: the rest: facet, migration, first call", "12 lines", FRESH, "call")
_figure("isolate: mint, load, first result in a new facet", "12 lines", FRESH, "first")
for _name in ("60 lines", "60 lines, cached", "60 lines, pooled", "60 lines, cached and pooled"):
    _figure(f"isolate: first result of the ledger, {_name}", _name, FRESH, "first")
_figure("agent writes a tool, pooled, before its sync", "write_a_tool_pooled", FRESH, "all")
for _size, _bytes in (("1 KB", 1 << 10), ("1 MB", 1 << 20), ("10 MB", 10 << 20)):
    for _way, _title in (("in", "in"), ("out", "out"), ("echo", "in and out")):
        _figure(f"isolate: text of {_size} {_title}", "payload", _bytes, _way)


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
