"""Turns: what is kept of them, what they may use, what a model that errs is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic_ai.exceptions import ModelRetry
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.models.function import AgentInfo, DeltaToolCall, FunctionModel
from pydantic_ai.usage import RequestUsage

from actors import LocalRuntime
from facets import deadline
from facets.agents import Agent, TextDelta, ToolFinished, ToolStarted, TurnLimits, current, tool
from facets.errors import (
    BadToolDefinition,
    NoSuchTurn,
    ReservedName,
    TurnAborted,
    TurnDiffers,
    TurnFailed,
    TurnSkipped,
)
from facets.testing import MemoryRuntime

RAN: list[Any] = []
DOORS: dict[str, asyncio.Event] = {}


def script(*said: Any) -> FunctionModel:
    """A model that says one thing after the other, by how much it said in this turn."""

    def at(messages: list[ModelMessage]) -> ModelResponse:
        n = 0
        for one in messages:
            prompted = any(part.part_kind == "user-prompt" for part in one.parts)
            n = 0 if prompted else n + isinstance(one, ModelResponse)
        answer = said[n % len(said)]
        parts = [TextPart(answer)] if isinstance(answer, str) else list(answer)
        return ModelResponse(parts=parts, usage=RequestUsage(input_tokens=10, output_tokens=5))

    async def stream(messages: list[ModelMessage], _info: AgentInfo) -> AsyncIterator[Any]:
        for n, part in enumerate(at(messages).parts):
            if isinstance(part, TextPart):
                for word in part.content.split():
                    yield word
            elif isinstance(part, ToolCallPart):
                yield {n: DeltaToolCall(part.tool_name, part.args_as_json_str())}

    return FunctionModel(lambda messages, _info: at(messages), stream_function=stream)


def call(name: str, args: Any = None, call_id: str = "c") -> ToolCallPart:
    return ToolCallPart(name, {} if args is None else args, tool_call_id=call_id)


class Clerk(Agent):
    model = script([call("note", {"what": "ink"})], "noted")
    instructions = "You take notes."
    migrations = ["create table notes(what text)"]

    @tool
    async def note(self, what: str) -> str:
        """Note something."""
        self.sql("insert into notes values (?)", what)
        RAN.append(what)
        return f"noted {what}"

    @tool
    async def fail(self) -> None:
        """Fail."""
        self.sql("insert into notes values ('never')")
        raise ValueError("no such thing")

    @tool
    async def wait_at(self, door: str) -> str:
        """Wait."""
        RAN.append(door)
        await DOORS.setdefault(door, asyncio.Event()).wait()
        return door

    async def notes(self) -> list[str]:
        return [row.what for row in self.sql("select what from notes")]

    async def results(self) -> list[tuple[str, str]]:
        return [
            (part.outcome, part.model_response_str())
            for one in self.session.history()
            for part in one.parts
            if isinstance(part, ToolReturnPart)
        ]


@pytest.fixture(autouse=True)
def _clean() -> None:
    RAN.clear()
    DOORS.clear()


@pytest.fixture
async def runtime() -> AsyncIterator[MemoryRuntime]:
    async with MemoryRuntime() as runtime:
        yield runtime


async def test_a_turn_calls_tools_and_ends_with_the_last_words(runtime: LocalRuntime) -> None:
    clerk = runtime.get(Clerk, "a")
    assert await clerk.run("note ink") == "noted"
    assert await clerk.notes() == ["ink"]
    (turn,) = await clerk.turns()
    assert (turn.status, turn.steps, turn.tokens) == ("completed", 2, 30)


async def test_submit_is_idempotent_by_id_and_wait_has_the_outcome(runtime: LocalRuntime) -> None:
    clerk = runtime.get(Clerk, "a")
    assert await clerk.submit("note ink", id="1") == await clerk.submit("note ink", id="1") == "1"
    turn = await clerk.wait("1")
    assert (turn.status, turn.output) == ("completed", "noted")
    await clerk.submit("note ink", id="1")
    assert RAN == ["ink"]
    with pytest.raises(TurnDiffers):
        await clerk.submit("something else", id="1")


async def test_a_stream_yields_text_and_tool_calls_as_they_happen(runtime: LocalRuntime) -> None:
    events = [one async for one in runtime.get(Clerk, "a").stream("note ink")]
    assert [type(one) for one in events] == [ToolStarted, ToolFinished, TextDelta]
    assert events[1].content == "noted ink"
    assert events[2].text == "noted"


async def test_a_tool_that_fails_undoes_its_step_and_the_model_reads_why(
    runtime: LocalRuntime,
) -> None:
    class Failing(Clerk):
        model = script([call("fail")], "I see")

    clerk = runtime.get(Failing, "a")
    assert await clerk.run("go") == "I see"
    assert await clerk.notes() == []
    assert await clerk.results() == [("failed", '{"error":"ValueError: no such thing"}')]


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (call("shred"), "there is no tool 'shred'; there are: fail, note, wait_at"),
        (call("note", {"what": [1]}), "wrong arguments of note: what"),
        (call("note", {"who": "me"}), "what: Field required"),
        (call("note", '{"what": '), "no JSON object"),
        (call("note", "[1]"), "no JSON object"),
    ],
)
async def test_a_broken_call_is_told_to_the_model_and_runs_nothing(
    runtime: LocalRuntime, made: ToolCallPart, says: str
) -> None:
    class Broken(Clerk):
        model = script([made], "sorry")

    clerk = runtime.get(Broken, "a")
    assert await clerk.run("go") == "sorry"
    ((outcome, text),) = await clerk.results()
    assert outcome == "retried"
    assert says in text
    assert RAN == []


async def test_calls_of_one_response_run_at_the_same_time_and_ids_may_repeat(
    runtime: LocalRuntime,
) -> None:
    class Both(Clerk):
        model = script([call("wait_at", {"door": "x"}), call("wait_at", {"door": "y"})], "done")

    clerk = runtime.get(Both, "a")
    await clerk.submit("go", id="1")
    while len(RAN) < 2:
        await asyncio.sleep(0)
    for door in ("y", "x"):
        DOORS[door].set()
    assert (await clerk.wait("1")).output == "done"
    assert [text for _, text in await clerk.results()] == ["x", "y"]


async def test_a_model_that_loops_is_stopped_at_its_limit_of_steps(runtime: LocalRuntime) -> None:
    class Loop(Clerk):
        model = script([call("note", {"what": "again"})])
        limits = TurnLimits(steps=3)

    clerk = runtime.get(Loop, "a")
    with pytest.raises(TurnFailed, match=r"OverBudget: .* 3 of 3 steps"):
        await clerk.run("go")
    assert RAN == ["again"] * 3


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        (TurnLimits(tokens=20), "30 of 20 tokens"),
        (TurnLimits(cost=1.0), "nobody knows the price"),
    ],
)
async def test_a_turn_over_its_tokens_or_of_unknown_cost_is_stopped(
    runtime: LocalRuntime, limits: TurnLimits, says: str
) -> None:
    chosen = limits

    class Loop(Clerk):
        model = script([call("note", {"what": "again"})])
        limits = chosen

    with pytest.raises(TurnFailed, match=says):
        await runtime.get(Loop, "a").run("go")


async def test_a_tool_over_its_seconds_is_undone_and_told_and_the_turn_goes_on(
    runtime: MemoryRuntime,
) -> None:
    class Patient(Clerk):
        model = script([call("hang")], "too long")

        @tool(seconds=5)
        async def hang(self) -> None:
            """Hang."""
            self.sql("insert into notes values ('never')")
            RAN.append("hang")
            await asyncio.Event().wait()

    clerk = runtime.get(Patient, "a")
    await clerk.submit("go", id="1")
    while not RAN:
        await asyncio.sleep(0)
    await runtime.clock.run(6)
    assert (await clerk.wait("1")).output == "too long"
    ((outcome, text),) = await clerk.results()
    assert outcome == "failed"
    assert "DeadlineExceeded" in text
    assert "5 s" in text


async def test_a_tool_whose_own_deadline_passes_fails_and_does_not_end_the_turn(
    runtime: MemoryRuntime,
) -> None:
    class Strict(Clerk):
        model = script([call("hang")], "too long")

        @tool
        async def hang(self) -> None:
            """Hang."""
            RAN.append("hang")
            with deadline(1):
                await asyncio.Event().wait()

    clerk = runtime.get(Strict, "a")
    await clerk.submit("go", id="1")
    while not RAN:
        await asyncio.sleep(0)
    await runtime.clock.run(2)
    assert (await clerk.wait("1")).output == "too long"


async def test_a_tool_may_ask_to_be_called_again(runtime: LocalRuntime) -> None:
    class Picky(Clerk):
        model = script([call("again")], "done")

        @tool
        async def again(self) -> None:
            """Ask again."""
            raise ModelRetry("say please")

    clerk = runtime.get(Picky, "a")
    assert await clerk.run("go") == "done"
    ((outcome, text),) = await clerk.results()
    assert outcome == "retried"
    assert "say please" in text
    assert "ModelRetry" not in text


@pytest.mark.parametrize("name", ["run", "submit", "session", "progress", "sql"])
def test_a_tool_may_not_hide_what_every_agent_has(name: str) -> None:
    def method(self: Any) -> None: ...

    with pytest.raises((BadToolDefinition, ReservedName), match=name):
        type("Hiding", (Agent,), {name: tool(method)})


async def test_turns_are_found_by_status_and_branch_page_by_page(runtime: LocalRuntime) -> None:
    clerk = runtime.get(Clerk, "a")
    for n in range(4):
        await clerk.submit("note ink", id=str(n), branch=("main", "other")[n % 2])
        await clerk.wait(str(n))
    await clerk.submit("note ink", id="4")
    await clerk.cancel("4")

    async def ids(**how: Any) -> list[str]:
        return [turn.id for turn in await clerk.turns(**how)]

    assert await ids() == ["4", "3", "2", "1", "0"]
    assert await ids(status="completed", branch="main") == ["2", "0"]
    assert await ids(limit=2, before="3") == ["2", "1"]
    with pytest.raises(NoSuchTurn):
        await clerk.turns(before="9")


async def test_a_turn_over_its_seconds_is_stopped_while_a_tool_waits(
    runtime: MemoryRuntime,
) -> None:
    class Slow(Clerk):
        model = script([call("wait_at", {"door": "x"})])
        limits = TurnLimits(seconds=60)

    clerk = runtime.get(Slow, "a")
    await clerk.submit("go", id="1")
    while not RAN:
        await asyncio.sleep(0)
    await runtime.clock.run(61)
    turn = await clerk.wait("1")
    assert turn.status == "error"
    assert "DeadlineExceeded" in (turn.error or "")


async def test_a_model_that_raises_ends_the_turn_and_the_next_one_runs(
    runtime: LocalRuntime,
) -> None:
    broken = {"yes": True}

    def ask(messages: list[ModelMessage], _info: AgentInfo) -> ModelResponse:
        if broken.pop("yes", False):
            raise ValueError("no such model")
        return ModelResponse(parts=[TextPart("here")])

    class Away(Clerk):
        model = FunctionModel(ask)

    clerk = runtime.get(Away, "a")
    with pytest.raises(TurnFailed, match="ValueError: no such model"):
        await clerk.run("go")
    assert await clerk.run("go") == "here"


class Waiting(Clerk):
    model = script([call("wait_at", {"door": "x"})], "done")


async def submitted(clerk: Any, *ids: str) -> None:
    for one in ids:
        await clerk.submit("go", id=one)
        while not RAN:
            await asyncio.sleep(0)


async def test_queued_turns_run_one_after_the_other(runtime: LocalRuntime) -> None:
    clerk = runtime.get(Waiting, "a")
    await submitted(clerk, "1", "2")
    assert [(await clerk.turn(one)).status for one in "12"] == ["running", "pending"]
    DOORS["x"].set()
    assert [(await clerk.wait(one)).status for one in "12"] == ["completed"] * 2


async def test_the_latest_turn_takes_the_place_of_those_before(runtime: LocalRuntime) -> None:
    class Latest(Waiting):
        concurrency = "latest"

    clerk = runtime.get(Latest, "a")
    await submitted(clerk, "1", "2", "3")
    while len(RAN) < 2:
        await asyncio.sleep(0)
    DOORS["x"].set()
    assert [(await clerk.wait(one)).status for one in "123"] == ["aborted", "aborted", "completed"]


async def test_a_dropped_turn_never_runs(runtime: LocalRuntime) -> None:
    class Drop(Waiting):
        concurrency = "drop"

    clerk = runtime.get(Drop, "a")
    await submitted(clerk, "1")
    with pytest.raises(TurnSkipped):
        await clerk.run("go")
    DOORS["x"].set()
    assert (await clerk.wait("1")).status == "completed"


async def test_turns_of_two_branches_run_at_the_same_time(runtime: LocalRuntime) -> None:
    clerk = runtime.get(Waiting, "a")
    await submitted(clerk, "1")
    await clerk.submit("go", id="2", branch="other")
    while len(RAN) < 2:
        await asyncio.sleep(0)
    DOORS["x"].set()
    assert [(await clerk.wait(one)).status for one in "12"] == ["completed"] * 2


async def test_cancelling_the_call_of_run_cancels_the_turn(runtime: LocalRuntime) -> None:
    clerk = runtime.get(Waiting, "a")
    running = asyncio.create_task(clerk.run("go"))
    while not RAN:
        await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    (turn,) = await clerk.turns()
    assert turn.status == "aborted"


async def test_a_cancelled_turn_is_told_to_who_waits_and_the_next_one_runs(
    runtime: LocalRuntime,
) -> None:
    clerk = runtime.get(Waiting, "a")
    await submitted(clerk, "1", "2")
    waiting = asyncio.create_task(clerk.wait("1"))
    assert await clerk.cancel("1")
    assert not await clerk.cancel("1")
    assert (await waiting).status == "aborted"
    with pytest.raises(TurnAborted, match="cancelled"):
        (await waiting).result()
    DOORS["x"].set()
    assert (await clerk.wait("2")).status == "completed"
    # A model refuses a history in which a call has no result.
    assert [outcome for outcome, _ in await clerk.results()] == ["interrupted", "success"]


async def test_a_tool_knows_which_call_it_is(runtime: LocalRuntime) -> None:
    class Knowing(Agent):
        model = script([call("who")], "done")

        @tool
        async def who(self) -> str:
            """Say who."""
            running = current()
            assert running is not None
            RAN.append((running.id, running.turn, running.name))
            return ""

    knowing = runtime.get(Knowing, "a")
    await knowing.submit("go", id="1")
    await knowing.wait("1")
    assert RAN == [("1:1:0", "1", "who")]
    assert current() is None


async def test_a_turn_that_is_taken_back_in_the_step_that_asked_for_it_is_in_nobodys_way(
    runtime: LocalRuntime,
) -> None:
    class Hasty(Clerk):
        async def cancelled(self) -> None:
            await self.submit("go", id="1")
            await self.cancel("1")

        async def undone(self) -> None:
            await self.submit("go", id="2")
            raise ValueError("no")

    hasty = runtime.get(Hasty, "a")
    await hasty.cancelled()
    await asyncio.sleep(0)  # what was to drive it begins
    with pytest.raises(ValueError, match="no"):
        await hasty.undone()
    await asyncio.sleep(0)
    assert await hasty.run("go") == "noted"
    assert [one.status for one in await hasty.turns()] == ["completed", "aborted"]
