"""Agents: many of one parent in one process, a turn step by step, and one that a crash cut off.

Models are scripted, so that what is measured is all that is not the model.

`python -m tests.benchmarks.agents [COUNT]` is the crowd alone.
"""

from __future__ import annotations

import asyncio
import resource
import sys
import time
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

from pydantic_ai import Agent as Bare
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.usage import UsageLimits

from facets.agents import Agent, TurnLimits, tool
from facets.testing import MemoryRuntime
from tests.benchmarks.actors import elapsed_us, numbers, opened
from tests.benchmarks.harness import Figure, Lap, Subject, benchmark
from tests.benchmarks.memory import private_mb

CROWD = 1_000
STEPS = 20
"""Responses of one turn; each but the last calls a tool."""


async def answer(steps: int, messages: list[ModelMessage], _info: AgentInfo) -> ModelResponse:
    """Call the tool until it is the last step."""
    said = 0
    for one in reversed(messages):
        if any(part.part_kind == "user-prompt" for part in one.parts):
            break
        said += isinstance(one, ModelResponse)
    last = said + 1 >= steps
    return ModelResponse(parts=[TextPart("done") if last else ToolCallPart("note", {"n": said})])


class Worker(Agent):
    """Two responses and a tool call."""

    model = FunctionModel(partial(answer, 2))

    @tool
    async def note(self, n: int) -> int:
        """Note a number."""
        self.kv["n"] = n
        return n


class Walker(Worker):
    """Many steps."""

    model = FunctionModel(partial(answer, STEPS))
    limits = TurnLimits(steps=STEPS)


class Crowd(Agent):
    """Has many workers."""

    model = Worker.model

    async def ask(self, count: int) -> int:
        """All at the same time."""
        workers = [self.agents.get(Worker, f"{next(numbers)}") for _ in range(count)]
        return len(await asyncio.gather(*(one.run("note it") for one in workers)))


async def crowd(count: int, rounds: int) -> list[dict[str, float]]:
    """Milliseconds and private MB of each of so many parallel sub-agents."""
    found = []
    async with opened() as (runtime, _):
        parent = runtime.get(Crowd, "a")
        await parent.ask(2)
        for _ in range(rounds):
            before, began = private_mb(), time.perf_counter()
            assert await parent.ask(count) == count
            took = time.perf_counter() - began
            found.append({"ms": took / count * 1e3, "MB": (private_mb() - before) / count})
    return found


_FOUND: list[dict[str, float]] = []
"""Both units are measured in one go."""


async def _crowd(unit: str) -> AsyncIterator[Figure]:
    _FOUND[:] = _FOUND or await crowd(CROWD, 2)
    # The second round finds room in what the first one left of the heap.
    samples = [one[unit] for one in _FOUND]
    yield Figure(samples if unit == "ms" else samples[:1] * 2, unit)


for _unit, _what in (("ms", "time"), ("MB", "private memory")):
    benchmark(f"agents: {CROWD:,} sub-agents at once, {_what} of each")(partial(_crowd, _unit))


@benchmark("agents: a durable step of a turn")
async def step() -> AsyncIterator[Subject]:
    """Beside the same script in pydantic-ai's own loop, which keeps nothing."""
    bare = Bare(Walker.model)
    noted: dict[str, int] = {}

    @bare.tool_plain
    async def note(n: int) -> int:
        """Note a number."""
        noted["n"] = n
        return n

    async def reference() -> None:
        limits = UsageLimits(request_limit=STEPS)
        assert (await bare.run("walk", usage_limits=limits)).output == "done"

    async with opened() as (runtime, _):

        async def work() -> None:
            assert await runtime.get(Walker, f"{next(numbers)}").run("walk") == "done"

        yield Subject(work, STEPS, reference, STEPS, against="pydantic-ai, nothing kept", rounds=7)


@benchmark("agents: a turn that a crash cut off goes on")
async def resumed() -> AsyncIterator[Subject]:
    """From the start of the next process, in memory, to the end of a turn of two steps."""
    runtime = MemoryRuntime()
    async with runtime:

        async def work() -> Lap:
            name = f"{next(numbers)}"
            await runtime.get(Worker, name).submit("note it", id="1")
            await asyncio.sleep(0)
            began = time.perf_counter()
            await runtime.crash()
            assert (await runtime.get(Worker, name).wait("1")).status == "completed"
            return Lap(elapsed_us(began))

        yield Subject(work, rounds=7)


async def main(count: int) -> dict[str, Any]:
    """The crowd, and the most memory that this process ever had."""
    (found,) = await crowd(count, 1)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"sub-agents": count, "seconds": round(found["ms"] * count / 1e3, 2), "peak MiB": peak}


if __name__ == "__main__":
    print(asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else CROWD)))
