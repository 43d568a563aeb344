"""Agents with extensions: what a model writes for itself, and where it can be used."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic_ai.messages import ModelMessage, ModelResponse
from pydantic_ai.models.function import AgentInfo, FunctionModel

from actors.testing import EPOCH, VirtualClock
from facets import LocalRuntime
from facets.agents import Agent, Tool, tool
from facets.agents.driving import Driver
from facets.extensions import Extensions, Proposal
from facets.testing import MemoryRuntime
from tests.facets.agents.test_turns import DOORS, call, script
from tests.facets.extensions.test_life import COUNTER, MANIFEST, approve

PROPOSE = call("propose_extension", {"manifest": MANIFEST, "source": COUNTER})
COUNT = call("counter__count", {"word": "ink"})
offered: list[set[str]] = []
MODEL_TOOLS = {"propose_extension", "list_extensions", "rollback_extension"}


def watched(*said: Any) -> FunctionModel:
    """A script that notes what it is offered at each step."""
    inner = script(*said)

    def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        offered.append({one.name for one in info.function_tools})
        assert inner.function is not None
        answered = inner.function(messages, info)
        assert isinstance(answered, ModelResponse)
        return answered

    return FunctionModel(answer)


class Writer(Agent):
    model = watched([PROPOSE], [COUNT], [COUNT], "counted")
    trusted = True
    extensions: Extensions

    async def on_start(self) -> None:
        self.extensions = Extensions(self, **({"consent": approve} if self.trusted else {}))
        await self.extensions.resume()

    async def allow(self) -> Proposal:
        return await self.extensions.approve("counter", "1")

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
    offered.clear()
    async with MemoryRuntime() as runtime:
        yield runtime


async def test_what_a_model_writes_it_can_use_in_the_next_step_of_its_turn(
    runtime: MemoryRuntime,
) -> None:
    writer = runtime.get(Writer, "a")
    assert await writer.run("count ink") == "counted"
    assert offered == [MODEL_TOOLS, *[MODEL_TOOLS | {"counter__count"}] * 3]
    assert (await writer.told())[1:] == ["1", "2"]


async def test_what_waits_for_consent_is_no_tool_until_somebody_approves(
    runtime: MemoryRuntime,
) -> None:
    class Careful(Writer):
        trusted = False
        model = watched([PROPOSE], [COUNT], "done")

    careful = runtime.get(Careful, "a")
    await careful.run("count ink")
    proposed, refused = await careful.told()
    assert '"state":"pending"' in proposed
    assert "there is no tool 'counter__count'" in refused
    assert offered == [MODEL_TOOLS] * 3
    assert (await careful.allow()).state == "active"
    await careful.run("count ink again")
    assert offered[3] == MODEL_TOOLS | {"counter__count"}
    assert (await careful.told())[3:] == ["1"]


async def test_a_turn_that_a_crash_cut_off_has_the_tools_that_it_wrote(
    runtime: MemoryRuntime,
) -> None:
    class Waiting(Writer):
        model = watched([PROPOSE], [COUNT], [call("rest")], [COUNT], "counted")

        @tool
        async def rest(self) -> str:
            """Wait at the door."""
            DOORS.setdefault("arrived", asyncio.Event()).set()
            await DOORS.setdefault("door", asyncio.Event()).wait()
            return "rested"

    await runtime.get(Waiting, "a").submit("count ink", id="1")
    await DOORS.setdefault("arrived", asyncio.Event()).wait()
    await runtime.crash()
    DOORS.setdefault("door", asyncio.Event()).set()
    waiting = runtime.get(Waiting, "a")
    assert (await waiting.wait("1")).output == "counted"
    assert (await waiting.told())[1:] == ["1", "rested", "2"]


async def test_a_death_after_any_commit_of_such_a_turn_repeats_nothing_that_is_finished(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    durable, passed, last = Driver.durable, 0, 0
    reached = asyncio.Event()

    async def counted(self: Driver) -> None:
        nonlocal passed
        await durable(self)
        passed += 1
        if passed == last:
            reached.set()
            await asyncio.Event().wait()

    monkeypatch.setattr(Driver, "durable", counted)
    async with MemoryRuntime() as runtime:
        await runtime.get(Writer, "a").run("count ink")
    commits = passed
    assert commits >= 9
    for place in range(1, commits + 1):
        passed, last = 0, place
        reached.clear()
        async with MemoryRuntime() as runtime:
            await runtime.get(Writer, "a").submit("count ink", id="1")
            await reached.wait()
            await runtime.crash()
            last = 0
            writer = runtime.get(Writer, "a")
            assert (await writer.wait("1")).output == "counted"
            assert (await writer.told())[1:] == ["1", "2"], place
    gc.collect()  # what the deaths left is gone here, and not during some other test


async def test_a_death_between_what_an_extension_stores_and_its_result_repeats_nothing(
    runtime: MemoryRuntime,
) -> None:
    class Counting(Writer):
        model = script([COUNT], "counted")

        async def prepare(self) -> None:
            await self.extensions.propose(MANIFEST, COUNTER)

        def _extended(self) -> dict[str, Tool]:
            return {name: self._late(one) for name, one in super()._extended().items()}

        def _late(self, one: Tool) -> Tool:
            async def call(**arguments: Any) -> Any:
                result = await one.call(**arguments)
                await self._driver.durable()  # the extension's data is on disk, its result is not
                DOORS.setdefault("arrived", asyncio.Event()).set()
                await DOORS.setdefault("door", asyncio.Event()).wait()
                return result

            return replace(one, call=call)

        async def count(self) -> int:
            return int(await self.extensions.call("counter", "count", word="ink"))

    counting = runtime.get(Counting, "a")
    await counting.prepare()
    await counting.submit("count ink", id="1")
    await DOORS.setdefault("arrived", asyncio.Event()).wait()
    await runtime.crash()
    DOORS.setdefault("door", asyncio.Event()).set()
    counting = runtime.get(Counting, "a")
    assert (await counting.wait("1")).output == "counted"
    assert await counting.told() == ["1"]
    assert await counting.count() == 2


IDENTIFIED = """
from facets import Actor

class Extension(Actor):
    async def pay(self, call): return call
"""


async def test_a_tool_is_given_an_id_of_its_call_that_says_nothing_of_the_turn(
    runtime: MemoryRuntime,
) -> None:
    manifest = {"name": "bank", "version": "1", "tools": [{"name": "pay", "call_id": "call"}]}

    class Paying(Writer):
        model = script([call("bank__pay"), call("bank__pay", {"call": "mine"})], "paid")

        async def prepare(self) -> Proposal:
            return await self.extensions.propose(manifest, IDENTIFIED)

    paying = runtime.get(Paying, "a")
    assert (await paying.prepare()).problems == ()
    await paying.submit("pay", id="secret")
    await paying.wait("secret")
    given, refused = await paying.told()
    assert (len(given), "secret" in given) == (32, False)
    assert "call is not known" in refused


async def test_no_extension_takes_the_place_of_a_tool_of_the_agent(runtime: MemoryRuntime) -> None:
    async def own(word: str) -> str:
        return f"ours: {word}"

    class Owner(Writer):
        tools = (Tool("counter__count", "Count.", {"type": "object"}, own),)

    owner = runtime.get(Owner, "a")
    await owner.run("count ink")
    assert (await owner.told())[1:] == ["ours: ink"] * 2


async def test_an_agent_without_extensions_offers_its_own_tools_only(
    runtime: MemoryRuntime,
) -> None:
    class Plain(Agent):
        model = watched("done")

        @tool
        async def note(self) -> None:
            """Note."""

    await runtime.get(Plain, "a").run("go")
    assert offered == [{"note"}]


TIMED = """
from facets import Actor

class Extension(Actor):
    async def later(self): self.timers.after(60, self.ring)
    async def ring(self): self.kv["rung"] = True
    async def rung(self): return self.kv.get("rung", False)
"""


async def test_a_timer_of_what_it_wrote_rings_in_the_next_life(state: Path) -> None:
    manifest = MANIFEST | {"tools": [{"name": "later"}, {"name": "rung"}]}
    propose = call("propose_extension", {"manifest": manifest, "source": TIMED})

    class Timed(Writer):
        model = script([propose], [call("counter__later")], "later")

        async def rung(self) -> bool:
            return bool(await self.extensions.call("counter", "rung"))

    async with LocalRuntime(state, clock=VirtualClock()) as runtime:
        await runtime.get(Timed, "a").run("ring later")
    clock = VirtualClock(now=EPOCH + 61)
    async with LocalRuntime(state, clock=clock) as runtime:
        runtime.register(Timed)
        await clock.run(1)
        assert await runtime.get(Timed, "a").rung()
