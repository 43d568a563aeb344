"""Structured output: a turn ends with data of a type, or the model is told what is wrong."""

from __future__ import annotations

import datetime
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Any

import cloudpickle
import pytest
from pydantic import BaseModel, Field
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolReturnPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from typing_extensions import TypedDict

from facets.agents import Agent, Answered, TextDelta, Turn, as_tool, tool
from facets.agents.output import outputs_of
from facets.errors import BadOutput, BadOutputType, TurnFailed
from facets.serve.encoding import encode
from facets.testing import MemoryRuntime, die_everywhere
from tests.facets.agents.test_turns import call, script

RAN: list[str] = []


class Weather(BaseModel):
    """What it is like outside."""

    city: str
    degrees: int = Field(ge=-90, le=60)
    day: datetime.date = datetime.date(2026, 1, 1)


@dataclass
class Refusal:
    reason: str


class Place(TypedDict):
    name: str
    height: int


GOOD = {"city": "Oslo", "degrees": -3}
BAD = {"city": "Oslo", "degrees": 300}


def given(args: Any = GOOD, name: str = "final_result", call_id: str = "o") -> Any:
    return call(name, args, call_id)


def in_turn(*said: Any) -> FunctionModel:
    """One after the other, whatever it is told: being asked again looks like a prompt to it."""

    def answer(messages: list[ModelMessage], _info: AgentInfo) -> ModelResponse:
        answered = said[sum(isinstance(one, ModelResponse) for one in messages)]
        return ModelResponse([TextPart(answered)] if isinstance(answered, str) else answered)

    return FunctionModel(answer)


class Forecaster(Agent):
    model = script([given()])
    output_type: Any = Weather

    @tool
    async def look(self) -> str:
        """Look out."""
        RAN.append("look")
        return "snow"

    async def told(self) -> list[tuple[str, str]]:
        return [
            (part.outcome, part.model_response_str())
            for one in self.session.history()
            for part in one.parts
            if isinstance(part, ToolReturnPart)
        ]


@pytest.fixture
async def runtime() -> AsyncIterator[MemoryRuntime]:
    RAN.clear()
    async with MemoryRuntime() as runtime:
        yield runtime


async def test_a_turn_ends_with_an_object_of_the_type(runtime: MemoryRuntime) -> None:
    agent = runtime.get(Forecaster, "a")
    assert await agent.run("weather?") == Weather(city="Oslo", degrees=-3)
    (turn,) = await agent.turns()
    assert (turn.output, turn.data) == ('{"city": "Oslo", "degrees": -3}', GOOD)
    assert turn.result() == Weather(city="Oslo", degrees=-3)
    ((outcome, text),) = await agent.told()
    assert (outcome, "that is the output" in text) == ("success", True)


@pytest.mark.parametrize(
    ("kind", "said", "made"),
    [
        (Refusal, given({"reason": "fog"}), Refusal("fog")),
        (Place, given({"name": "Oslo", "height": 23}), {"name": "Oslo", "height": 23}),
        (int, given({"response": 7}), 7),
        (list[Weather], given({"response": [GOOD]}), [Weather(city="Oslo", degrees=-3)]),
        (Weather | Refusal, given({"reason": "fog"}, "final_result_Refusal"), Refusal("fog")),
        (Weather | str, given(), Weather(city="Oslo", degrees=-3)),
        (Weather | str, TextPart("no idea"), "no idea"),
        (dict[str, int] | None, given({"response": None}, "final_result_NoneType"), None),
        (dict[str, int], given({"a": 1}), {"a": 1}),
        (str, TextPart("cold"), "cold"),
    ],
)
async def test_an_output_may_be_of_any_type_that_json_can_say(
    runtime: MemoryRuntime, kind: Any, said: Any, made: Any
) -> None:
    class Typed(Agent):
        model = script([said])
        output_type = kind

    assert await runtime.get(Typed, "a").run("weather?") == made


@pytest.mark.parametrize("kind", [Weather | dict[str, int] | dict[str, str], Agent])
def test_a_type_that_a_model_cannot_be_told_is_refused(kind: Any) -> None:
    with pytest.raises(BadOutputType):
        outputs_of(kind)


def test_a_type_that_cannot_be_told_from_others_is_refused_where_the_class_is_made() -> None:
    with pytest.raises(BadOutputType, match="not hashable"):

        class Odd(Agent):
            output_type = Annotated[int, {"unit": "K"}]


async def test_the_model_is_shown_the_type_and_may_say_text_only_if_that_is_one(
    runtime: MemoryRuntime,
) -> None:
    seen: list[AgentInfo] = []

    def answer(_messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        seen.append(info)
        return ModelResponse([given()])

    class Shown(Forecaster):
        model = FunctionModel(answer)

    await runtime.get(Shown, "a").run("weather?")
    (info,) = seen
    assert [one.name for one in info.function_tools] == ["look"]
    assert [one.name for one in info.output_tools] == ["final_result"]
    assert info.output_tools[0].description == "What it is like outside."
    assert not info.allow_text_output


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ([given(BAD)], "degrees"),
        ([given({})], "city"),
        ([given('{"city": ')], "no JSON object"),
        ([given(BAD), given("[1]", call_id="p")], "no JSON object"),
    ],
)
async def test_what_does_not_fit_goes_back_to_the_model(
    runtime: MemoryRuntime, wrong: Any, says: str
) -> None:
    class Learning(Forecaster):
        model = script(wrong, [given()])

    agent = runtime.get(Learning, "a")
    assert (await agent.run("weather?")).degrees == -3
    *refused, (_, last) = await agent.told()
    assert {outcome for outcome, _ in refused} == {"retried"}
    assert any(says in text for _, text in refused)
    assert "that is the output" in last
    (turn,) = await agent.turns()
    assert (turn.retries, turn.steps) == (1, 2)


async def test_text_where_only_data_will_do_is_asked_for_again(runtime: MemoryRuntime) -> None:
    class Chatty(Forecaster):
        model = in_turn("it is cold", [given()])

    agent = runtime.get(Chatty, "a")
    assert (await agent.run("weather?")).city == "Oslo"
    (turn,) = await agent.turns()
    assert (turn.retries, turn.steps) == (1, 2)


@pytest.mark.parametrize(
    ("wrong", "says"), [([given(BAD)], "less than or equal to 60"), ("cold", "final_result")]
)
async def test_a_model_that_never_fits_ends_the_turn_after_so_many_attempts(
    runtime: MemoryRuntime, wrong: Any, says: str
) -> None:
    class Hopeless(Forecaster):
        model = script(wrong)
        output_retries = 2

    agent = runtime.get(Hopeless, "a")
    with pytest.raises(TurnFailed, match="BadOutput: no valid output in 3 attempts") as failed:
        await agent.run("weather?")
    assert says in str(failed.value)
    (turn,) = await agent.turns()
    assert turn.steps == 3


async def test_calls_beside_an_output_are_not_made_and_those_beside_a_wrong_one_are(
    runtime: MemoryRuntime,
) -> None:
    class Busy(Forecaster):
        model = script([given(BAD), call("look")], [call("look"), given()])

    agent = runtime.get(Busy, "a")
    assert (await agent.run("weather?")).city == "Oslo"
    assert RAN == ["look"]
    assert [outcome for outcome, _ in await agent.told()] == [
        "retried", "success", "interrupted", "success",
    ]  # fmt: skip


async def test_the_next_turn_goes_on_from_a_typed_one(runtime: MemoryRuntime) -> None:
    agent = runtime.get(Forecaster, "a")
    await agent.run("weather?")
    assert (await agent.run("and tomorrow?")).city == "Oslo"


async def test_a_stream_ends_with_the_output_as_data(runtime: MemoryRuntime) -> None:
    events = [one async for one in runtime.get(Forecaster, "a").stream("weather?", id="1")]
    assert [one.output for one in events if isinstance(one, Answered)] == [GOOD]
    assert not any(isinstance(one, TextDelta) for one in events)


async def test_a_sub_agent_as_a_tool_gives_its_output_as_json(runtime: MemoryRuntime) -> None:
    class Lead(Forecaster):
        model = script([call("forecaster", {"prompt": "weather?"})], "done")
        output_type = str
        tools = [as_tool(Forecaster)]

    lead = runtime.get(Lead, "a")
    assert await lead.run("ask") == "done"
    ((_, text),) = await lead.told()
    assert '"output":{"city":"Oslo","degrees":-3}' in text


async def test_a_type_that_changed_since_says_so_where_the_output_is_read(
    runtime: MemoryRuntime,
) -> None:
    agent = runtime.get(Forecaster, "a")
    await agent.submit("weather?", id="1")
    await agent.wait("1")
    await runtime.crash()

    def later(kind: Any) -> Any:
        class Forecaster(Agent):
            model = script([given()])
            output_type = kind

        return Forecaster

    turn: Turn = await runtime.get(later(Refusal), "a").turn("1")
    assert turn.data == GOOD
    with pytest.raises(BadOutput):
        turn.result()
    await runtime.crash()
    turn = await runtime.get(later(Refusal | Weather), "a").turn("1")
    with pytest.raises(BadOutput, match="final_result"):
        turn.result()


async def test_a_turn_is_plain_data_over_http_and_between_hosts(runtime: MemoryRuntime) -> None:
    agent = runtime.get(Forecaster, "a")
    await agent.submit("weather?", id="1")
    turn = await agent.wait("1")
    assert b'"answered":"final_result"' in encode(turn)
    assert encode(await agent.run("weather?")) == encode(GOOD | {"day": "2026-01-01"})
    copied: Turn = cloudpickle.loads(cloudpickle.dumps(turn))
    assert copied.result() == turn.result()


class Learner(Forecaster):
    """Wrong twice, once with a call beside it."""

    model = in_turn([given(BAD), call("book")], "cold", [given()])
    migrations = ["create table booked(n integer)"]

    @tool
    async def book(self) -> None:
        """Book."""
        self.sql("insert into booked values (1)")

    async def booked(self) -> int:
        return int(self.sql("select count(*) from booked").value())


async def test_a_death_anywhere_between_wrong_outputs_counts_each_attempt_once() -> None:
    async def setup(runtime: MemoryRuntime) -> None:
        await runtime.get(Learner, "a").booked()

    async def act(runtime: MemoryRuntime) -> None:
        agent = runtime.get(Learner, "a")
        await agent.submit("weather?", id="1")
        await agent.wait("1")

    async def check(runtime: MemoryRuntime) -> None:
        agent = runtime.get(Learner, "a")
        await agent.submit("weather?", id="1")
        turn = await agent.wait("1")
        assert turn.result() == Weather(city="Oslo", degrees=-3)
        assert (turn.retries, turn.steps, await agent.booked()) == (2, 3, 1)

    assert await die_everywhere(setup, act, check, every=2) > 3
