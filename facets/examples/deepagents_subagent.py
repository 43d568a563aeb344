"""A deep agent whose sub-agent is a durable agent, and whose files are those of an actor.

Needs `pip install 'facets-runtime[agents,deepagents]'`. The models are scripted; real ones are
names: `create_deep_agent("openai:gpt-5", ...)`.
"""

import asyncio
from typing import Any

from deepagents import create_deep_agent
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, ToolMessage

from facets import Actor, LocalRuntime
from facets.adapters.deepagents import FacetBackend, facet_subagent
from facets.agents import Agent, tool


class Researcher(Agent):
    """Finds things out, and remembers what it was asked."""

    model = "test"  # calls each tool once

    @tool
    async def look_up(self, what: str) -> str:
        """What the archive says."""
        return "an octopus has three hearts"


class Notes(Actor):
    """Files, among whatever else an actor has."""

    async def read(self, path: str) -> str:
        """The text of one of them."""
        return self.fs.read_text(path)


class Scripted(GenericFakeChatModel):
    """Says what it was given, one after the other."""

    def bind_tools(self, tools: Any, **given: Any) -> Any:
        """The script knows them."""
        return self


SCRIPT = [
    ("task", {"description": "How many hearts?", "subagent_type": "researcher"}),
    ("write_file", {"file_path": "/notes/octopus.md", "content": "three hearts, eight arms"}),
    ("edit_file", {"file_path": "/notes/octopus.md", "old_string": "eight", "new_string": "8"}),
    ("grep", {"pattern": "hearts", "output_mode": "content"}),
]


async def main() -> None:
    """Run the script, and look at what is there afterwards."""
    calls = [
        AIMessage("", tool_calls=[{"name": name, "args": arguments, "id": f"call {i}"}])
        for i, (name, arguments) in enumerate(SCRIPT)
    ]
    async with LocalRuntime("state/") as runtime:
        researcher = runtime.get(Researcher, "alice")
        agent: Any = create_deep_agent(
            Scripted(messages=iter([*calls, AIMessage("It is written down.")])),
            backend=FacetBackend(runtime, Notes, "alice"),
            subagents=[facet_subagent(researcher)],
        )
        state = await agent.ainvoke({"messages": [("user", "Find out, and write it down.")]})
        for message in state["messages"]:
            if isinstance(message, ToolMessage):
                print(f"{message.name}: {message.text}")
        print("turns of the researcher:", [one.prompt for one in await researcher.turns()])
        print("on disk:", await runtime.get(Notes, "alice").read("/notes/octopus.md"))


if __name__ == "__main__":
    asyncio.run(main())
