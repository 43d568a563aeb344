"""A turn that ends with data of a type; what does not fit goes back to the model.

Needs `pip install 'facets-runtime[agents]'`. The model is a function here, which is wrong at first;
a real one is one line: `model = "anthropic:claude-sonnet-4-5"`.
"""

import asyncio

from pydantic import BaseModel, Field
from pydantic_ai.messages import ModelMessage, ModelResponse, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from facets import LocalRuntime
from facets.agents import Agent


class Animal(BaseModel):
    """What is known of an animal."""

    name: str
    hearts: int = Field(ge=1, le=5)


class Unknown(BaseModel):
    """Say this when nothing is known."""

    reason: str


def zoologist(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    """Counts too many hearts, until it is told."""
    told = [part for part in messages[-1].parts if part.part_kind == "tool-return"]
    for part in told:
        print(f"the model is told: {part.content}")
    animal, _unknown = info.output_tools
    said = {"name": "octopus", "hearts": 3 if told else 9}
    return ModelResponse([ToolCallPart(animal.name, said)])


class Zoologist(Agent):
    """Knows animals."""

    model = FunctionModel(zoologist)
    output_type = Animal | Unknown


async def main() -> None:
    """Ask once; the answer is an object, and stays one for whoever asks later."""
    async with LocalRuntime("state/") as runtime:
        ada = runtime.get(Zoologist, "ada")
        answer = await ada.run("What of the octopus?")
        print(f"{type(answer).__name__} with {answer.hearts} hearts")
        (turn,) = await ada.turns()
        print(f"in {turn.steps} steps, kept as {turn.output}")


if __name__ == "__main__":
    asyncio.run(main())
