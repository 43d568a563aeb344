"""Histories: what is kept in memory of them is what the database says."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic_ai.messages import (
    BinaryContent,
    ModelMessage,
    ModelRequest,
    ModelResponse,
    TextPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models.function import AgentInfo, FunctionModel

from facets.agents import Agent, Session, tool
from facets.agents.history import Histories
from facets.agents.messages import LARGEST
from facets.errors import BadMessages, BranchBusy, MessageDiffers, MessageTooLarge
from facets.testing import MemoryRuntime
from tests.facets.agents.test_session import Book, Desk, fill, said
from tests.facets.agents.test_turns import call, script


@pytest.fixture
async def book() -> AsyncIterator[Any]:
    async with MemoryRuntime() as runtime:
        yield Desk(runtime.get(Book, "a"))


class Undo(Exception):
    """Takes back what was done."""


def apply(session: Session, lines: dict[str, list[str]], number: int, step: Any) -> None:
    """One change of a session, and of the lines of ids that it should have."""
    what, one, two = step
    branch = sorted(lines)[one % len(lines)]
    line, name = lines[branch], str(two % 4)  # ids come again after an undone step
    if what == "append" and not any(name in ids for ids in lines.values()):
        session.append(f"{name} of {number}", id=name, branch=branch)
        line.append(name)
    elif what == "fork" and line and (new := f"b{number % 3}") not in lines:
        session.fork(line[two % len(line)], new)
        lines[new] = line[: two % len(line) + 1]
    elif what == "compact" and line:
        first, last = sorted((one % len(line), two % len(line)))
        session.compact(f"s{number}", first=line[first], last=line[last], branch=branch)


STEP = st.tuples(
    st.sampled_from(["append", "append", "fork", "compact"]), st.integers(0, 9), st.integers(0, 9)
)
ROUNDS = st.lists(st.tuples(st.lists(STEP, max_size=4), st.booleans()), max_size=8)


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(ROUNDS, st.integers(0, 4000))
async def test_a_history_is_what_one_reads_who_keeps_nothing_whatever_is_undone(
    rounds: list[Any], bound: int
) -> None:
    lines: dict[str, list[str]] = {"main": []}
    count = 0

    def same(session: Session) -> None:
        for branch, ids in lines.items():
            for until in [None, *ids[-2:]]:
                end = session.head(branch) if until is None else until
                fresh = Histories(session._actor).read(branch, end)
                assert said(session.history(branch, until=until)) == said(fresh)
            assert session.ids(branch) == ids

    def run(session: Session, steps: list[Any], *, undone: bool) -> None:
        nonlocal count, lines
        session._histories.bound = bound
        before = {name: [*ids] for name, ids in lines.items()}
        for step in steps:
            count += 1
            apply(session, lines, count, step)
            same(session)
        if undone:
            lines = before
            raise Undo

    async with MemoryRuntime() as runtime:
        desk = Desk(runtime.get(Book, "a"))
        for steps, undone in rounds:
            with contextlib.suppress(Undo):
                await desk.do(lambda session, s=steps, u=undone: run(session, s, undone=u))
        await desk.do(same)


async def test_a_message_that_comes_again_after_an_undone_step_is_read_anew(book: Any) -> None:
    def first(session: Session) -> None:
        session.append("undone", id="b")
        assert said(session.history()) == ["a", "undone"]
        raise Undo

    def second(session: Session) -> Any:
        session.append("kept", id="b")
        return said(session.history())

    await book.do(lambda session: fill(session, "a"))
    with contextlib.suppress(Undo):
        await book.do(first)
    assert await book.do(second) == ["a", "kept"]


async def test_a_history_of_thousands_is_read_once_and_then_from_where_it_ended(
    monkeypatch: pytest.MonkeyPatch, book: Any
) -> None:
    read: list[int] = []
    walk = Histories._walk

    def counted(self: Histories, end: str | None, stop: str | None) -> list[Any]:
        rows = walk(self, end, stop)
        read.append(len(rows))
        return rows

    monkeypatch.setattr(Histories, "_walk", counted)

    def work(session: Session) -> None:
        fill(session, *map(str, range(2000)))
        for text in ("a", "b", "c"):
            fill(session, text)
            assert said(session.history())[-1] == text

    await book.do(work)
    assert read == [2001, 2, 2]


async def test_of_compacted_stretches_nothing_but_the_summary_is_read(book: Any) -> None:
    def work(session: Session) -> Any:
        fill(session, *map(str, range(50)))
        session.compact("some", first="10", last="19")
        session.compact("all", last="39")
        assert len(Histories(session._actor)._walk("49", None)) == 11
        session.compact("later", first="35", last="45")
        return said(session.history())

    assert await book.do(work) == [*map(str, range(10)), "some", *map(str, range(20, 35)), "later",
                                   "46", "47", "48", "49"]  # fmt: skip


async def test_batches_and_recent_give_the_newest_without_reading_the_rest(book: Any) -> None:
    def work(session: Session) -> Any:
        fill(session, *(f"{n:03}" for n in range(25)))
        session.append(ModelResponse(parts=[call("f", {"x": "y" * 40})]), id="call")
        session.append(ModelRequest(parts=[ToolReturnPart("f", "ok", "c")]), id="result")
        sizes = [len(batch) for batch in session.batches(size=10)]
        ids = [one.id for batch in session.batches(size=10) for one in batch]
        assert (sizes, ids[::-1]) == ([10, 10, 7], session.ids())
        assert [one.id for one in session.recent(bytes=55)] == ["024", "call", "result"]
        assert session.recent(bytes=5) == []  # not a result without its call
        assert [one.id for one in session.recent(tokens=16)] == ["023", "024", "call", "result"]
        assert [*session.batches("nowhere")] == session.recent("nowhere", tokens=1) == []
        return len(session.recent())

    assert await book.do(work) == 27


async def test_a_message_of_20_mb_comes_back_whole_and_a_larger_one_is_refused(book: Any) -> None:
    picture = BinaryContent(b"\0ink" * (5 << 20), media_type="image/png")
    text = "octopus " * (10 << 17)

    def work(session: Session) -> None:
        session.append(ModelRequest(parts=[UserPromptPart([text, picture])]), id="large")
        assert session.append(ModelRequest(parts=[UserPromptPart([text, picture])]), id="large")
        with pytest.raises(MessageDiffers):
            session.append(text + "!", id="large")
        (found,) = Histories(session._actor).read("main", "large")
        part: Any = found.parts[0]
        assert (part.content[0] == text, part.content[1].data == picture.data) == (True, True)
        assert session.search("octopus")[0].id == "large"
        with pytest.raises(MessageTooLarge) as told:
            session.append("x" * LARGEST, id="larger")
        assert (told.value.name, told.value.limit) == ("larger", LARGEST)
        assert session.ids() == ["large"]

    await book.do(work)


async def test_what_is_exported_can_be_imported_and_again_changes_nothing(book: Any) -> None:
    def work(session: Session) -> None:
        fill(session, "a", "b")
        session.append(ModelResponse(parts=[TextPart("c")]))
        data = session.export_messages()
        ids = session.import_messages(data, id="copy", branch="other")
        assert session.import_messages(data, id="copy", branch="other") == ids
        assert ids == ["copy:0", "copy:1", "copy:2"]
        assert session.history("other") == session.history()
        answer = ModelRequest(parts=[ToolReturnPart("f", 1, "c")])
        session.append(answer, branch="third")
        for bad in (b"{}", b"[{}]", "no", session.export_messages("third")):
            with pytest.raises(BadMessages):
                session.import_messages(bad)

    await book.do(work)


class Meddler(Agent):
    model = script([call("meddle")], "done")

    @tool
    async def meddle(self) -> str:
        """Append to the branch of the turn, and to a fork of it."""
        self.session.fork(self.session.ids()[0], "aside")
        self.session.append("aside", branch="aside")
        self.session.append("between a call and its result")
        return "never"

    async def kinds(self, branch: str) -> list[str]:
        return [one.message.kind for one in self.session.path(branch)]

    async def say(self, text: str) -> str:
        return self.session.append(text)


async def test_nobody_appends_to_a_branch_whose_turn_is_under_way() -> None:
    async with MemoryRuntime() as runtime:
        meddler = runtime.get(Meddler, "a")
        assert await meddler.run("go") == "done"
        assert await meddler.kinds("main") == ["request", "response"] * 2
        assert await meddler.kinds("aside") == []  # the tool failed, which undid that, too
        await meddler.say("afterwards")
        assert (await meddler.kinds("main"))[-1] == "request"


class Patient(Agent):
    model: Any = None

    async def say(self, text: str) -> str:
        return self.session.append(text)


async def test_to_append_while_the_model_is_asked_is_an_error_that_names_the_turn() -> None:
    door = asyncio.Event()

    async def slow(messages: list[ModelMessage], _info: AgentInfo) -> ModelResponse:
        await door.wait()
        return ModelResponse(parts=[TextPart("late")])

    Patient.model = FunctionModel(slow)
    async with MemoryRuntime() as runtime:
        patient = runtime.get(Patient, "a")
        await patient.submit("go", id="1")
        while (await patient.turn("1")).status == "pending":
            await asyncio.sleep(0)
        with pytest.raises(BranchBusy) as told:
            await patient.say("hello")
        assert (told.value.turn, told.value.branch) == ("1", "main")
        door.set()
        assert (await patient.wait("1")).output == "late"
