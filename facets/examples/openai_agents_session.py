"""An agent of the OpenAI Agents SDK: its session and its tool are in durable actors.

Needs `pip install 'facets-runtime[openai-agents]'`. The model is scripted; a real one is its
name: `Agent(name="librarian", model="gpt-5", ...)`.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from agents import Agent, Model, ModelResponse, RunConfig, Runner, Usage
from openai.types.responses import (
    ResponseFunctionToolCall,
    ResponseOutputMessage,
    ResponseOutputText,
)

from facets import Actor, LocalRuntime
from facets.adapters.openai_agents import FacetSession, facet_tool


class Tally(Actor):
    """Counts words."""

    async def add(self, word: str) -> int:
        """Count a word; how often it was counted."""
        self.kv[word] = self.kv.get(word, 0) + 1
        count: int = self.kv[word]
        return count


class Scripted(Model):
    """Calls the tool for what it is asked, and says what it reads."""

    async def get_response(self, *args: Any, **given: Any) -> ModelResponse:
        """One response, to all that was said so far."""
        items = given["input"]
        read = items[-1].get("output")
        output: Any = ResponseFunctionToolCall(
            call_id=f"call {len(items)}", name="add", arguments='{"word": "octopus"}',
            type="function_call",
        )  # fmt: skip
        if read is not None:
            text = f"The octopus was counted {read} times; {len(items)} items were said so far."
            said = ResponseOutputText(text=text, annotations=[], type="output_text")
            output = ResponseOutputMessage(
                id=f"message {len(items)}", content=[said], role="assistant", status="completed",
                type="message",
            )  # fmt: skip
        return ModelResponse(output=[output], usage=Usage(), response_id=None)

    def stream_response(self, *args: Any, **given: Any) -> AsyncIterator[Any]:
        """Not here."""
        raise NotImplementedError


async def main() -> None:
    """Ask twice, with a restart between: the second run knows what the first one said."""
    for _ in range(2):
        async with LocalRuntime("state/") as runtime:
            tool = facet_tool(runtime.get(Tally, "alice").add)
            agent = Agent(name="counter", model=Scripted(), tools=[tool])
            session = FacetSession(runtime, "conversation with alice")
            config = RunConfig(tracing_disabled=True)
            done = await Runner.run(agent, "Count it.", session=session, run_config=config)
            print(done.final_output)


if __name__ == "__main__":
    asyncio.run(main())
