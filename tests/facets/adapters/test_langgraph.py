"""FacetSaver under LangGraph's own conformance suite, and with real graphs."""

from __future__ import annotations

import asyncio
import operator
from collections.abc import AsyncIterator
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langgraph.channels.delta import DeltaChannel
from langgraph.checkpoint.base import BaseCheckpointSaver, empty_checkpoint
from langgraph.checkpoint.conformance import checkpointer_test, validate
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, interrupt

from facets import Actor, LocalRuntime
from facets.adapters.checkpoints import Checkpoints
from facets.adapters.langgraph import FacetSaver
from facets.errors import NotActive
from facets.testing import MemoryRuntime, die_everywhere


class State(TypedDict):
    said: Annotated[list[str], operator.add]


def of(thread: str, **more: Any) -> Any:
    return {"configurable": {"thread_id": thread, **more}}


async def test_it_passes_the_conformance_suite_with_every_extension() -> None:
    @checkpointer_test(name="FacetSaver")
    async def saver() -> AsyncIterator[FacetSaver]:
        async with MemoryRuntime() as runtime:
            yield FacetSaver(runtime)

    report = await validate(saver)

    failures = {name: one.failures for name, one in report.results.items() if one.failures}
    assert failures == {}
    assert all(one.passed for one in report.results.values())
    assert sum(one.tests_passed for one in report.results.values()) > 70


# -- beside the saver in memory ----------------------------------------------------------------


channels = st.dictionaries(
    st.sampled_from("abc"),
    st.integers(0, 9) | st.lists(st.text(min_size=70, max_size=90), max_size=4),
)
operations = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.sampled_from(["", "sub", "sub:1"]), channels, st.booleans()),
        st.tuples(
            st.just("write"),
            st.sampled_from("st"),
            st.lists(
                st.tuples(st.sampled_from(["a", "__interrupt__", "__error__"]), st.integers(0, 9)),
                max_size=3,
            ),
        ),
    ),
    max_size=12,
)


async def play(saver: BaseCheckpointSaver[Any], operations: Any) -> None:
    """What a graph would do: checkpoints on the newest one, or beside it, and writes after it."""
    configs: dict[str, list[Any]] = {}
    versions: dict[str, dict[str, int]] = {}
    last: Any = None
    for step, (kind, *told) in enumerate(operations):
        if kind == "put":
            ns, values, beside = told
            before = configs.setdefault(ns, [])
            config = before[-1 - (beside and len(before) > 1)] if before else of("t")
            known = dict(versions.setdefault(ns, {}))
            new = {name: known.get(name, 0) + 1 for name in values}
            versions[ns] = known | new
            state = {
                **empty_checkpoint(),
                "id": f"{step:05}",
                "ts": "now",
                "channel_values": {k: v for k, v in values.items() if v != 0},
                "channel_versions": versions[ns],
            }
            config = {"configurable": {**config["configurable"], "checkpoint_ns": ns}}
            last = await saver.aput(config, state, {"step": step % 3}, new)  # type: ignore[arg-type,typeddict-item]
            before.append(last)
        elif last is not None:
            task, writes = told
            await saver.aput_writes(last, writes, task, f"path {task}")


@given(operations=operations, step=st.integers(0, 2), limit=st.none() | st.integers(0, 4))
@settings(max_examples=50, deadline=None)
def test_it_says_what_the_saver_in_memory_says(operations: Any, step: int, limit: Any) -> None:
    async def compare() -> None:
        async with MemoryRuntime() as runtime:
            ours, theirs = FacetSaver(runtime), InMemorySaver()
            await play(ours, operations)
            await play(theirs, operations)
            for ns in ("", "sub", "sub:1"):
                asked = of("t", checkpoint_ns=ns)
                assert await ours.aget_tuple(asked) == await theirs.aget_tuple(asked)
                for narrowed in ({}, {"filter": {"step": step}}, {"limit": limit}):
                    found = [one async for one in ours.alist(asked, **narrowed)]
                    assert found == [one async for one in theirs.alist(asked, **narrowed)]
                before = of("t", checkpoint_id=f"{step + 2:05}")
                found = [one async for one in ours.alist(asked, before=before)]
                assert found == [one async for one in theirs.alist(asked, before=before)]

    asyncio.run(compare())


# -- real graphs -------------------------------------------------------------------------------


def asking(saver: Any) -> Any:
    """A graph that says what it was told, and asks a person in between."""
    builder = StateGraph(State)
    builder.add_node("begin", lambda state: {"said": ["begun"]})
    builder.add_node("ask", lambda state: {"said": [interrupt("may I?")]})
    builder.add_edge(START, "begin")
    builder.add_edge("begin", "ask")
    builder.add_edge("ask", END)
    return builder.compile(checkpointer=saver)


async def test_a_graph_that_asks_a_person_goes_on_after_a_crash() -> None:
    async with MemoryRuntime() as runtime:
        asked = await asking(FacetSaver(runtime)).ainvoke({"said": ["hello"]}, of("alice"))
        assert asked["__interrupt__"][0].value == "may I?"

        await runtime.crash()

        done = await asking(FacetSaver(runtime)).ainvoke(Command(resume="yes"), of("alice"))
        assert done["said"] == ["hello", "begun", "yes"]


async def test_the_past_can_be_looked_at_and_forked(runtime: LocalRuntime) -> None:
    graph = asking(FacetSaver(runtime))
    await graph.ainvoke({"said": ["hello"]}, of("alice"))
    await graph.ainvoke(Command(resume="yes"), of("alice"))
    past = [one async for one in graph.aget_state_history(of("alice"))]
    assert [one.metadata["step"] for one in past] == [2, 1, 0, -1]

    fork = await graph.aupdate_state(past[2].config, {"said": ["instead"]})
    asked = await graph.ainvoke(None, fork)
    done = await graph.ainvoke(Command(resume="no"), of("alice"))

    assert asked["__interrupt__"][0].value == "may I?"
    assert done["said"] == ["hello", "instead", "begun", "no"]
    before = await graph.aget_state(past[0].config)
    assert before.values["said"] == ["hello", "begun", "yes"]


async def test_after_a_crash_no_task_that_has_ended_runs_again() -> None:
    ran: list[str] = []
    alive = True

    def node(name: str) -> Any:
        async def run(state: State) -> Any:
            if name == "slow" and alive:
                while "fast" not in ran:
                    await asyncio.sleep(0)
                await asyncio.get_running_loop().create_future()
            ran.append(name)
            return {"said": [name]}

        return run

    def compiled(saver: FacetSaver) -> Any:
        builder = StateGraph(State)
        for name in ("fast", "slow"):
            builder.add_node(name, node(name))
            builder.add_edge(START, name)
        return builder.compile(checkpointer=saver)

    async with MemoryRuntime() as runtime:
        saver = FacetSaver(runtime)
        running = asyncio.create_task(compiled(saver).ainvoke({"said": ["hello"]}, of("alice")))
        while not await written(saver, "alice"):
            await asyncio.sleep(0)
        await runtime.crash()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        alive = False

        done = await compiled(FacetSaver(runtime)).ainvoke(None, of("alice"))

    assert ran == ["fast", "slow"]
    assert done["said"] == ["hello", "fast", "slow"]


async def written(saver: FacetSaver, thread: str) -> bool:
    found = await saver.aget_tuple(of(thread))
    return found is not None and any(one[1] == "said" for one in found.pending_writes or ())


async def test_wherever_the_process_dies_a_checkpoint_is_there_with_its_values_or_not_at_all() -> (
    None
):
    async def put(runtime: MemoryRuntime, step: int) -> None:
        state: Any = {
            **empty_checkpoint(),
            "id": f"{step}",
            "channel_values": {"said": [f"{step}{i}" * 50 for i in range(3)]},
            "channel_versions": {"said": step},
        }
        await FacetSaver(runtime, keep=1).aput(of("a"), state, {"step": step}, {"said": step})

    async def check(runtime: MemoryRuntime) -> None:
        found = await FacetSaver(runtime).aget_tuple(of("a"))
        assert found is not None
        step = found.metadata["step"]
        assert step in (1, 2, 3)
        assert found.checkpoint["channel_values"] == {"said": [f"{step}{i}" * 50 for i in range(3)]}

    async def act(runtime: MemoryRuntime) -> None:
        await put(runtime, 2)
        await put(runtime, 3)

    assert await die_everywhere(lambda runtime: put(runtime, 1), act, check) > 2


def test_plain_code_runs_graphs_on_the_blocking_runtime(state: Path) -> None:
    with LocalRuntime(state).blocking() as runtime:
        saver = FacetSaver(runtime)
        graph = asking(saver)
        graph.invoke({"said": ["hello"]}, of("alice"))
        done = graph.invoke(Command(resume="yes"), of("alice"))

        assert done["said"] == ["hello", "begun", "yes"]
        assert [one.metadata["step"] for one in graph.get_state_history(of("alice"))] == [
            2, 1, 0, -1,
        ]  # fmt: skip
        saver.copy_thread("alice", "bob")
        saver.prune(["alice"])
        assert len(list(saver.list(None))) == 5
        saver.delete_thread("alice")
        assert saver.get_tuple(of("alice")) is None
        saver.delete_for_runs([])
        assert len(list(saver.list(of("bob"), limit=3))) == 3
        assert asyncio.run(graph.aget_state(of("bob"))).values["said"][-1] == "yes"


async def test_waiting_on_the_thread_of_the_loop_is_refused(runtime: LocalRuntime) -> None:
    with pytest.raises(NotActive, match="waiting would stop it"):
        FacetSaver(runtime).get_tuple(of("alice"))
    assert await asyncio.to_thread(FacetSaver(runtime).get_tuple, of("alice")) is None


class Lead(Actor):
    async def ask(self, given: Any) -> Any:
        graph = asking(FacetSaver(self.facets))
        return dict(await graph.ainvoke(given, of("plan")))["said"]

    async def approve(self, word: str) -> Any:
        graph = asking(FacetSaver(self.facets))
        return dict(await graph.ainvoke(Command(resume=word), of("plan")))["said"]


async def test_inside_an_actor_threads_are_its_facets(runtime: LocalRuntime) -> None:
    lead = runtime.get(Lead, "a")

    assert await lead.ask({"said": ["hello"]}) == ["hello", "begun"]
    assert await lead.approve("yes") == ["hello", "begun", "yes"]
    assert [one.path for one in runtime.tree(Lead, "a")][1:] == [("plan",)]


# -- how much is kept --------------------------------------------------------------------------


def talking(saver: Any, kind: Any = None) -> Any:
    """A graph that adds what it is told, and a long answer."""
    shape = State if kind is None else kind
    builder: Any = StateGraph(shape)
    builder.add_node("answer", lambda state: {"said": [f"{len(state['said'])}: " + "x" * 1000]})
    builder.add_edge(START, "answer")
    return builder.compile(checkpointer=saver)


async def test_each_message_of_a_conversation_is_stored_once(runtime: LocalRuntime) -> None:
    graph = talking(FacetSaver(runtime))
    for turn in range(40):
        await graph.ainvoke({"said": [f"{turn}"]}, of("alice"))

    found = await runtime.get(Checkpoints, "alice").find("", None)
    size = runtime.stat(Checkpoints, "alice", rows=True)
    assert found is not None
    assert size.rows is not None
    assert size.rows["parts"] == 80
    assert size.size < 40 * 10_000  # as whole lists it would be 40 * 40 / 2 * 3 kB


async def test_older_checkpoints_go_where_so_many_are_kept(runtime: LocalRuntime) -> None:
    graph = talking(FacetSaver(runtime, keep=8))
    sizes = []
    for _ in range(20):
        done = await graph.ainvoke({"said": ["hello"]}, of("alice"))
        sizes.append(len([one async for one in graph.aget_state_history(of("alice"))]))

    assert len(done["said"]) == 40
    assert max(sizes) <= 10
    assert min(sizes[4:]) >= 8
    rows = runtime.stat(Checkpoints, "alice", rows=True).rows or {}
    assert rows["checkpoints"] == sizes[-1]
    assert rows["parts"] == 21  # half of what is said is one and the same text
    assert rows["writes"] <= 3 * sizes[-1]
    assert rows["vals"] <= 4 * sizes[-1]


def joined(state: list[str], writes: Any) -> list[str]:
    return [*state, *chain(*writes)]


async def test_the_state_of_a_subgraph_that_lasts_stays_however_old_it_is(
    runtime: LocalRuntime,
) -> None:
    saver = FacetSaver(runtime, keep=4)
    for step, ns in enumerate(["lasting", "lasting", "passing:1", *[""] * 12]):
        state: Any = {**empty_checkpoint(), "id": f"{step:02}"}
        await saver.aput(of("alice", checkpoint_ns=ns), state, {"step": step}, {})

    left = [(one.config["configurable"]["checkpoint_ns"], one.checkpoint["id"])
            async for one in saver.alist(of("alice"))]  # fmt: skip

    assert [one for one in left if one[0]] == [("lasting", "01")]


def grown(state: list[str], said: list[str]) -> list[str]:
    return said if said[: len(state)] == state else state + said


class Growing(TypedDict):
    said: Annotated[list[str], grown]


async def test_subgraphs_go_with_the_checkpoints_that_they_ran_below(runtime: LocalRuntime) -> None:
    saver = FacetSaver(runtime, keep=4)
    outer: Any = StateGraph(Growing)
    outer.add_node("passing", talking(None, Growing))
    outer.add_node("lasting", talking(True, Growing))
    outer.add_edge(START, "passing")
    outer.add_edge("passing", "lasting")
    graph = outer.compile(checkpointer=saver)
    for _ in range(12):
        await graph.ainvoke({"said": ["hello"]}, of("alice"))

    spaces = [one.config["configurable"]["checkpoint_ns"] async for one in saver.alist(of("alice"))]

    passing = {ns for ns in spaces if ns.startswith("passing:")}
    assert 1 <= len(passing) <= 3
    assert "lasting" in spaces
    lasting = await saver.aget_tuple(of("alice", checkpoint_ns="lasting"))
    assert lasting is not None
    assert len(lasting.checkpoint["channel_values"]["said"]) > 12


class Deltas(TypedDict):
    said: Annotated[list[str], DeltaChannel(joined, snapshot_frequency=7)]


@pytest.mark.filterwarnings("ignore:.*DeltaChannel.*")
@pytest.mark.parametrize("keep", [None, 1, 3])
async def test_what_a_channel_of_differences_is_made_from_is_kept(
    runtime: LocalRuntime, keep: int | None
) -> None:
    saver = FacetSaver(runtime, keep=keep)
    graph = talking(saver, Deltas)
    for turn in range(12):
        done = await graph.ainvoke({"said": [f"{turn}"]}, of("alice"))
        assert len(done["said"]) == 2 * turn + 2
        if keep is None and turn % 5 == 4:
            await saver.aprune(["alice"])

    assert (await graph.aget_state(of("alice"))).values["said"][::2] == [str(i) for i in range(12)]
    left = len([one async for one in saver.alist(of("alice"))])
    assert left < 36


async def test_keeping_nothing_is_refused(runtime: LocalRuntime) -> None:
    with pytest.raises(ValueError, match="keep at least 1"):
        FacetSaver(runtime, keep=0)
