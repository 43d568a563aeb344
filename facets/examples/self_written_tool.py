"""An agent writes a tool, has it approved, and uses it in the next step of the same turn.

Needs `pip install 'facets-runtime[agents]'`. What the model says is a script here.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from facets import LocalRuntime
from facets.agents import Agent
from facets.extensions import Answer, Extensions, Proposal

SOURCE = """
import statistics
from facets import Actor

class Extension(Actor):
    async def mean(self, numbers):
        self.kv["asked"] = self.kv.get("asked", 0) + 1
        return {"mean": statistics.mean(numbers), "asked": self.kv["asked"]}

    async def test_mean(self):
        assert (await self.mean([1, 2, 6]))["mean"] == 3
"""
NUMBERS = {"numbers": {"type": "array", "items": {"type": "number"}}}
MANIFEST = {
    "name": "maths",
    "version": "1",
    "permissions": {"storage": 1 << 20},
    "tools": [{"name": "mean", "parameters": {"type": "object", "properties": NUMBERS}}],
}  # fmt: skip
SAYS: list[Callable[[Any], TextPart | ToolCallPart]] = [
    lambda _: ToolCallPart("propose_extension", {"manifest": MANIFEST, "source": SOURCE}),
    lambda _: ToolCallPart("maths__mean", {"numbers": "three"}),  # it errs, and is told how
    lambda _: ToolCallPart("maths__mean", {"numbers": [3, 1, 5]}),
    lambda read: TextPart(f"The mean is {read['mean']}."),
]


def model(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    """Say the next thing; the tools that are there now are in `info`."""
    read = getattr(messages[-1].parts[-1], "content", "")
    print(f"the model reads {str(read)[:80]!r}")
    print(f"and has {', '.join(sorted(one.name for one in info.function_tools))}")
    return ModelResponse(parts=[SAYS[len(messages) // 2](read)])


class Writer(Agent):
    """Its model may write tools; a person says yes or no to each."""

    model = FunctionModel(model)

    async def on_start(self) -> None:
        """Let its model propose extensions."""
        self.extensions = Extensions(self, consent=self.consent)
        await self.extensions.resume()

    async def consent(self, proposal: Proposal) -> Answer:
        """Where a person would be asked. Whoever returns "ask" can `approve` it days later."""
        print("it wants", *proposal.changes)
        return "approve"


async def main() -> None:
    """One turn."""
    async with LocalRuntime("state/") as runtime:
        print(await runtime.get(Writer, "alice").run("What is the mean of 3, 1 and 5?"))


if __name__ == "__main__":
    asyncio.run(main())
