"""Whatever is done with turns, in any order and across crashes: each ends, each effect is once.

Prompts say what the model does, a list of calls for each step; "work" and "nap" are free, "pay"
waits for approval.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
)
from pydantic_ai.models.function import AgentInfo, FunctionModel

from facets.agents import Agent, current, tool
from facets.errors import TurnDiffers, TurnOpen
from facets.testing import MemoryRuntime

Concurrency = Literal["queue", "latest", "drop", "merge", "debounce"]
BRANCHES = ("main", "side")
OUTCOMES = {"success", "denied", "interrupted"}


def plan_of(message: ModelMessage) -> list[list[str]] | None:
    """What the prompts of a message ask for, one after the other; None if it has none."""
    texts = [str(part.content) for part in message.parts if part.part_kind == "user-prompt"]
    plans = [json.loads(one) for one in texts if one.startswith("[")]
    return [step for plan in plans for step in plan] if plans else None


def answer(messages: list[ModelMessage], _info: AgentInfo) -> ModelResponse:
    """The next step of the newest plan."""
    plan, done = [], 0
    for one in messages:
        asked = plan_of(one) if isinstance(one, ModelRequest) else None
        plan, done = (plan, done) if asked is None else (asked, 0)
        done += isinstance(one, ModelResponse)
    if done >= len(plan):
        return ModelResponse([TextPart("done")])
    return ModelResponse([ToolCallPart(name) for name in plan[done]])


class Worker(Agent):
    model = FunctionModel(answer)
    migrations = ["create table effects(call text)"]
    debounce_seconds = 3.0

    def effect(self) -> None:
        running = current()
        assert running is not None
        self.sql("insert into effects values (?)", running.id)

    @tool
    async def work(self) -> None:
        """Work."""
        self.effect()

    @tool
    async def nap(self) -> None:
        """Work after a while."""
        for _ in range(3):
            await asyncio.sleep(0)
        self.effect()

    @tool(approval=True)
    async def pay(self) -> None:
        """Pay."""
        self.effect()

    async def effects(self) -> list[str]:
        return [row.call for row in self.sql("select call from effects")]

    async def outcomes(self) -> dict[str, str]:
        """What the model was told of each call, by its id."""
        found = {}
        for branch in self.session.branches():
            for one in self.session.path(branch):
                for at, part in enumerate(one.message.parts):
                    if isinstance(part, ToolReturnPart):
                        found[f"{one.id.removesuffix(':results')}:{at}"] = part.outcome
        return found


STEP = st.lists(st.sampled_from(["work", "nap", "pay"]), min_size=1, max_size=2)
PLAN = st.lists(STEP, max_size=2)
NUMBER = st.integers(0, 5)
ACT = st.one_of(
    st.tuples(st.just("submit"), st.sampled_from(BRANCHES), PLAN),
    st.tuples(st.just("submit"), st.sampled_from(BRANCHES), PLAN),
    st.tuples(st.sampled_from(["cancel", "delete", "steer", "again"]), NUMBER),
    st.tuples(st.sampled_from(["approve", "reject"]), NUMBER),
    st.tuples(st.just("crash")),
    st.tuples(st.sampled_from(["rest", "wait"]), NUMBER),
)


class Story:
    """One agent, what was done with it, and what that must have led to."""

    def __init__(self, runtime: MemoryRuntime, cls: type[Worker]) -> None:
        self.runtime, self.cls = runtime, cls
        self.asked: list[str] = []
        self.forgotten: set[str] = set()

    @property
    def agent(self) -> Any:
        return self.runtime.get(self.cls, "a")

    async def do(self, act: str, *args: Any) -> None:
        await getattr(self, act)(*args)

    async def submit(self, branch: str, plan: list[list[str]]) -> None:
        self.asked.append(str(len(self.asked)))
        await self.agent.submit(json.dumps(plan), id=self.asked[-1], branch=branch)

    async def again(self, n: int) -> None:
        """The same submission once more."""
        if n < len(self.asked) and str(n) not in self.forgotten:
            turn = await self.agent.turn(str(n))
            await self.agent.submit(turn.prompt, id=turn.id, branch=turn.branch)
            with pytest.raises(TurnDiffers):
                await self.agent.submit("[]", id=turn.id, branch="another")

    async def cancel(self, n: int) -> None:
        if n < len(self.asked) and str(n) not in self.forgotten:
            await self.agent.cancel(str(n))
            assert (await self.agent.turn(str(n))).over

    async def steer(self, n: int) -> None:
        if n < len(self.asked) and str(n) not in self.forgotten:
            await self.agent.steer(str(n), "please", id="p")

    async def delete(self, n: int) -> None:
        if n < len(self.asked):
            try:
                await self.agent.delete(str(n))
                self.forgotten.add(str(n))
            except TurnOpen:
                assert not (await self.agent.turn(str(n))).over

    async def decide(self, how: str, n: int) -> None:
        found = await self.agent.approvals()
        if found:
            one = found[n % len(found)]
            decided = await getattr(self.agent, how)(one.id)
            assert decided.status == ("approved" if how == "approve" else "rejected")

    async def approve(self, n: int) -> None:
        await self.decide("approve", n)

    async def reject(self, n: int) -> None:
        await self.decide("reject", n)

    async def crash(self) -> None:
        await self.runtime.crash()

    async def rest(self, n: int) -> None:
        for _ in range(n * 5):
            await asyncio.sleep(0)

    async def wait(self, n: int) -> None:
        await self.runtime.clock.run(n)

    async def finish(self) -> None:
        """Decide what is to be decided, until all turns are over."""
        self.agent  # noqa: B018 - its class is known again
        left = {one for one in self.asked if one not in self.forgotten}
        for _ in range(50):
            if not left:
                return
            await self.runtime.clock.run(11)
            await self.decide("approve", 0)
            left = {one for one in left if not (await self.agent.turn(one)).over}
        raise AssertionError([await self.agent.turn(one) for one in left])

    async def check(self) -> None:
        """Each effect once, and only of calls that the model was told of as made, and allowed."""
        effects, told = Counter(await self.agent.effects()), await self.agent.outcomes()
        assert set(told.values()) <= OUTCOMES
        assert effects == Counter(call for call, outcome in told.items() if outcome == "success")
        for one in await self.agent.approvals(status=None):
            made = {"approved": {"success", "interrupted"}, "rejected": {"denied", "interrupted"}}
            assert told[one.id] in made.get(one.status, {"interrupted"})
        turns = {one.id: one for one in await self.agent.turns()}
        assert turns.keys() == {one for one in self.asked if one not in self.forgotten}
        for turn in turns.values():
            assert turn.over
            assert turn.status != "error", turn.error
            if turn.status == "completed" and turn.merged is None:
                assert turn.steps >= len(json.loads(turn.prompt))


@pytest.mark.parametrize("how", ["queue", "latest", "drop", "merge", "debounce"])
@settings(max_examples=20, deadline=None)
@given(acts=st.lists(ACT, max_size=14))
def test_every_turn_ends_and_every_effect_is_there_once(how: Concurrency, acts: list[Any]) -> None:
    class Chosen(Worker, kind="Worker"):
        concurrency = how

    async def run() -> None:
        async with MemoryRuntime() as runtime:
            story = Story(runtime, Chosen)
            for act in acts:
                await story.do(*act)
            await story.finish()
            await story.check()

    asyncio.run(run())
