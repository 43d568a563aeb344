"""A process may die at any place of a turn with hooks and failing requests."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from facets import Backoff
from facets.agents import (
    Agent,
    Retries,
    Step,
    StepPlan,
    ToolCall,
    ToolOutcome,
    Turn,
    TurnPlan,
    tool,
)
from facets.testing import MemoryRuntime, die_everywhere
from tests.facets.agents.test_retrying import BUSY
from tests.facets.agents.test_turns import call

asked: Counter[int] = Counter()
"""Requests to the model, by the step they were for."""
failing: dict[str, int] = {}
"""How many of those for the second step fail."""


def ask(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    step = 1 + sum(isinstance(one, ModelResponse) for one in messages)
    asked[step] += 1
    assert info.instructions == "Be brief."  # of the plan
    if step == 1:
        return ModelResponse(parts=[call("book", {"what": "a"}), call("book", {"what": "b"})])
    if asked[step] <= failing["requests"]:
        raise BUSY
    return ModelResponse(parts=[TextPart("booked")])


class Watched(Agent):
    model = FunctionModel(ask)
    retries = Retries(backoff=Backoff(first=1.0, attempts=3))
    migrations = ["create table did(what text)"]

    def did(self, what: str) -> None:
        self.sql("insert into did values (?)", what)

    @tool
    async def book(self, what: str) -> str:
        """Book something."""
        self.did(f"book {what}")
        return what

    async def before_turn(self, turn: Turn) -> TurnPlan:
        self.did("before turn")
        return TurnPlan(instructions="Be brief.")

    async def before_step(self, step: Step) -> StepPlan | None:
        self.did(f"before step {step.number}")
        return None

    async def after_tool_call(self, call: ToolCall, outcome: ToolOutcome) -> None:
        self.did(f"after {outcome.content}")

    async def after_step(self, step: Step) -> None:
        self.did(f"after step {step.number}")

    async def after_turn(self, turn: Turn) -> None:
        self.did(f"after turn {turn.status}")

    async def all(self) -> list[str]:
        return [row.what for row in self.sql("select what from did order by what")]

    async def due(self) -> float:
        return self.sql("select due from agent_attempts").value(0.0)


async def ended(runtime: MemoryRuntime) -> Turn:
    agent = runtime.get(Watched, "a")
    await agent.submit("go", id="1")
    while not (turn := await agent.turn("1")).over:
        await runtime.clock.run(max(0.0, await agent.due() - runtime.clock.now()))
        await asyncio.sleep(0)
    return turn


@pytest.mark.parametrize(("fails", "status", "every"), [(2, "completed", 3), (9, "error", 5)])
async def test_hooks_have_their_effects_once_and_no_attempt_is_forgotten_wherever_the_process_dies(
    fails: int, status: str, every: int
) -> None:
    async def setup(runtime: MemoryRuntime) -> None:
        asked.clear()
        failing["requests"] = fails
        await runtime.get(Watched, "a").all()

    async def act(runtime: MemoryRuntime) -> None:
        await ended(runtime)

    async def check(runtime: MemoryRuntime) -> None:
        assert (await ended(runtime)).status == status
        last = ["after step 2"] * (status == "completed")
        assert await runtime.get(Watched, "a").all() == [
            "after a",
            "after b",
            "after step 1",
            *last,
            f"after turn {status}",
            "before step 1",
            "before step 2",
            "before turn",
            "book a",
            "book b",
        ]
        assert asked[2] <= 4  # three, and one of which the process did not live to tell

    assert await die_everywhere(setup, act, check, every=every) > 3
