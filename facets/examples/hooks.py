"""Hooks: what an agent does at fixed places of its turns, around its model and its tools.

Needs `pip install 'facets-runtime[agents]'`. The model is a function here; a real one is one line:
`model = "anthropic:claude-sonnet-4-5"`.
"""

import asyncio

from pydantic_ai import ModelHTTPError, ModelOverloadedError
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from facets import Backoff, LocalRuntime
from facets.agents import Agent, Block, Retries, Stage, ToolCall, Turn, TurnPlan, Verdict, tool

BUSY = [503]


def keeper(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    """Is overloaded at first, then wants to burn a book, and reads why it may not."""
    if BUSY:
        raise ModelHTTPError.for_category(
            ModelOverloadedError, status_code=BUSY.pop(), model_name="keeper"
        )
    results = [part for part in messages[-1].parts if part.part_kind == "tool-return"]
    if results:
        return ModelResponse([TextPart(f"Not done: {results[0].content}.")])
    print(f"the model is told: {info.instructions} settings: {info.model_settings}")
    return ModelResponse([ToolCallPart("burn", {"title": "Moby-Dick"})])


class Librarian(Agent):
    """Looks after books; nobody burns one."""

    model = FunctionModel(keeper)
    model_settings = {"temperature": 0.5}
    retries = Retries(backoff=Backoff(first=0.1, attempts=3))

    @tool
    async def burn(self, title: str) -> str:
        """Burn a book."""
        return f"{title} is gone"

    async def before_turn(self, turn: Turn) -> TurnPlan:
        """How the model is asked in this turn."""
        return TurnPlan(instructions="Be brief.", model_settings={"temperature": 0.0}, steps=3)

    async def before_tool_call(self, call: ToolCall) -> Verdict | None:
        """Whether a tool may run."""
        return Block("books are not burnt here") if call.name == "burn" else None

    async def on_error(self, turn: Turn, error: Exception, stage: Stage) -> None:
        """What went wrong."""
        print(f"{stage}: {self.error_kind(error)} {type(error).__name__}")

    async def after_turn(self, turn: Turn) -> None:
        """Count, in the step that ends the turn."""
        self.kv["turns"] = self.kv.get("turns", 0) + 1
        print(f"turn {self.kv['turns']}: {turn.status}, {turn.steps} steps")


async def main() -> None:
    """Ask once."""
    async with LocalRuntime("state/") as runtime:
        print(await runtime.get(Librarian, "ann").run("Make room on the shelf."))


if __name__ == "__main__":
    asyncio.run(main())
