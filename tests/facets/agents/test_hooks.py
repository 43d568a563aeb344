"""Hooks: where each one runs, what it may change, and what becomes of one that raises."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from facets.agents import (
    Agent,
    Block,
    Stage,
    Step,
    StepPlan,
    Substitute,
    ToolCall,
    ToolOutcome,
    Turn,
    TurnLimits,
    TurnPlan,
    Verdict,
    WithArguments,
    tool,
)
from facets.errors import TurnFailed
from facets.testing import MemoryRuntime
from tests.facets.agents.test_turns import call, script

seen: list[Any] = []


@pytest.fixture(autouse=True)
def _clean() -> None:
    seen.clear()


@pytest.fixture
async def runtime() -> AsyncIterator[MemoryRuntime]:
    async with MemoryRuntime() as runtime:
        yield runtime


class Clerk(Agent):
    model = script([call("note", {"what": "ink"})], "noted")
    instructions = "You take notes."
    migrations = ["create table notes(what text)"]

    @tool
    async def note(self, what: str) -> str:
        """Note something."""
        self.put(what)
        return f"noted {what}"

    @tool
    async def shred(self) -> str:
        """Shred everything."""
        self.sql("delete from notes")
        return "gone"

    def put(self, what: str) -> None:
        self.sql("insert into notes values (?)", what)

    async def notes(self) -> list[str]:
        return [row.what for row in self.sql("select what from notes")]

    async def results(self) -> list[tuple[str, str]]:
        return [
            (part.outcome, part.model_response_str())
            for one in self.session.history()
            for part in one.parts
            if part.part_kind == "tool-return"
        ]


async def test_hooks_run_in_their_order_around_a_turn_its_steps_and_its_calls(
    runtime: MemoryRuntime,
) -> None:
    class Every(Clerk):
        async def before_turn(self, turn: Turn) -> None:
            seen.append(f"turn {turn.prompt}")

        async def before_step(self, step: Step) -> None:
            seen.append(f"step {step.number}")

        async def on_text(self, turn: Turn, text: str) -> None:
            seen.append(f"text {text}")

        async def before_tool_call(self, call: ToolCall) -> None:
            seen.append(f"call {call.id} {call.name} {call.arguments}")

        async def after_tool_call(self, call: ToolCall, outcome: ToolOutcome) -> None:
            seen.append(f"called {call.id} {outcome.outcome} {outcome.content}")

        async def after_step(self, step: Step) -> None:
            assert step.response is not None
            seen.append(f"stepped {step.number} {step.response.text}")

        async def after_turn(self, turn: Turn) -> None:
            seen.append(f"turned {turn.status} {turn.output}")

    every = runtime.get(Every, "a")
    await every.submit("go", id="1")
    assert (await every.wait("1")).output == "noted"
    assert seen == [
        "turn go",
        "step 1",
        "call 1:1:0 note {'what': 'ink'}",
        "called 1:1:0 success noted ink",
        "stepped 1 None",
        "step 2",
        "text noted",
        "stepped 2 noted",
        "turned completed noted",
    ]


async def test_each_step_is_followed_by_its_hook_whatever_keeps_the_turn_going(
    runtime: MemoryRuntime,
) -> None:
    asked, door = asyncio.Event(), asyncio.Event()
    answers = [TextPart("no number"), TextPart("still none"), call("final_result", {"response": 7})]

    async def ask(messages: list[ModelMessage], _info: AgentInfo) -> ModelResponse:
        step = sum(isinstance(one, ModelResponse) for one in messages)
        if step == 1:
            asked.set()
            await door.wait()
        return ModelResponse(parts=[answers[step]])

    class Typed(Clerk):
        model = FunctionModel(ask)
        output_type = int

        async def after_step(self, step: Step) -> None:
            assert step.response is not None
            seen.append((step.number, step.response.text))

    typed = runtime.get(Typed, "a")
    await typed.submit("go", id="1")
    await asked.wait()
    await typed.steer("1", "hurry")
    door.set()
    assert (await typed.wait("1")).data == 7
    assert seen == [(1, "no number"), (2, "still none"), (3, None)]


async def test_a_hook_is_no_method_for_callers(runtime: MemoryRuntime) -> None:
    class Hooked(Clerk):
        async def after_turn(self, turn: Turn) -> None:
            seen.append(turn)

    stub: Any = runtime.get(Hooked, "a")
    with pytest.raises(AttributeError, match="belongs to the actor itself"):
        await stub.after_turn(Turn("1", "main", "go", "completed"))


def asked(info: AgentInfo) -> dict[str, Any]:
    return {
        "instructions": info.instructions,
        "settings": info.model_settings,
        "tools": [one.name for one in info.function_tools],
    }


def telling(name: str, *said: Any) -> FunctionModel:
    """A scripted model that notes how it was asked."""
    inner = script(*said)

    def ask(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        seen.append({"model": name, **asked(info)})
        assert inner.function is not None
        made = inner.function(messages, info)
        assert isinstance(made, ModelResponse)
        return made

    return FunctionModel(ask)


class Planning(Clerk):
    model = telling("large", [call("note", {"what": "ink"})], "noted")
    models = {"small": telling("small", "short")}
    model_settings = {"temperature": 0.5, "max_tokens": 100}


async def test_an_agent_asks_with_its_own_settings(runtime: MemoryRuntime) -> None:
    await runtime.get(Planning, "a").run("go")
    assert seen[0] == {
        "model": "large",
        "instructions": "You take notes.",
        "settings": {"temperature": 0.5, "max_tokens": 100},
        "tools": ["note", "shred"],
    }


async def test_the_plan_of_a_step_lies_over_that_of_its_turn(runtime: MemoryRuntime) -> None:
    class Planned(Planning):
        async def before_turn(self, turn: Turn) -> TurnPlan:
            return TurnPlan(
                instructions="Be brief.", tools=["note"], model_settings={"temperature": 0.0}
            )

        async def before_step(self, step: Step) -> StepPlan | None:
            if step.number == 1:
                return None
            return StepPlan(model="small", tools=[], model_settings={"seed": 1})

    assert await runtime.get(Planned, "a").run("go") == "short"
    first = {"temperature": 0.0, "max_tokens": 100}
    assert seen == [
        {"model": "large", "instructions": "Be brief.", "settings": first, "tools": ["note"]},
        {
            "model": "small",
            "instructions": "Be brief.",
            "settings": {**first, "seed": 1},
            "tools": [],
        },
    ]


async def test_a_tool_that_is_not_in_the_plan_is_not_there(runtime: MemoryRuntime) -> None:
    class Narrow(Clerk):
        model = script([call("shred")], "sorry")

        async def before_turn(self, turn: Turn) -> TurnPlan:
            self.put("ink")
            return TurnPlan(tools=["note"])

    narrow = runtime.get(Narrow, "a")
    assert await narrow.run("go") == "sorry"
    ((outcome, said),) = await narrow.results()
    assert outcome == "retried"
    assert "there is no tool 'shred'; there are: note" in said
    assert await narrow.notes() == ["ink"]


async def test_a_plan_says_how_many_steps_a_turn_has(runtime: MemoryRuntime) -> None:
    class Short(Clerk):
        model = script([call("note", {"what": "again"})])

        async def before_turn(self, turn: Turn) -> TurnPlan:
            return TurnPlan(steps=2)

    short = runtime.get(Short, "a")
    with pytest.raises(TurnFailed, match="2 of 2 steps"):
        await short.run("go")
    assert await short.notes() == ["again"] * 2


async def test_a_turn_that_goes_on_after_a_crash_keeps_its_plan(runtime: MemoryRuntime) -> None:
    class Kept(Planning):
        async def before_turn(self, turn: Turn) -> TurnPlan:
            seen.append("planned")
            return TurnPlan(model="waits", instructions="Be brief.")

    door = asyncio.Event()

    async def wait(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        seen.append(info.instructions)
        await door.wait()
        return ModelResponse(parts=[TextPart("here")])

    Kept.models = {"waits": FunctionModel(wait)}
    kept = runtime.get(Kept, "a")
    await kept.submit("go", id="1")
    while len(seen) < 2:
        await asyncio.sleep(0)
    await runtime.crash()
    door.set()
    assert (await runtime.get(Kept, "a").wait("1")).output == "here"
    assert seen == ["planned", "Be brief.", "Be brief."]


@pytest.mark.parametrize(
    ("verdict", "result", "notes"),
    [
        (None, ("success", "noted ink"), ["ink"]),
        (WithArguments({"what": "gold"}), ("success", "noted gold"), ["gold"]),
        (Block("ask a person"), ("denied", "ask a person"), []),
        (Substitute("noted before"), ("success", "noted before"), []),
        (WithArguments({"who": "me"}), ("retried", "wrong arguments of note"), []),
        (Substitute(object()), ("failed", "the tool returned what JSON cannot say"), []),
    ],
)
async def test_a_hook_lets_a_call_pass_changes_it_blocks_it_or_stands_in_for_it(
    runtime: MemoryRuntime, verdict: Verdict | None, result: tuple[str, str], notes: list[str]
) -> None:
    class Judging(Clerk):
        async def before_tool_call(self, call: ToolCall) -> Verdict | None:
            return verdict

        async def after_tool_call(self, call: ToolCall, outcome: ToolOutcome) -> None:
            seen.append((outcome.outcome, outcome.content))

    judging = runtime.get(Judging, "a")
    await judging.run("go")
    ((outcome, content),) = await judging.results()
    assert outcome == result[0]
    assert result[1] in content
    assert await judging.notes() == notes
    assert seen == [(outcome, content)]


async def test_no_hook_hears_of_a_call_of_what_is_not_there(runtime: MemoryRuntime) -> None:
    class Judging(Clerk):
        model = script([call("shout"), call("note", "{"), call("note", {"what": "ink"})], "sorry")

        async def before_tool_call(self, call: ToolCall) -> None:
            seen.append(call.id)

        async def after_tool_call(self, call: ToolCall, outcome: ToolOutcome) -> None:
            seen.append(outcome.outcome)

    judging = runtime.get(Judging, "a")
    await judging.submit("go", id="1")
    await judging.wait("1")
    assert seen == ["1:1:2", "success"]


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("before_turn", []),
        ("before_step", []),
        ("before_tool_call", []),
        ("after_tool_call", ["ink"]),
        ("after_step", ["ink"]),
        ("on_text", ["ink"]),
        ("after_turn", ["ink"]),
    ],
)
async def test_a_hook_that_raises_is_undone_and_ends_the_turn_and_what_was_kept_stays(
    runtime: MemoryRuntime, name: str, kept: list[str]
) -> None:
    async def failing(self: Clerk, *args: Any) -> None:
        self.put("never")
        raise ValueError("no")

    hooked: Any = type("Hooked", (Clerk,), {name: failing})
    clerk = runtime.get(hooked, "a")
    with pytest.raises(TurnFailed, match=f"HookFailed: {name} raised ValueError: no"):
        await clerk.run("go")
    assert await clerk.notes() == kept
    assert [one.status for one in await clerk.turns()] == ["error"]


@pytest.mark.parametrize(
    ("name", "returned"),
    [
        ("before_turn", {"model": "small"}),
        ("before_turn", TurnPlan(model_settings={"extra_body": object()})),
        ("before_step", TurnPlan(steps=3)),
        ("before_tool_call", "yes"),
    ],
)
async def test_what_a_hook_may_not_return_ends_the_turn(
    runtime: MemoryRuntime, name: str, returned: Any
) -> None:
    async def wrong(self: Clerk, about: Any) -> Any:
        return returned

    hooked: Any = type("Hooked", (Clerk,), {name: wrong})
    with pytest.raises(TurnFailed, match=f"HookFailed: {name} raised TypeError"):
        await runtime.get(hooked, "a").run("go")


async def test_a_turn_that_is_cancelled_runs_its_last_hook_and_the_next_one_begins(
    runtime: MemoryRuntime,
) -> None:
    door = asyncio.Event()

    class Ending(Clerk):
        model = script([call("wait")], "done")

        @tool(name="wait")
        async def waiting(self) -> None:
            """Wait."""
            seen.append("waits")
            if len(seen) == 1:
                await asyncio.Event().wait()

        async def after_turn(self, turn: Turn) -> None:
            seen.append(f"{turn.id} {turn.status}")
            await door.wait()
            self.put(seen[-1])

    ending = runtime.get(Ending, "a")
    await ending.submit("go", id="1")
    while not seen:
        await asyncio.sleep(0)
    cancelling = asyncio.create_task(ending.cancel("1"))
    while len(seen) < 2:
        await asyncio.sleep(0)
    for at in range(200):  # long enough for somebody to begin with turn 1 again
        await asyncio.sleep(0)
        if at == 100:
            await ending.submit("go", id="2")  # which wakes whoever drives turns
    door.set()
    assert await cancelling
    assert (await ending.wait("2")).status == "completed"
    assert await ending.notes() == ["1 aborted", "2 completed"]
    assert seen == ["waits", "1 aborted", "waits", "2 completed"]


async def test_a_turn_whose_last_hook_hangs_can_be_cancelled(runtime: MemoryRuntime) -> None:
    class Hanging(Clerk):
        async def after_turn(self, turn: Turn) -> None:
            seen.append(turn.status)
            await asyncio.Event().wait()

    hanging = runtime.get(Hanging, "a")
    await hanging.submit("go", id="1")
    while not seen:
        await asyncio.sleep(0)
    assert await hanging.cancel("1")
    assert (await hanging.wait("1")).status == "aborted"
    assert seen == ["completed"]


async def test_a_turn_that_was_cancelled_before_it_began_has_no_last_hook(
    runtime: MemoryRuntime,
) -> None:
    class Ended(Clerk):
        async def after_turn(self, turn: Turn) -> None:
            seen.append(turn.id)

        async def both(self) -> None:
            await self.submit("go", id="1")
            await self.cancel("1")

    ended = runtime.get(Ended, "a")
    await ended.both()
    assert (await ended.wait("1")).status == "aborted"
    assert seen == []


async def test_an_error_that_ends_a_turn_is_told_before_its_last_hook(
    runtime: MemoryRuntime,
) -> None:
    class Told(Clerk):
        limits = TurnLimits(steps=1)

        async def on_error(self, turn: Turn, error: Exception, stage: Stage) -> None:
            seen.append((type(error).__name__, stage))

        async def after_turn(self, turn: Turn) -> None:
            seen.append(turn.status)

    with pytest.raises(TurnFailed):
        await runtime.get(Told, "a").run("go")
    assert seen == [("OverBudget", "turn"), "error"]
