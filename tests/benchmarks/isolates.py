"""What sandboxes cost."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

from tests.benchmarks.actors import TOOL, Trunk, elapsed_us, inside, numbers, opened
from tests.benchmarks.harness import Figure, Subject, benchmark

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


@inside
async def phases(trunk: Trunk, n: int) -> dict[str, list[float]]:
    """Fresh isolates: microseconds of mint, load, and the first result with both in it."""
    found: dict[str, list[float]] = {"mint": [], "load": [], "first": []}
    for _ in range(n):
        name = f"fresh {next(numbers)}"
        started = time.perf_counter()
        await _facet(trunk, name).nop(1)
        found["first"].append(elapsed_us(started))
        timings = trunk.facets.stat(name).timings
        found["mint"].append(timings["mint"] * 1e3)
        found["load"].append(timings["load"] * 1e3)
        trunk.facets.abort(name)
    return found


@inside
async def write_a_tool(trunk: Trunk, n: int) -> None:
    for _ in range(n):
        number = next(numbers)
        tool = _facet(trunk, f"tool {number}", TOOL + f"\n# written for the {number}th time\n")
        await tool.insert(number)
        trunk.facets.abort(f"tool {number}")


async def _phase(name: str) -> AsyncIterator[Figure]:
    async with opened() as (_, trunk):
        await trunk.run("phases", 3)
        yield Figure((await trunk.run("phases", FRESH))[name], "us")


@benchmark("isolate: mint")
async def mint() -> AsyncIterator[Figure]:
    async for figure in _phase("mint"):
        yield figure


@benchmark("isolate: load 12 lines")
async def load() -> AsyncIterator[Figure]:
    async for figure in _phase("load"):
        yield figure


@benchmark("isolate: mint, load, first result in a new facet")
async def first() -> AsyncIterator[Figure]:
    async for figure in _phase("first"):
        yield figure


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
