"""FacetSession and facet_tool with real runs of the OpenAI Agents SDK and a scripted model."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from agents import Agent, Runner, Session, SQLiteSession
from agents.memory import SessionSettings
from agents.run_config import RunConfig
from hypothesis import given, settings
from hypothesis import strategies as st

from facets import Actor, LocalRuntime
from facets.adapters.openai_agents import FacetSession, facet_tool, facet_tools
from facets.errors import RuntimeClosed
from facets.testing import MemoryRuntime
from tests.facets.adapters.classes import Librarian, Tally
from tests.facets.adapters.scripted_openai import Scripted

QUIET = RunConfig(tracing_disabled=True)


async def run(model: Scripted, prompt: str, session: Any = None, tools: Any = ()) -> str:
    agent = Agent(name="a", model=model, tools=list(tools))
    return str((await Runner.run(agent, prompt, session=session, run_config=QUIET)).final_output)


def said(text: str) -> Any:
    return {"role": "user", "content": text}


async def test_a_run_goes_on_from_what_the_session_holds(runtime: LocalRuntime) -> None:
    session = FacetSession(runtime, "alice")
    assert isinstance(session, Session)
    await run(Scripted("eight"), "how many arms?", session)
    model = Scripted("still eight")

    await run(model, "sure?", FacetSession(runtime, "alice"))

    roles = [(one["role"], one["content"]) for one in model.seen[0]]
    assert roles[0] == ("user", "how many arms?")
    assert roles[1][0] == "assistant"
    assert roles[2] == ("user", "sure?")
    assert await FacetSession(runtime, "bob").get_items() == []


async def test_what_was_added_outlives_the_death_of_the_process() -> None:
    async with MemoryRuntime() as runtime:
        session = FacetSession(runtime, "alice")
        await session.add_items([said("one"), said("two")])
        await session.pop_item()

        await runtime.crash()

        assert await FacetSession(runtime, "alice").get_items() == [said("one")]


async def test_items_of_one_call_stay_together_whatever_others_add(runtime: LocalRuntime) -> None:
    async def add(who: int) -> None:
        for turn in range(5):
            await FacetSession(runtime, "alice").add_items(
                [said(f"{who}.{turn}.{part}") for part in range(3)]
            )

    await asyncio.gather(*(add(who) for who in range(8)))

    found: Any = [one["content"] for one in await FacetSession(runtime, "alice").get_items()]  # type: ignore[typeddict-item]
    assert len(found) == 120
    for first in range(0, 120, 3):
        turn = found[first].rsplit(".", 1)[0]
        assert found[first : first + 3] == [f"{turn}.{part}" for part in range(3)]


operations = st.lists(
    st.one_of(
        st.tuples(st.just("add_items"), st.lists(st.text().map(said), max_size=3)),
        st.tuples(st.just("get_items"), st.none() | st.integers(-1, 5)),
        st.tuples(st.just("pop_item")),
        st.tuples(st.just("clear_session")),
    ),
    max_size=12,
)


@given(operations=operations, limit=st.none() | st.integers(0, 3))
@settings(max_examples=15, deadline=None)
def test_it_does_what_the_session_of_the_sdk_does(operations: Any, limit: int | None) -> None:
    async def compare() -> None:
        async with MemoryRuntime() as runtime:
            known = SessionSettings(limit=limit)
            with contextlib.closing(SQLiteSession("a", session_settings=known)) as theirs:
                ours = FacetSession(runtime, "a", session_settings=known)
                for method, *args in operations:
                    expected = await getattr(theirs, method)(*args)
                    assert await getattr(ours, method)(*args) == expected
                assert await ours.get_items(-1) == await theirs.get_items(-1)

    asyncio.run(compare())


class Lead(Actor):
    async def ask(self, prompt: str, *answers: str) -> list[Any]:
        model = Scripted(*answers)
        await run(model, prompt, FacetSession(self.facets, "conversation"))
        return model.seen[0]


async def test_inside_an_actor_a_session_is_a_facet(runtime: LocalRuntime) -> None:
    lead = runtime.get(Lead, "a")
    await lead.ask("one", "1")

    assert len(await lead.ask("two", "2")) == 3
    assert [one.path for one in runtime.tree(Lead, "a")][1:] == [("conversation",)]


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """One for `run_sync`, which would leave one of its own open."""
    with contextlib.closing(asyncio.new_event_loop()) as loop:
        asyncio.set_event_loop(loop)
        yield loop
    asyncio.set_event_loop(None)


def test_plain_code_uses_a_session_of_the_blocking_runtime(
    state: Path, loop: asyncio.AbstractEventLoop
) -> None:
    with LocalRuntime(state).blocking() as runtime:
        session = FacetSession(runtime, "alice")
        tool = facet_tool(runtime.get(Tally, "a").add)
        model = Scripted(("add", {"word": "octopus"}), "counted")
        agent = Agent(name="a", model=model, tools=[tool])

        Runner.run_sync(agent, "count", session=session, run_config=QUIET)

        assert runtime.get(Tally, "a").add("octopus") == 2
        assert len(loop.run_until_complete(session.get_items())) == 4


def outputs(model: Scripted) -> list[str]:
    return [one["output"] for one in model.seen[-1] if one.get("type") == "function_call_output"]


async def test_methods_are_tools_and_failures_are_text(runtime: LocalRuntime) -> None:
    tally = runtime.get(Tally, "a")
    model = Scripted(
        ("add", {"word": "octopus"}),
        ("add", {"word": 7}),
        ("add", "{not json"),
        ("fail", {"why": "no ink"}),
        ("words", {}),
        "done",
    )

    await run(model, "go", tools=facet_tools(tally))

    one, two, three, four, five = outputs(model)
    assert one == "1"
    assert two.startswith("BadArguments: add: Expected `str`, got `int`")
    assert "hint: it takes (word, n)" in two
    assert three.startswith("DecodeError: ")
    assert four == "ValueError: no ink"
    assert five == '["octopus"]'


async def test_a_tool_has_the_name_and_description_that_it_is_given(runtime: LocalRuntime) -> None:
    tool = facet_tool(runtime.get(Tally, "a").add, name="count", description="Counts.")

    assert (tool.name, tool.description) == ("count", "Counts.")
    assert tool.params_json_schema["required"] == ["word"]
    model = Scripted(("count", {"word": "squid"}), "done")
    await run(model, "go", tools=[tool])
    assert outputs(model) == ["1"]


async def test_an_agent_of_ours_is_a_tool_of_theirs(runtime: LocalRuntime) -> None:
    tool = facet_tool(runtime.get(Librarian, "a").run)
    model = Scripted(("librarian", {"prompt": "what of the octopus?"}), "done")

    await run(model, "go", tools=[tool])

    assert outputs(model) == ["success (no tool calls)"]


async def test_a_tool_that_needs_approval_waits_for_it(runtime: LocalRuntime) -> None:
    tally = runtime.get(Tally, "a")
    agent: Agent[Any] = Agent(
        name="a",
        model=Scripted(("add", {"word": "octopus"}), "done"),
        tools=[facet_tool(tally.add, needs_approval=True)],
    )
    paused = await Runner.run(agent, "go", run_config=QUIET)
    assert [one async for one in tally.words()] == []
    state = paused.to_state()
    state.approve(paused.interruptions[0])

    done = await Runner.run(agent, state, run_config=QUIET)

    assert done.final_output == "done"
    assert [one async for one in tally.words()] == ["octopus"]


async def test_a_tool_that_takes_too_long_is_cancelled_and_told(
    runtime: LocalRuntime, clock: Any
) -> None:
    tally = runtime.get(Tally, "a")
    model = Scripted(("hang", {}), "done")
    running = asyncio.create_task(run(model, "go", tools=[facet_tool(tally.hang, seconds=5)]))
    while await tally.hanging() != "yes":
        await asyncio.sleep(0)
    await clock.run(5)

    assert await running == "done"
    assert outputs(model)[0].startswith("DeadlineExceeded: ")
    assert await tally.hanging() == "cancelled"


async def test_cancelling_the_run_cancels_the_method(runtime: LocalRuntime) -> None:
    tally = runtime.get(Tally, "a")
    running = asyncio.create_task(run(Scripted(("hang", {})), "go", tools=[facet_tool(tally.hang)]))
    while await tally.hanging() != "yes":
        await asyncio.sleep(0)

    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    while await tally.hanging() != "cancelled":
        await asyncio.sleep(0)


async def test_a_runtime_that_is_closed_ends_the_run(state: Path) -> None:
    async with LocalRuntime(state) as runtime:
        tool = facet_tool(runtime.get(Tally, "a").add)

    with pytest.raises(Exception, match=r"not open|closed") as caught:
        await run(Scripted(("add", {"word": "octopus"})), "go", tools=[tool])
    assert isinstance(caught.value.__cause__ or caught.value, RuntimeClosed)


def test_what_is_no_method_of_a_stub_is_refused() -> None:
    with pytest.raises(TypeError, match="is no method of a stub"):
        facet_tool(random.random)
