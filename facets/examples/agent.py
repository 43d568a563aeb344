"""A durable agent with a tool, and another agent as its tool.

Needs `pip install 'facets-runtime[agents]'`. The model "test" calls each tool once and costs
nothing; a real one is one line: `model = "anthropic:claude-sonnet-4-5"`.
"""

import asyncio

from facets import LocalRuntime
from facets.agents import Agent, as_tool, tool


class Researcher(Agent):
    """Finds things out."""

    model = "test"
    instructions = "Answer in one sentence."

    @tool
    async def look_up(self, what: str) -> str:
        """What the archive says."""
        return f"an {what} has three hearts"


class Lead(Agent):
    """Asks a researcher."""

    model = "test"
    tools = [as_tool(Researcher)]


async def main() -> None:
    """Ask once, and again with the same id: it is one turn."""
    async with LocalRuntime("state/") as runtime:
        lead = runtime.get(Lead, "alice")
        for _ in range(2):
            await lead.submit("What of the octopus?", id="question 1")
            turn = await lead.wait("question 1")
            print(f"{turn.status} in {turn.steps} steps: {turn.output}")


if __name__ == "__main__":
    asyncio.run(main())
