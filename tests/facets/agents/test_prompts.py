"""What is asked of an agent: merged, put off, steered, asked for again, forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, UserPromptPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from facets.agents import Agent, tool
from facets.errors import BranchTaken, NoSuchTurn, TurnDiffers, TurnOpen
from facets.testing import MemoryRuntime, die_everywhere
from tests.facets.agents.test_turns import call, script

DOOR: dict[str, asyncio.Event] = {}


def prompts(messages: list[ModelMessage]) -> list[str]:
    """All that users have said."""
    return [
        str(part.content)
        for one in messages
        for part in one.parts
        if isinstance(part, UserPromptPart)
    ]


class Echo(Agent):
    """Says how often it was told what, and waits at the door if it is told to."""

    @staticmethod
    def _answer(messages: list[ModelMessage], _info: AgentInfo) -> ModelResponse:
        newest = messages[-1].parts
        if any(part.part_kind == "user-prompt" and part.content == "wait" for part in newest):
            return ModelResponse([call("rest")])
        return ModelResponse([TextPart(" + ".join(prompts(messages)))])

    model = FunctionModel(_answer)

    @tool
    async def rest(self) -> None:
        """Rest."""
        DOOR["here"].set()
        await DOOR["open"].wait()

    async def heard(self, branch: str = "main") -> list[str]:
        return prompts(self.session.history(branch))


@pytest.fixture
async def runtime() -> AsyncIterator[MemoryRuntime]:
    DOOR.update(here=asyncio.Event(), open=asyncio.Event())
    async with MemoryRuntime() as runtime:
        yield runtime


async def busy(echo: Any, turn: str = "0") -> None:
    """A turn that runs until the door is open."""
    await echo.submit("wait", id=turn)
    await DOOR["here"].wait()


# -- merge and debounce ---------------------------------------------------------------------------


class Merging(Echo):
    concurrency = "merge"


async def test_prompts_that_wait_become_one_turn_and_all_have_its_end(
    runtime: MemoryRuntime,
) -> None:
    echo = runtime.get(Merging, "a")
    await busy(echo)
    for n in "123":
        await echo.submit(n, id=n)
    await echo.cancel("2")
    DOOR["open"].set()
    first, second, third = [await echo.wait(n) for n in "123"]
    assert first.output == third.output == "wait + 1 + 3"
    assert (first.steps, third.steps, third.merged) == (1, 0, "1")
    assert second.status == "aborted"


async def test_a_merged_prompt_can_be_taken_back_alone_and_the_first_takes_all_along(
    runtime: MemoryRuntime,
) -> None:
    echo = runtime.get(Merging, "a")
    await busy(echo)
    DOOR["here"].clear()
    await echo.submit("1", id="1")
    await echo.submit("wait", id="2")
    await echo.submit("3", id="3")
    DOOR["open"].set()
    DOOR["open"] = asyncio.Event()
    await DOOR["here"].wait()
    assert await echo.cancel("3")
    assert [(await echo.turn(n)).status for n in "123"] == ["running", "running", "aborted"]
    assert await echo.cancel("1")
    assert (await echo.wait("2")).status == "aborted"


class Patient(Echo):
    concurrency = "debounce"
    debounce_seconds = 5.0


@pytest.mark.parametrize("crash", [False, True])
async def test_prompts_wait_until_nobody_has_asked_for_a_while(
    runtime: MemoryRuntime, crash: bool
) -> None:
    echo = runtime.get(Patient, "a")
    await echo.submit("1", id="1")
    await runtime.clock.run(4)
    await echo.submit("2", id="2")
    await runtime.clock.run(4)
    assert (await echo.turn("1")).status == "pending"
    if crash:
        await runtime.crash()
        runtime.register(Patient)
        echo = runtime.get(Patient, "a")
    await runtime.clock.run(2)
    assert [(await echo.wait(n)).output for n in "12"] == ["1 + 2"] * 2


# -- steer ----------------------------------------------------------------------------------------


async def test_words_for_a_running_turn_are_heard_before_its_next_step(
    runtime: MemoryRuntime,
) -> None:
    echo = runtime.get(Echo, "a")
    await busy(echo)
    assert await echo.steer("0", "hurry", id="w")
    assert await echo.steer("0", "hurry", id="w")
    with pytest.raises(TurnDiffers):
        await echo.steer("0", "take your time", id="w")
    assert await echo.steer("0", "please")
    DOOR["open"].set()
    assert (await echo.wait("0")).output == "wait + hurry + please"
    assert not await echo.steer("0", "too late")
    assert await echo.steer("0", "hurry", id="w")
    with pytest.raises(NoSuchTurn):
        await echo.steer("9", "hurry")


async def test_words_that_come_with_the_last_response_keep_the_turn_going(
    runtime: MemoryRuntime,
) -> None:
    asked, door = asyncio.Event(), asyncio.Event()

    async def answer(messages: list[ModelMessage], _info: AgentInfo) -> ModelResponse:
        asked.set()
        await door.wait()
        return ModelResponse([TextPart(" + ".join(prompts(messages)))])

    class Slow(Echo):
        model = FunctionModel(answer)

    echo = runtime.get(Slow, "a")
    await echo.submit("go", id="1")
    await asked.wait()
    await echo.steer("1", "wait, that too")
    door.set()
    turn = await echo.wait("1")
    assert (turn.output, turn.steps) == ("go + wait, that too", 2)


async def test_words_keep_a_typed_turn_going_too(runtime: MemoryRuntime) -> None:
    answers: list[int] = []
    asked, door = asyncio.Event(), asyncio.Event()

    async def answer(messages: list[ModelMessage], _info: AgentInfo) -> ModelResponse:
        answers.append(len(prompts(messages)))
        asked.set()
        await door.wait()
        return ModelResponse([call("final_result", {"response": answers[-1]})])

    class Counting(Echo):
        model = FunctionModel(answer)
        output_type = int

    echo = runtime.get(Counting, "a")
    await echo.submit("go", id="1")
    await asked.wait()
    await echo.steer("1", "more")
    door.set()
    turn = await echo.wait("1")
    assert (turn.result(), turn.retries, answers) == (2, 0, [1, 2])


async def test_a_death_anywhere_says_words_once() -> None:
    class Steered(Echo):
        model = script([call("look")], [call("look")], "done")

        @tool
        async def look(self) -> None:
            """Look."""

    async def setup(runtime: MemoryRuntime) -> None:
        await runtime.get(Steered, "a").heard()

    async def act(runtime: MemoryRuntime) -> None:
        echo = runtime.get(Steered, "a")
        await echo.submit("go", id="1")
        await echo.steer("1", "hurry", id="w")
        await echo.wait("1")

    async def check(runtime: MemoryRuntime) -> None:
        echo = runtime.get(Steered, "a")
        await echo.submit("go", id="1")
        said = await echo.steer("1", "hurry", id="w")
        assert (await echo.wait("1")).status == "completed"
        assert await echo.heard() == (["go", "hurry"] if said else ["go"])

    assert await die_everywhere(setup, act, check, every=3) > 2


# -- regenerate and delete ------------------------------------------------------------------------


async def test_a_turn_is_asked_for_again_from_where_it_began_and_the_first_stays(
    runtime: MemoryRuntime,
) -> None:
    echo = runtime.get(Echo, "a")
    for n in "12":
        await echo.submit(n, id=n)
        await echo.wait(n)
    assert await echo.regenerate("2", id="2b") == await echo.regenerate("2", id="2b") == "2b"
    again = await echo.wait("2b")
    assert (again.branch, again.output) == ("2b", "1 + 2")
    assert await echo.heard() == ["1", "2"]
    assert await echo.heard("2b") == ["1", "2"]
    first = await echo.wait(await echo.regenerate("1", branch="other"))
    assert (first.branch, first.output) == ("other", "1")
    with pytest.raises(BranchTaken):
        await echo.regenerate("1", branch="other")


async def test_a_turn_that_runs_can_be_neither_forgotten_nor_asked_for_again(
    runtime: MemoryRuntime,
) -> None:
    echo = runtime.get(Echo, "a")
    await busy(echo)
    for refused in (echo.delete("0"), echo.regenerate("0")):
        with pytest.raises(TurnOpen):
            await refused
    DOOR["open"].set()
    await echo.wait("0")


async def test_a_merged_turn_is_asked_for_again_with_all_that_was_one_with_it(
    runtime: MemoryRuntime,
) -> None:
    echo = runtime.get(Merging, "a")
    await busy(echo)
    for n in "12":
        await echo.submit(n, id=n)
    DOOR["open"].set()
    await echo.wait("2")
    assert (await echo.wait(await echo.regenerate("1"))).prompt == "1\n\n2"


async def test_a_forgotten_turn_leaves_its_messages_and_its_id_to_nobody(
    runtime: MemoryRuntime,
) -> None:
    echo = runtime.get(Echo, "a")
    await echo.submit("1", id="1")
    await echo.wait("1")
    assert await echo.delete("1")
    assert not await echo.delete("1")
    with pytest.raises(NoSuchTurn):
        await echo.turn("1")
    assert await echo.turns() == []
    assert await echo.heard() == ["1"]
    with pytest.raises(TurnDiffers, match="deleted"):
        await echo.submit("1", id="1")


async def test_a_turn_that_is_cancelled_and_forgotten_in_one_step_is_in_nobodys_way(
    runtime: MemoryRuntime,
) -> None:
    class Hasty(Echo):
        async def change_of_mind(self) -> None:
            await self.cancel("0")
            await self.delete("0")

    echo = runtime.get(Hasty, "a")
    await busy(echo)
    await echo.change_of_mind()
    assert await echo.run("go") == "wait + go"
