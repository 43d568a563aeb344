"""Sub-agents in the background: queued, watched, cancelled, under one budget, across a restart.

Needs `pip install 'facets-runtime[agents]'`. The models are scripted and cost nothing; a real one
is one line: `model = "anthropic:claude-sonnet-4-5"`.
"""

import asyncio

from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart, UserPromptPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from facets import LocalRuntime, Quota
from facets.agents import Agent, Progressed, Run, as_tool, tool

SEAS = ["the North Sea", "the Baltic", "the Adriatic"]


def scout(messages: list[ModelMessage], _info: AgentInfo) -> ModelResponse:
    """Looks, then says what it saw."""
    done = isinstance(messages[-2], ModelResponse) if len(messages) > 1 else False
    return ModelResponse(parts=[TextPart("two whales") if done else ToolCallPart("look", {})])


def lead(messages: list[ModelMessage], _info: AgentInfo) -> ModelResponse:
    """Sends a scout to each sea, and does not wait."""
    if isinstance(messages[-1].parts[0], UserPromptPart):
        return ModelResponse(parts=[ToolCallPart("scout", {"prompt": sea}) for sea in SEAS])
    return ModelResponse(parts=[TextPart("they are on their way")])


class Scout(Agent):
    """Looks for whales in one sea."""

    model = FunctionModel(scout)

    @tool
    async def look(self) -> str:
        """Look around."""
        await self.progress("looking", 0.5, milestone="arrived")
        await asyncio.sleep(1)
        return "seen"


class Lead(Agent):
    """Knows where the whales are."""

    model = FunctionModel(lead)
    tools = [as_tool(Scout, detached=True, seconds=3600, patience=300)]
    max_runs = 2

    async def on_progress(self, run: Run, progress: Progressed) -> None:
        """How far one is."""
        print(f"  {run.id} {progress.milestone}")

    async def on_run_finished(self, run: Run) -> None:
        """One is over."""
        print(f"  {run.id} {run.status}: {run.output or run.reason}")


async def main() -> None:
    """Ask, cancel one, stop everything half-way, and find the rest done."""
    quota = Quota(meters={"tokens": 10_000})
    async with LocalRuntime("state/", quota=quota) as runtime:
        agent = runtime.get(Lead, "alice")
        await agent.submit("Where are the whales?", id="whales")
        print("model:", (await agent.wait("whales")).output)
        print("runs:", {run.id: run.status for run in reversed(await agent.runs())})
        await agent.cancel_run("whales:1:1")
        await asyncio.sleep(0.2)

    print("restarted")
    async with LocalRuntime("state/", quota=quota) as runtime:
        agent = runtime.get(Lead, "alice")
        for number in range(len(SEAS)):
            await agent.wait_run(f"whales:1:{number}")
        print("runs:", {run.id: run.status for run in reversed(await agent.runs())})


if __name__ == "__main__":
    asyncio.run(main())
