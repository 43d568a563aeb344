"""Sub-agents: many of one parent in one process, each with a turn of two responses and a tool.

python -m tests.benchmarks.agents [COUNT]
"""

from __future__ import annotations

import asyncio
import resource
import sys
import tempfile
import time
from typing import Any

from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from facets import LocalRuntime
from facets.agents import Agent, tool


def answer(messages: list[ModelMessage], _info: AgentInfo) -> ModelResponse:
    asked = any(isinstance(one, ModelResponse) for one in messages)
    return ModelResponse(parts=[TextPart("done") if asked else ToolCallPart("note", {"n": 1})])


class Worker(Agent):
    model = FunctionModel(answer)

    @tool
    async def note(self, n: int) -> int:
        """Note a number."""
        self.kv["n"] = n
        return n


class Crowd(Agent):
    model = FunctionModel(answer)

    async def ask(self, count: int) -> int:
        workers = [self.agents.get(Worker, str(n)) for n in range(count)]
        return len(await asyncio.gather(*(one.run("note it") for one in workers)))


async def measure(count: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as root:
        async with LocalRuntime(root) as runtime:
            crowd = runtime.get(Crowd, "a")
            await crowd.ask(1)
            begun = time.perf_counter()
            assert await crowd.ask(count) == count
            seconds = time.perf_counter() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"sub-agents": count, "seconds": round(seconds, 2), "peak MiB": round(peak)}


if __name__ == "__main__":
    print(asyncio.run(measure(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)))
