"""An agent with context: a note that it keeps, a skill that it loads, a history that it shortens.

Needs `pip install 'facets-runtime[agents]'`. The model is a function here; a real one is one line:
`model = "anthropic:claude-sonnet-4-5"`.
"""

import asyncio

from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from facets import LocalRuntime
from facets.agents import Agent, Readonly, Skills, Workspace, Writable

BREWING = """---
name: brewing
description: How tea is made here.
---
Green tea takes water of 75 degrees, and two minutes.
"""


def host(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    """Looks up how to brew, notes what the guest likes, and summarises when it is asked to."""
    if not info.function_tools:
        return ModelResponse([TextPart("The guest likes green tea, and had three cups.")])
    results = [part for part in messages[-1].parts if part.part_kind == "tool-return"]
    if results:
        return ModelResponse([TextPart(results[0].model_response_str())])
    if "green" not in str(messages[-1].parts):
        return ModelResponse([TextPart("Here is another cup.")])
    note = {"label": "guest", "text": "likes green tea"}
    calls = [ToolCallPart("load_skill", {"name": "brewing"}), ToolCallPart("set_context", note)]
    return ModelResponse(calls)


class Host(Agent):
    """Serves tea."""

    model = FunctionModel(host)
    instructions = "You serve tea."
    context = [
        Readonly("house", "Rules of the house.", text="No milk in green tea."),
        Writable("guest", "What you know of the guest.", max_tokens=200),
        Skills("skills", "How things are done.", texts={"brewing": BREWING}),
    ]
    tools = [Workspace()]
    compact_after = 150

    async def shown(self) -> tuple[int, int]:
        """Messages that were said, and those that the model is shown of them."""
        return len(self.session.path()), len(self.session.history())

    async def noted(self) -> str:
        """What the model keeps in mind of the guest."""
        return self.blocks.get("guest")


async def main() -> None:
    """Ask for tea until the history is too long, and see what stays."""
    async with LocalRuntime("state/") as runtime:
        alice = runtime.get(Host, "alice")
        print(await alice.run("I like green tea."))
        for cup in ("second", "third", "fourth"):
            await alice.run(f"May I have the {cup} cup? " + "It is so good. " * 10)
        said, shown = await alice.shown()
        print(f"{said} messages were said, the model is shown {shown}")

    async with LocalRuntime("state/") as runtime:
        print("noted:", await runtime.get(Host, "alice").noted())


if __name__ == "__main__":
    asyncio.run(main())
