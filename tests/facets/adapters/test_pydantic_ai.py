"""FacetToolset: methods of actors as tools of a real pydantic-ai agent."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic_ai import Agent, DeferredToolRequests, DeferredToolResults
from pydantic_ai.messages import (
    ModelMessage,
    ModelResponse,
    RetryPromptPart,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
)
from pydantic_ai.models.function import AgentInfo, FunctionModel

from actors.testing import VirtualClock
from facets import Actor, LocalRuntime
from facets.adapters.errors import UnknownClass
from facets.adapters.pydantic_ai import FacetToolset
from facets.adapters.tools import tools_of
from facets.agents import Agent as FacetsAgent
from facets.agents import tool_of
from facets.errors import RuntimeClosed
from tests.facets.adapters.classes import Librarian, Tally


def calling(*calls: tuple[str, Any]) -> FunctionModel:
    """A model that makes these calls, one in a response, and then says what it read."""

    def respond(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        read = [
            part
            for message in messages
            for part in message.parts
            if isinstance(part, (ToolReturnPart, RetryPromptPart))
        ]
        if len(read) < len(calls):
            name, arguments = calls[len(read)]
            return ModelResponse(parts=[ToolCallPart(name, arguments)])
        return ModelResponse(parts=[TextPart(" | ".join(map(told, read)))])

    return FunctionModel(respond)


def told(part: ToolReturnPart | RetryPromptPart) -> str:
    outcome = getattr(part, "outcome", "retried")
    return f"{part.content}" if outcome == "success" else f"{outcome}: {part.content}"


def shown(toolset: Any) -> list[Any]:
    """The tools that a model is shown."""
    seen: list[Any] = []

    def respond(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        seen.extend(info.function_tools)
        return ModelResponse(parts=[TextPart("done")])

    asyncio.run(Agent(FunctionModel(respond), toolsets=[toolset]).run("go"))
    return seen


async def ask(toolset: Any, *calls: tuple[str, Any]) -> str:
    return (await Agent(calling(*calls), toolsets=[toolset]).run("go")).output


async def test_a_model_calls_methods_and_reads_what_they_give(runtime: LocalRuntime) -> None:
    tally = runtime.get(Tally, "a")

    said = await ask(
        FacetToolset(tally), ("add", {"word": "octopus"}), ("add", {"word": "octopus"})
    )

    assert said == "1 | 2"
    assert await tally.add("octopus") == 3


async def test_a_stream_is_the_list_of_its_items(runtime: LocalRuntime) -> None:
    tally = runtime.get(Tally, "a")
    await tally.add("octopus")
    await tally.add("squid")

    assert await ask(FacetToolset(tally), ("words", {})) == "['octopus', 'squid']"


def test_a_model_is_shown_names_docstrings_and_schemas(state: Path) -> None:
    with LocalRuntime(state).blocking() as runtime:
        tools = {one.name: one for one in shown(FacetToolset(runtime.get(Tally, "a")))}

    assert set(tools) == {"add", "fail", "words", "hang", "hanging", "shelf"}
    assert tools["add"].description == "Count a word."
    assert tools["add"].parameters_json_schema == {
        "type": "object",
        "properties": {"word": {"type": "string"}, "n": {"type": "integer"}},
        "required": ["word"],
        "additionalProperties": False,
    }


async def test_arguments_that_do_not_fit_are_told_to_the_model_which_calls_again(
    runtime: LocalRuntime,
) -> None:
    toolset = FacetToolset(runtime.get(Tally, "a"))

    said = await ask(toolset, ("add", {"word": 7}), ("add", {"word": "octopus"}))

    assert said.startswith("retried: BadArguments: add: Expected `str`, got `int` - at `$.word`")
    assert "it takes (word, n)" in said
    assert said.endswith("| 1")


async def test_what_a_method_raises_is_read_by_the_model_and_its_step_is_undone(
    runtime: LocalRuntime,
) -> None:
    tally = runtime.get(Tally, "a")

    said = await ask(FacetToolset(tally), ("fail", {"why": "no ink"}))

    assert said == "failed: ValueError: no ink"
    assert await ask(FacetToolset(tally), ("words", {})) == "[]"


async def test_prefixes_and_filters_work_as_for_every_toolset(runtime: LocalRuntime) -> None:
    toolset = (
        FacetToolset(runtime.get(Tally, "a"), id="tally")
        .filtered(lambda ctx, tool: tool.name == "add")
        .prefixed("words")
    )

    assert await ask(toolset, ("words_add", {"word": "octopus"})) == "1"
    said = await ask(toolset, ("words_words", {}))
    assert "Unknown tool name: 'words_words'" in said


async def test_a_call_that_needs_approval_runs_only_when_it_is_approved(
    runtime: LocalRuntime,
) -> None:
    tally = runtime.get(Tally, "a")
    agent = Agent(
        calling(("add", {"word": "octopus"})),
        toolsets=[FacetToolset(tally).approval_required()],
        output_type=[str, DeferredToolRequests],
    )

    asked = await agent.run("go")

    assert isinstance(asked.output, DeferredToolRequests)
    (call,) = asked.output.approvals
    assert await ask(FacetToolset(tally), ("words", {})) == "[]"
    done = await agent.run(
        message_history=asked.all_messages(),
        deferred_tool_results=DeferredToolResults(approvals={call.tool_call_id: True}),
    )
    assert done.output == "1"


async def test_a_call_that_takes_too_long_is_cancelled_and_the_model_is_told(
    runtime: LocalRuntime, clock: Any
) -> None:
    tally = runtime.get(Tally, "a")
    asking = asyncio.create_task(ask(FacetToolset(tally, seconds=5), ("hang", {})))
    await until(tally)
    await clock.run(5)

    said = await asking

    assert said.startswith("failed: DeadlineExceeded: ")
    assert "longer than the 5 s it had" in said
    assert await tally.hanging() == "cancelled"


async def until(tally: Any) -> None:
    while await tally.hanging() != "yes":
        await asyncio.sleep(0)


async def test_cancelling_the_run_cancels_the_method(runtime: LocalRuntime) -> None:
    tally = runtime.get(Tally, "a")
    asking = asyncio.create_task(ask(FacetToolset(tally), ("hang", {})))
    await until(tally)

    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking

    assert await tally.hanging() == "cancelled"


def test_a_run_on_another_loop_calls_over_the_blocking_runtime_and_is_cancelled_too(
    state: Path,
) -> None:
    async def cancelled(tally: Any) -> None:
        asking = asyncio.create_task(ask(FacetToolset(tally), ("hang", {})))
        while await asyncio.to_thread(tally.hanging) != "yes":
            await asyncio.sleep(0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        while await asyncio.to_thread(tally.hanging) != "cancelled":
            await asyncio.sleep(0)

    with LocalRuntime(state).blocking() as runtime:
        tally = runtime.get(Tally, "a")
        agent = Agent(calling(("add", {"word": "octopus"})), toolsets=[FacetToolset(tally)])
        with contextlib.closing(asyncio.new_event_loop()) as loop:
            asyncio.set_event_loop(loop)  # `run_sync` would leave one of its own open
            assert agent.run_sync("go").output == "1"
        asyncio.run(cancelled(tally))


async def test_an_agent_is_one_tool_by_the_name_of_its_class(runtime: LocalRuntime) -> None:
    toolset = FacetToolset(runtime.get(Librarian, "a"))
    (tool,) = tools_of(runtime.get(Librarian, "a"))

    assert (tool.name, tool.description) == ("librarian", "Knows where the books are.")
    assert await ask(toolset, ("librarian", {"prompt": "hello"})) == "success (no tool calls)"
    (turn,) = await runtime.get(Librarian, "a").turns()
    assert (turn.prompt, turn.status) == ("hello", "completed")


async def test_a_facet_has_tools_too(runtime: LocalRuntime) -> None:
    shelf = await runtime.get(Tally, "a").shelf()

    assert await ask(FacetToolset(shelf), ("add", {"word": "octopus"})) == "1"
    assert await shelf.add("octopus") == 2


class Lead(Actor):
    async def ask(self) -> str:
        tally = self.facets.get("tally", Tally)
        return await ask(FacetToolset(tally), ("add", {"word": "octopus"}), ("fail", {"why": "x"}))


async def test_inside_an_actor_a_run_uses_its_facets(runtime: LocalRuntime) -> None:
    lead = runtime.get(Lead, "a")

    assert await lead.ask() == "1 | failed: ValueError: x"
    assert await lead.ask() == "2 | failed: ValueError: x"


class Counter(FacetsAgent):
    model = "test"  # calls each tool once

    async def on_start(self) -> None:
        self.tools = tools_of(self.facets.get("tally", Tally), only=["words", "add"])  # type: ignore[misc]


async def test_an_agent_of_ours_takes_the_tools_too(runtime: LocalRuntime) -> None:
    assert await runtime.get(Counter, "a").run("go") == '{"words":[],"add":1}'


async def test_a_list_of_tools_is_a_toolset_and_their_seconds_hold(
    runtime: LocalRuntime, clock: VirtualClock
) -> None:
    begun = asyncio.Event()

    async def wait() -> str:
        begun.set()
        await asyncio.get_running_loop().create_future()
        return "never"

    async def double(n: int) -> int:
        return 2 * n

    toolset = FacetToolset([replace(tool_of(wait), seconds=3), tool_of(double)])
    asking = asyncio.create_task(ask(toolset, ("double", {"n": 2}), ("double", {}), ("wait", {})))
    await begun.wait()
    await clock.run(3)

    one, two, three = (await asking).split(" | ")
    assert one == "4"
    assert two.startswith("retried: BadToolArguments: wrong arguments of double")
    assert three.startswith("failed: DeadlineExceeded")


async def test_only_the_named_methods_are_tools_and_an_unknown_name_is_refused(
    runtime: LocalRuntime,
) -> None:
    tally = runtime.get(Tally, "a")

    assert [one.name for one in tools_of(tally, only=["words", "add"])] == ["words", "add"]
    with pytest.raises(AttributeError, match="no tool 'remove'; there are: add, "):
        tools_of(tally, only=["remove"])


def test_a_stub_that_does_not_know_its_class_needs_an_interface() -> None:
    with pytest.raises(UnknownClass, match="does not say which methods"):
        tools_of(object())
    assert [one.name for one in tools_of(object(), interface=Tally, only=["add"])] == ["add"]


async def test_a_runtime_that_is_closed_ends_the_run(state: Path) -> None:
    async with LocalRuntime(state) as runtime:
        toolset = FacetToolset(runtime.get(Tally, "a"))

    with pytest.raises(RuntimeClosed):
        await ask(toolset, ("add", {"word": "octopus"}))
