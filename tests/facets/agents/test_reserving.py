"""Budgets are reserved: many requests at the same time cannot all begin on the same last token."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.usage import RequestUsage

from facets import Quota
from facets.agents import Agent, Turn, TurnPlan
from facets.agents.reserving import _LINES
from facets.testing import MemoryRuntime

SPENT: list[int] = []
FLYING: list[int] = [0]
MOST = 1000
DOOR: dict[str, asyncio.Event] = {}


def thrifty(used: int, settings: Any = None) -> FunctionModel:
    """A model whose responses cost `used` tokens each, and take some turns of the loop."""

    async def answer(_messages: list[ModelMessage], _info: AgentInfo) -> ModelResponse:
        FLYING[0] += 1
        FLYING.append(FLYING[0])
        await asyncio.sleep(0)
        if "door" in DOOR:
            await DOOR["door"].wait()
        FLYING[0] -= 1
        SPENT.append(used)
        return ModelResponse(
            parts=[TextPart("done")], usage=RequestUsage(input_tokens=used - 1, output_tokens=1)
        )

    return FunctionModel(answer, settings={"max_tokens": MOST} if settings is None else settings)


class Frugal(Agent):
    model = thrifty(500)


class Wasteful(Agent):
    model = thrifty(3000)


class Crowd(Agent):
    model = "unused"

    async def ask(self, cls: type[Agent], count: int) -> list[str]:
        agents = [self.agents.get(cls, str(n)) for n in range(count)]
        for one in agents:
            await one.submit("go", id="1")
        turns = [await one.wait("1") for one in agents]
        return [f"{turn.status} {turn.error or ''}".split(":")[0].strip() for turn in turns]

    async def left(self) -> float:
        return self.meters.left("tokens")


@pytest.fixture(autouse=True)
def _clean() -> None:
    SPENT.clear()
    DOOR.clear()
    FLYING[:] = [0]


@pytest.fixture
async def runtime() -> AsyncIterator[MemoryRuntime]:
    async with MemoryRuntime(quota=Quota(meters={"tokens": 50_000})) as runtime:
        yield runtime


async def test_parallel_requests_whose_estimates_hold_never_exceed_the_quota_and_use_all_of_it(
    runtime: MemoryRuntime,
) -> None:
    crowd = runtime.get(Crowd, "a")
    ended = await crowd.ask(Frugal, 150)
    assert ended.count("completed") == len(SPENT) == 50_000 // 500
    assert set(ended) == {"completed", "error OverBudget"}
    assert sum(SPENT) == 50_000
    assert await crowd.left() == 0
    assert 1 < max(FLYING) <= 50_000 // MOST


async def test_what_exceeds_a_quota_is_what_was_estimated_wrong_of_requests_in_flight(
    runtime: MemoryRuntime,
) -> None:
    ended = await runtime.get(Crowd, "a").ask(Wasteful, 150)
    assert len(SPENT) < 150
    assert set(ended) <= {"completed", "error OverBudget"}
    assert 50_000 < sum(SPENT) <= 50_000 + max(FLYING) * (3000 - MOST)
    assert max(FLYING) <= 50_000 // MOST


async def test_a_quota_of_a_sub_agents_own_holds_as_well_as_that_above(
    runtime: MemoryRuntime,
) -> None:
    class Narrow(Crowd):
        async def ask_twice(self) -> list[str]:
            small = self.agents.get(Frugal, "small", quota=Quota(meters={"tokens": 700}))
            for turn in "123":
                await small.submit("go", id=turn, branch=turn)
            turns = [await small.wait(turn) for turn in "123"]
            return sorted((turn.error or "").split(":")[0] for turn in turns)

    # One request at a time, as the estimate of one is all that there is; the last of those that
    # have been asked finds 200 tokens, costs 500, and is over.
    assert await runtime.get(Narrow, "a").ask_twice() == ["", "", "OverBudget"]
    assert max(FLYING) == 1
    assert await runtime.get(Crowd, "a").left() == 50_000


async def test_a_request_that_was_never_made_has_cost_nothing() -> None:
    quota = Quota(meters={"tokens": 50_000, "usd": 1.0})
    async with MemoryRuntime(quota=quota) as runtime:
        frugal = runtime.get(Spender, "a")
        await frugal.spend("usd", 1.0)
        await frugal.submit("go", id="1")
        assert (await frugal.wait("1")).error.startswith("OverBudget")
        assert await frugal.left() == 50_000


async def test_what_was_reserved_keeps_no_sub_agent_in_memory(runtime: MemoryRuntime) -> None:
    class Small(Crowd):
        async def ask_small(self) -> None:
            quota = Quota(meters={"tokens": 10_000})
            await self.agents.get(Frugal, "small", quota=quota).run("go")
            self.agents.delete(Frugal, "small")

    await runtime.get(Small, "a").ask_small()
    lines = [line for each in _LINES.values() for line in each.values()]
    assert lines
    assert not [node for line in lines for node in line.flying]


async def test_what_a_plan_lets_the_model_say_is_what_is_reserved(runtime: MemoryRuntime) -> None:
    class Planned(FrugalRoot):
        async def before_turn(self, turn: Turn) -> TurnPlan:
            return TurnPlan(model_settings={"max_tokens": 9 * MOST})

    DOOR["door"] = asyncio.Event()
    planned = runtime.get(Planned, "a")
    await planned.submit("go", id="1")
    while not FLYING[0]:
        await asyncio.sleep(0)
    assert 9 * MOST < 50_000 - await planned.left() < 9 * MOST + 200
    DOOR["door"].set()
    await planned.wait("1")
    assert await planned.left() == 50_000 - 500


async def test_a_request_that_a_crash_cut_off_has_cost_its_estimate(
    runtime: MemoryRuntime,
) -> None:
    DOOR["door"] = asyncio.Event()
    frugal = runtime.get(FrugalRoot, "a")
    await frugal.submit("go", id="1")
    while not FLYING[0]:
        await asyncio.sleep(0)
    held = 50_000 - await frugal.left()
    assert MOST < held < MOST + 200
    await runtime.crash()
    DOOR["door"].set()
    frugal = runtime.get(FrugalRoot, "a")
    assert await frugal.left() == 50_000 - held
    await frugal.submit("go", id="1")
    await frugal.wait("1")
    assert await frugal.left() == 50_000 - held - 500


class Spender(Frugal):
    async def left(self) -> float:
        return self.meters.left("tokens")

    async def spend(self, meter: str, amount: float) -> None:
        self.meters.spend(meter, amount)


class FrugalRoot(Frugal):
    async def left(self) -> float:
        return self.meters.left("tokens")


async def test_a_request_that_the_model_refused_has_cost_nothing(runtime: MemoryRuntime) -> None:
    def refuse(_messages: list[ModelMessage], _info: AgentInfo) -> ModelResponse:
        raise ModelHTTPError(status_code=400, model_name="m")

    class Refused(FrugalRoot):
        model = FunctionModel(refuse)

    refused = runtime.get(Refused, "a")
    await refused.submit("go", id="1")
    assert (await refused.wait("1")).status == "error"
    assert await refused.left() == 50_000


async def test_who_waits_for_tokens_goes_on_when_a_turn_is_cancelled_that_holds_them() -> None:
    async with MemoryRuntime(quota=Quota(meters={"tokens": 2500})) as runtime:
        DOOR["door"] = asyncio.Event()
        frugal = runtime.get(FrugalRoot, "a")
        for turn in "123":
            await frugal.submit("go", id=turn, branch=turn)
        while FLYING[0] < 2:
            await asyncio.sleep(0)
        assert FLYING[0] == 2
        for turn in "12":
            await frugal.cancel(turn)  # its estimate stays spent: some 400 are left for the third
        while len(FLYING) < 4:
            await asyncio.sleep(0)
        DOOR["door"].set()
        assert (await frugal.wait("3")).status == "completed"


async def test_the_estimate_is_that_of_the_settings_that_the_request_has() -> None:
    class Planned(FrugalRoot):
        model_settings = {"max_tokens": 400}

        async def before_turn(self, turn: Turn) -> TurnPlan:
            return TurnPlan(model_settings={"max_tokens": 150})

    async with MemoryRuntime(quota=Quota(meters={"tokens": 5000})) as runtime:
        DOOR["door"] = asyncio.Event()
        planned = runtime.get(Planned, "a")
        await planned.submit("go", id="1")
        while not FLYING[0]:
            await asyncio.sleep(0)
        assert 150 < 5000 - await planned.left() < 250
        DOOR["door"].set()
        await planned.wait("1")


async def test_money_is_reserved_as_well_as_tokens() -> None:
    async with MemoryRuntime(quota=Quota(meters={"usd": 1.0})) as other:
        DOOR["door"] = asyncio.Event()

        class Priced(FrugalRoot):
            model = thrifty(500)
            model_settings = {"max_tokens": 10_000}

            async def usd(self) -> float:
                return self.meters.left("usd")

        made: Any = Priced.model
        made._model_name, made._system = "gpt-5", "openai"
        priced = other.get(Priced, "a")
        await priced.submit("go", id="1")
        while not FLYING[0]:
            await asyncio.sleep(0)
        assert 0.1 <= 1.0 - await priced.usd() < 0.11  # 10 dollars for a million tokens
        DOOR["door"].set()
        await priced.wait("1")


async def test_without_a_quota_nothing_is_reserved() -> None:
    class Free(FrugalRoot):
        async def reserved(self) -> bool:
            found = self.sql("select 1 from sqlite_schema where name = '_facets_reservations'")
            return bool(found.all())

    async with MemoryRuntime() as runtime:
        free = runtime.get(Free, "a")
        assert await free.run("go") == "done"
        assert not await free.reserved()
