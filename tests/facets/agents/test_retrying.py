"""Requests to the model that fail, and turns that are cut off again and again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any

import pytest
from pydantic_ai import exceptions as x
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart
from pydantic_ai.models.fallback import FallbackModel
from pydantic_ai.models.function import AgentInfo, FunctionModel

from facets import Backoff
from facets.agents import (
    Agent,
    ErrorKind,
    Restarted,
    Retries,
    Retrying,
    Stage,
    TextDelta,
    Turn,
    TurnLimits,
    tool,
)
from facets.agents.driving import WAKE
from facets.agents.retrying import kind_of
from facets.errors import ModelStalled
from facets.testing import MemoryRuntime
from tests.facets.agents.test_turns import call, script

asked: list[float] = []
"""When the model was asked, by the clock of the runtime."""
answers: list[Exception | str] = []


@pytest.fixture(autouse=True)
def _clean() -> None:
    asked.clear()
    answers.clear()


@pytest.fixture
async def runtime() -> AsyncIterator[MemoryRuntime]:
    async with MemoryRuntime() as runtime:
        yield runtime


def http(status: int, category: Any = None, **headers: str) -> x.ModelHTTPError:
    """What pydantic-ai raises for a response of a provider."""
    return x.ModelHTTPError.for_category(
        category, status_code=status, model_name="m", headers=headers or None
    )


BUSY = http(503, x.ModelUnavailableError)
LIMITED = http(429, x.ModelRateLimitError, **{"Retry-After": "90"})


class Moody(Agent):
    """Answers what `answers` says, one after the other, the last one again and again."""

    retries = Retries(backoff=Backoff(first=10.0, factor=2.0, most=100.0, attempts=4, jitter=0.0))

    async def on_start(self) -> None:
        self.kv["starts"] = self.kv.get("starts", 0) + 1

    async def before_step(self, step: object) -> None:
        self.kv["steps"] = self.kv.get("steps", 0) + 1

    async def on_error(self, turn: Turn, error: Exception, stage: Stage) -> None:
        self.kv["errors"] = [*self.kv.get("errors", []), f"{stage} {type(error).__name__}"]

    async def kept(self, key: str) -> Any:
        return self.kv.get(key)

    async def failed(self) -> int:
        return self.sql("select failed from agent_attempts").value(0)

    async def due(self) -> float:
        return self.sql("select due from agent_attempts").value(0.0)


def moody(runtime: MemoryRuntime) -> Any:
    """The agent, whose model tells the time by the clock of this runtime."""

    def ask(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        asked.append(runtime.clock.now())
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        return ModelResponse(parts=[TextPart(answer)])

    Moody.model = FunctionModel(ask)
    return runtime.get(Moody, "a")


async def attempted(runtime: MemoryRuntime, agent: Any, count: int) -> None:
    """Let time pass until the model was asked so often, and it is kept that it failed."""
    while await agent.failed() < count:
        await pass_time(runtime, agent)


async def over(runtime: MemoryRuntime, agent: Any, turn_id: str, idle: float = 0.0) -> Turn:
    """The turn once it is over; time passes while it waits for an attempt, and `idle` seconds
    otherwise."""
    turn: Turn = await agent.turn(turn_id)
    while not turn.over:
        await pass_time(runtime, agent, idle)
        turn = await agent.turn(turn_id)
    return turn


async def pass_time(runtime: MemoryRuntime, agent: Any, idle: float = 0.0) -> None:
    await runtime.clock.run(max(idle, await agent.due() - runtime.clock.now()))


def waits() -> list[float]:
    return [round(later - sooner) for sooner, later in pairwise(asked)]


async def test_a_request_that_failed_for_a_passing_reason_is_made_again_after_growing_waits(
    runtime: MemoryRuntime,
) -> None:
    agent = moody(runtime)
    answers[:] = [BUSY, ConnectionError("reset"), x.UnexpectedModelBehavior("no JSON"), "here"]
    await agent.submit("go", id="1")
    turn = await over(runtime, agent, "1")
    assert (turn.status, turn.output, turn.steps) == ("completed", "here", 1)
    assert waits() == [10, 20, 40]
    assert await agent.kept("steps") == 1
    assert len(await agent.kept("errors")) == 3


async def test_what_a_provider_asks_for_is_waited(runtime: MemoryRuntime) -> None:
    agent = moody(runtime)
    answers[:] = [LIMITED, "here"]
    await agent.submit("go", id="1")
    assert (await over(runtime, agent, "1")).output == "here"
    assert waits() == [90]


async def test_when_all_attempts_have_failed_the_turn_ends_with_the_error(
    runtime: MemoryRuntime,
) -> None:
    agent = moody(runtime)
    answers[:] = [BUSY]
    await agent.submit("go", id="1")
    turn = await over(runtime, agent, "1")
    assert turn.status == "error"
    assert "status_code: 503" in (turn.error or "")
    assert len(asked) == 4
    errors = await agent.kept("errors")
    assert [one.split()[0] for one in errors] == ["request"] * 4 + ["turn"]


async def test_a_request_that_will_fail_again_is_not_made_again(runtime: MemoryRuntime) -> None:
    agent = moody(runtime)
    answers[:] = [http(400, x.ModelRequestRejectedError), "here"]
    await agent.submit("go", id="1")
    assert (await over(runtime, agent, "1")).status == "error"
    assert len(asked) == 1


async def test_a_class_may_say_what_an_error_means(runtime: MemoryRuntime) -> None:
    moody(runtime)

    class Stubborn(Moody):
        def error_kind(self, error: Exception) -> ErrorKind:
            return "transient"

    stubborn = runtime.get(Stubborn, "a")
    answers[:] = [ValueError("odd"), "here"]
    await stubborn.submit("go", id="1")
    assert (await over(runtime, stubborn, "1")).output == "here"


async def test_a_wait_that_the_turn_has_no_time_for_ends_it_at_once(
    runtime: MemoryRuntime,
) -> None:
    moody(runtime)

    class Short(Moody):
        limits = TurnLimits(seconds=60)

    answers[:] = [LIMITED]
    short = runtime.get(Short, "a")
    await short.submit("go", id="1")
    turn = await short.wait("1")  # no time passes
    assert "status_code: 429" in (turn.error or "")


async def test_each_step_has_all_attempts(runtime: MemoryRuntime) -> None:
    moody(runtime)
    said = iter([None, None, call("note"), None, None, "done"])

    def ask(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        answer = next(said)
        if answer is None:
            raise BUSY
        return ModelResponse(parts=[TextPart(answer) if isinstance(answer, str) else answer])

    class Noting(Moody):
        model = FunctionModel(ask)
        retries = Retries(backoff=Backoff(first=10.0, attempts=3))

        @tool
        async def note(self) -> None:
            """Note."""

    noting = runtime.get(Noting, "a")
    await noting.submit("go", id="1")
    assert (await over(runtime, noting, "1")).output == "done"


async def test_a_crash_between_two_attempts_loses_neither_their_count_nor_the_wait(
    runtime: MemoryRuntime,
) -> None:
    agent = moody(runtime)
    answers[:] = [BUSY]
    await agent.submit("go", id="1")
    await attempted(runtime, agent, 3)  # the next one is due 40 s later
    await runtime.clock.run(15)
    await runtime.crash()
    agent = runtime.get(Moody, "a")
    assert (await over(runtime, agent, "1")).status == "error"
    assert await agent.kept("starts") == 2
    assert waits() == [10, 20, 40]


async def test_a_turn_that_is_cut_off_between_attempts_is_not_one_that_ends_its_process(
    runtime: MemoryRuntime,
) -> None:
    class Unlucky(Moody):
        limits = TurnLimits(attempts=2)

    moody(runtime)
    answers[:] = [BUSY]
    agent = runtime.get(Unlucky, "a")
    await agent.submit("go", id="1")
    for count in (1, 2, 3):
        await attempted(runtime, agent, count)
        await runtime.crash()
        agent = runtime.get(Unlucky, "a")
        await agent.submit("go", id="1")
    assert "status_code: 503" in ((await over(runtime, agent, "1")).error or "")


async def test_a_turn_may_be_cancelled_while_it_waits_for_the_next_attempt(
    runtime: MemoryRuntime,
) -> None:
    agent = moody(runtime)
    answers[:] = [BUSY]
    await agent.submit("go", id="1")
    while not await agent.kept("errors"):
        await asyncio.sleep(0)
    assert await agent.cancel("1")
    answers[:] = ["here"]
    assert await agent.run("go") == "here"


async def test_who_follows_a_turn_hears_that_a_request_is_made_again(
    runtime: MemoryRuntime,
) -> None:
    said = iter([["one ", BUSY], ["two"]])

    async def stream(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[str]:
        for one in next(said):
            if isinstance(one, Exception):
                raise one
            yield one

    class Streaming(Moody):
        model = FunctionModel(stream_function=stream)

    agent = runtime.get(Streaming, "a")
    await agent.submit("go", id="1")

    async def follow() -> list[Any]:
        return [one async for one in agent.stream("go", id="1")]

    following = asyncio.create_task(follow())
    await over(runtime, agent, "1")
    events = await following
    assert [type(one) for one in events] == [TextDelta, Restarted, Retrying, TextDelta]
    assert "503" in events[2].error
    assert events[2].wait == 10
    assert events[3].text == "two"


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_model_that_says_nothing_more_has_failed_and_is_asked_again(
    runtime: MemoryRuntime, streamed: bool
) -> None:
    hangs = [True]

    async def stream(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[str]:
        yield "he"
        if hangs.pop() if hangs else False:
            await asyncio.Event().wait()
        yield "re"

    async def ask(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        said = [one async for one in stream(messages, info)]
        return ModelResponse(parts=[TextPart("".join(said))])

    class Hanging(Moody):
        model = FunctionModel(ask, stream_function=stream)
        retries = Retries(stall=100.0)

    class Streaming(Hanging):
        async def on_text(self, turn: Turn, text: str) -> None:
            self.kv["text"] = self.kv.get("text", "") + text

    agent = runtime.get(Streaming if streamed else Hanging, "a")
    await agent.submit("go", id="1")
    assert (await over(runtime, agent, "1", idle=5.0)).output == "here"
    assert await agent.kept("errors") == ["request ModelStalled"]
    assert await agent.kept("text") == ("hehere" if streamed else None)


async def test_a_fallback_model_is_asked_when_the_first_one_fails(runtime: MemoryRuntime) -> None:
    moody(runtime)
    first = Moody.model
    assert isinstance(first, FunctionModel)

    class Falling(Moody):
        model = FallbackModel(first, script("from the second"))

    answers[:] = [BUSY]
    assert await runtime.get(Falling, "a").run("go") == "from the second"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (http(429, x.ModelRateLimitError), "rate_limit"),
        (x.ConcurrencyLimitExceeded("full"), "rate_limit"),
        (http(500, x.ModelServerError), "transient"),
        (http(529, x.ModelOverloadedError), "transient"),
        (x.ModelConnectionError("m", "refused"), "transient"),
        (x.ModelTimeoutError("m", "slow"), "transient"),
        (x.ModelRequestTimeout("m", 3.0), "transient"),
        (x.UnexpectedModelBehavior("no JSON"), "transient"),
        (ModelStalled("nothing", seconds=1.0), "transient"),
        (ConnectionError("reset"), "transient"),
        (x.ModelAPIError("m", "no JSON"), "transient"),
        (http(418), "fatal"),
        (http(400, x.ModelContextWindowExceededError), "context_overflow"),
        (http(400, x.ModelRequestRejectedError), "fatal"),
        (http(401, x.ModelAuthenticationError), "fatal"),
        (http(402, x.ModelQuotaExceededError), "fatal"),
        (x.ContentFilterError("no"), "fatal"),
        (ValueError("odd"), "fatal"),
        (http(500, x.ModelServerError, **{"x-should-retry": "false"}), "fatal"),
        (http(409, None, **{"x-should-retry": "true"}), "transient"),
        (
            x.FallbackExceptionGroup("all", [http(401, x.ModelAuthenticationError), BUSY]),
            "transient",
        ),
        (x.FallbackExceptionGroup("all", [ValueError("odd")]), "fatal"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_an_error_of_a_model_is_of_a_kind(error: Exception, kind: ErrorKind) -> None:
    assert kind_of(error) == kind


@pytest.mark.parametrize("where", ["hook", "request", "tool"])
async def test_a_turn_that_ends_its_process_each_time_ends_and_the_next_one_runs(
    runtime: MemoryRuntime, where: str
) -> None:
    began: list[str] = []

    async def here(place: str) -> None:
        if place == where and len(began) < 3:
            began.append(place)
            await asyncio.Event().wait()

    async def ask(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        await here("request")
        inner = script([call("explode")], "survived").function
        assert inner is not None
        made = inner(messages, info)
        assert isinstance(made, ModelResponse)
        return made

    class Deadly(Agent):
        model = FunctionModel(ask)
        limits = TurnLimits(attempts=3)

        async def before_turn(self, turn: Turn) -> None:
            await here("hook")

        @tool
        async def explode(self) -> None:
            """Explode."""
            await here("tool")

    await runtime.get(Deadly, "a").submit("go", id="1")
    await runtime.get(Deadly, "a").submit("go", id="2")
    for lives in range(1, 4):
        while len(began) < lives:
            await asyncio.sleep(0)
        await runtime.crash()
        runtime.register(Deadly)
        await runtime.clock.run(WAKE)
    deadly = runtime.get(Deadly, "a")
    turn = await deadly.wait("1")
    assert turn.status == "error"
    assert "OverBudget: turn '1' was cut off 3 times in the same place" in (turn.error or "")
    assert (await deadly.wait("2")).output == "survived"


async def test_a_turn_that_comes_further_each_time_may_be_cut_off_as_often_as_it_likes(
    runtime: MemoryRuntime,
) -> None:
    began: list[str] = []

    async def once(place: str) -> None:
        """The process ends here, the first time."""
        began.append(place)
        if began.count(place) < 2:
            await asyncio.Event().wait()

    async def ask(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        n = sum(isinstance(one, ModelResponse) for one in messages)
        await once(f"ask {n}")
        return ModelResponse(parts=[call("count", {"n": n}) if n < 2 else TextPart("done")])

    class Counting(Agent):
        model = FunctionModel(ask)
        limits = TurnLimits(attempts=2)

        @tool
        async def count(self, n: int) -> int:
            """Count."""
            await once(f"count {n}")
            return n

    await runtime.get(Counting, "a").submit("go", id="1")
    places = ["ask 0", "count 0", "ask 1", "count 1", "ask 2"]
    for place in places:
        while place not in began:
            await asyncio.sleep(0)
        await runtime.crash()
        runtime.register(Counting)
        await runtime.clock.run(WAKE)
    assert (await runtime.get(Counting, "a").wait("1")).output == "done"
    assert began == [one for place in places for one in (place, place)]
