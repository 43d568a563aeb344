"""Sub-agents: got, listed, ended; called as tools; cancelled and reported."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, UserPromptPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from facets import Quota
from facets.agents import Agent, Progressed, Run, Turn, as_tool, tool
from facets.errors import NoSuchRun, NoSuchTurn, NotCallable, TurnFailed
from facets.serve.shapes import shapes
from facets.testing import MemoryRuntime
from tests.facets.agents.test_turns import DOORS, Clerk, call, script


class Diver(Agent):
    """Dives for an answer.

    More that is not for the model."""

    model = script([call("dive")], "an octopus has three hearts")

    @tool
    async def dive(self) -> str:
        """Dive."""
        await self.progress("under water", 0.5)
        return "deep"


class Sleeper(Agent):
    model = script([call("doze")], "awake")

    @tool
    async def doze(self) -> str:
        """Wait at the door."""
        DOORS.setdefault("arrived", asyncio.Event()).set()
        await DOORS.setdefault("door", asyncio.Event()).wait()
        return "rested"


class Failing(Agent):
    model = script([call("again")])


class Lead(Agent):
    model = script([call("diver", {"prompt": "hearts?"})], "three")
    tools = (as_tool(Diver), as_tool(Failing), as_tool(Sleeper))

    async def below(self) -> list[tuple[str, str]]:
        return [(one.kind, one.name) for one in self.agents.list()]

    async def ask(self, name: str) -> str:
        return await self.agents.get(Diver, name).run("hearts?")

    async def both(self) -> list[Any]:
        await self.agents.get(Diver, "x").run("hearts?")
        await self.agents.get(Clerk, "x").run("note ink")
        clerks = [(one.kind, one.name) for one in self.agents.list(Clerk)]
        listed = await self.below(), clerks, self.agents.exists(Diver, "x")
        self.agents.delete(Diver, "x")
        return [*listed, self.agents.exists("Diver", "x"), await self.below()]

    async def told(self) -> list[str]:
        return [
            part.model_response_str()
            for one in self.session.history()
            for part in one.parts
            if part.part_kind == "tool-return"
        ]


@pytest.fixture
async def runtime() -> AsyncIterator[MemoryRuntime]:
    DOORS.clear()
    async with MemoryRuntime() as runtime:
        yield runtime


async def test_sub_agents_are_told_apart_by_kind_and_name(runtime: MemoryRuntime) -> None:
    both = [("Clerk", "x"), ("Diver", "x")]
    lead = runtime.get(Lead, "a")
    assert await lead.both() == [both, both[:1], True, False, both[:1]]


async def test_an_agent_is_a_tool_whose_result_says_how_its_run_ended(
    runtime: MemoryRuntime,
) -> None:
    lead = runtime.get(Lead, "a")
    events = [one async for one in lead.stream("how many hearts?")]
    (progress,) = [one for one in events if isinstance(one, Progressed)]
    assert (progress.message, progress.fraction) == ("under water", 0.5)
    (told,) = await lead.told()
    assert '"status":"completed"' in told
    assert "three hearts" in told
    assert as_tool(Diver).description == "Dives for an answer."


async def test_a_run_that_fails_is_an_error_that_the_parents_turn_survives(
    runtime: MemoryRuntime,
) -> None:
    class Sad(Lead):
        model = script([call("failing", {"prompt": "go"})], "so be it")

    sad = runtime.get(Sad, "a")
    assert await sad.run("try") == "so be it"
    (told,) = await sad.told()
    assert '"status":"error"' in told
    assert "OverBudget" in told


async def test_cancelling_a_turn_cancels_the_runs_it_waits_for(runtime: MemoryRuntime) -> None:
    class Waiting(Lead):
        model = script([call("sleeper", {"prompt": "sleep"})], "never")

        async def their_turns(self) -> list[Turn]:
            found = [self.agents.get(Sleeper, one.name) for one in self.agents.list()]
            return [one for child in found for one in await child.turns()]

    waiting = runtime.get(Waiting, "a")
    await waiting.submit("go", id="1")
    await DOORS.setdefault("arrived", asyncio.Event()).wait()
    assert await waiting.cancel("1")
    assert (await waiting.wait("1")).status == "aborted"
    (run,) = await waiting.their_turns()
    assert (await run_over(waiting)).status == "aborted", run


async def run_over(waiting: Any) -> Turn:
    while not (found := await waiting.their_turns())[0].over:
        await asyncio.sleep(0)
    return found[0]


def delegate(messages: list[ModelMessage], _info: AgentInfo) -> ModelResponse:
    newest = messages[-1].parts[0]
    if not isinstance(newest, UserPromptPart):
        return ModelResponse(parts=[TextPart("it runs")])
    if str(newest.content).startswith("The run"):
        return ModelResponse(parts=[TextPart("thank you")])
    return ModelResponse(parts=[call("diver", {"prompt": "hearts?"})])


class Detached(Lead):
    model = FunctionModel(delegate)
    tools = (as_tool(Diver, detached=True),)


async def test_a_detached_run_reports_back_as_a_turn_of_the_parent(runtime: MemoryRuntime) -> None:
    lead = runtime.get(Detached, "a")
    await lead.submit("ask", id="1")
    assert (await lead.wait("1")).output == "it runs"
    while True:
        try:
            turn = await lead.wait("report:1:1:0")
            break
        except NoSuchTurn:
            await asyncio.sleep(0)
    assert "three hearts" in turn.prompt
    assert turn.output == "thank you"


async def test_what_sub_agents_spend_is_under_the_quota_of_the_tree() -> None:
    async with MemoryRuntime(quota=Quota(meters={"tokens": 100})) as runtime:
        lead = runtime.get(Lead, "a")
        for name in ("1", "2", "3"):
            await lead.ask(name)  # 30 tokens each
        with pytest.raises(TurnFailed, match="MeterQuota"):
            await lead.ask("4")  # 15 of the 10 that are left
        with pytest.raises(TurnFailed, match="OverBudget"):
            await lead.ask("5")


async def test_a_thousand_sub_agents_run_at_the_same_time(runtime: MemoryRuntime) -> None:
    class Crowd(Agent):
        model = "unused"

        async def ask(self, count: int) -> int:
            asked = [self.agents.get(Diver, str(n)).run("hearts?") for n in range(count)]
            return len(set(map(str, await asyncio.gather(*asked)))) + len(self.agents.list())

    assert await runtime.get(Crowd, "a").ask(1000) == 1001


class Sending(Lead):
    model = script([call("sleeper", {"prompt": "sleep"})], "over")


async def test_a_sub_agent_that_is_ended_leaves_a_run_that_is_interrupted(
    runtime: MemoryRuntime,
) -> None:
    class Ending(Sending):
        async def end(self) -> None:
            for one in self.agents.list():
                assert one.kind == "Sleeper"
                self.agents.abort(Sleeper, one.name)

    lead = runtime.get(Ending, "a")
    await lead.submit("go", id="1")
    await DOORS.setdefault("arrived", asyncio.Event()).wait()
    await lead.end()
    assert (await lead.wait("1")).output == "over"
    (told,) = await lead.told()
    assert '"status":"interrupted"' in told


class Imp(Agent):
    model = "unused"

    async def forge(self, run: str) -> None:
        await self.parent.progressed(Progressed(run, "forged", 1.0))
        await self.parent.report(run, "completed", "forged", None)


class Asleep(Lead):
    model = script([call("sleeper", {"prompt": "sleep"})], "it runs", "thank you")
    tools = (as_tool(Sleeper, detached=True),)

    async def sibling_forges(self, run: str) -> None:
        await self.agents.get(Imp, "imp").forge(run)

    async def on_progress(self, run: Run, progress: Progressed) -> None:
        self.kv["heard"] = progress.message

    async def heard(self) -> str | None:
        return self.kv.get("heard")


async def test_only_the_sub_agent_of_a_run_can_report_on_it(runtime: MemoryRuntime) -> None:
    lead: Any = runtime.get(Asleep, "a")
    await lead.submit("ask", id="1")
    await DOORS.setdefault("arrived", asyncio.Event()).wait()
    assert (await lead.wait("1")).output == "it runs"
    with pytest.raises(NoSuchRun):
        await lead.report("1:1:0", "completed", "forged", None)
    with pytest.raises(NoSuchRun):
        await lead.sibling_forges("1:1:0")
    await lead.progressed(Progressed("1:1:0", "forged", 1.0))
    assert await lead.heard() is None
    DOORS.setdefault("door", asyncio.Event()).set()
    while True:
        try:
            assert "awake" in (await lead.wait("report:1:1:0")).prompt
            break
        except NoSuchTurn:
            await asyncio.sleep(0)


async def test_only_a_parent_asks_to_be_told_of_a_run(runtime: MemoryRuntime) -> None:
    class Bad(Asleep):
        async def facet(self, name: str) -> Any:
            return self.agents.get(Imp, name)

    lead: Any = runtime.get(Bad, "a")
    for agent in (lead, await lead.facet("imp")):
        with pytest.raises(NoSuchRun):
            await agent.submit("ask", id="1", report="1:1:0")
        assert await agent.turns() == []


@pytest.mark.parametrize("method", ["on_progress", "on_run_started", "on_run_finished", "progress"])
async def test_what_an_agent_calls_on_itself_is_not_open_to_callers(
    runtime: MemoryRuntime, method: str
) -> None:
    lead = runtime.get(Asleep, "a")  # which overrides one of them
    with pytest.raises(NotCallable, match="belongs to the actor itself"):
        await getattr(lead, method)(None)
    assert method not in shapes(Asleep)


@pytest.mark.parametrize("cls", [Sending, Detached])
async def test_a_crash_of_both_leaves_one_run_that_ends(
    runtime: MemoryRuntime, cls: type[Agent]
) -> None:
    await runtime.get(cls, "a").submit("go", id="1")
    for _ in range(40):
        await asyncio.sleep(0)
    await runtime.crash()
    DOORS.setdefault("door", asyncio.Event()).set()
    runtime.register(cls)
    await runtime.clock.run(60)
    lead = runtime.get(cls, "a")
    assert (await lead.wait("1")).status == "completed"
    assert len(await lead.below()) == 1
    if cls is Detached:
        while not any(turn.id == "report:1:1:0" for turn in await lead.turns()):
            await runtime.clock.run(10)
        assert (await lead.wait("report:1:1:0")).output == "thank you"
