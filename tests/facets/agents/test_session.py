"""Sessions: a tree of messages that nothing takes away."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic_ai.messages import ModelRequest, ModelResponse, TextPart, ToolReturnPart

from facets.agents import Agent, Session
from facets.errors import (
    BranchTaken,
    FileMissing,
    MessageDiffers,
    NoSuchMessage,
    SplitsToolCall,
)
from facets.testing import MemoryRuntime
from tests.facets.agents.test_turns import call

WORK: list[Callable[[Session], Any]] = []


class Book(Agent):
    model = "test"

    async def do(self) -> Any:
        return WORK.pop()(self.session)


class Desk:
    """Has an agent do what no call could carry."""

    def __init__(self, book: Any) -> None:
        self.book = book

    async def do(self, work: Callable[[Session], Any]) -> Any:
        WORK.append(work)
        return await self.book.do()


@pytest.fixture
async def book() -> AsyncIterator[Any]:
    async with MemoryRuntime() as runtime:
        yield Desk(runtime.get(Book, "a"))


def said(messages: list[Any]) -> list[Any]:
    return [one.parts[0].content for one in messages]


def fill(session: Session, *texts: str, branch: str = "main") -> None:
    for text in texts:
        session.append(text, id=text, branch=branch)


async def test_append_is_idempotent_by_id_and_refuses_another_text(book: Any) -> None:
    def work(session: Session) -> list[Any]:
        fill(session, "a", "b")
        assert session.append("a", id="a") == "a"
        with pytest.raises(MessageDiffers):
            session.append("c", id="a")
        return said(session.history())

    assert await book.do(work) == ["a", "b"]


async def test_a_branch_shares_what_came_before_and_goes_its_own_way(book: Any) -> None:
    def work(session: Session) -> Any:
        fill(session, "a", "b", "c")
        session.fork("b", "other")
        session.fork("b", "other")
        with pytest.raises(BranchTaken):
            session.fork("a", "other")
        with pytest.raises(NoSuchMessage):
            session.fork("z", "third")
        fill(session, "d", branch="other")
        assert session.branches() == {"main": "c", "other": "d"}
        assert said(session.history(until="b")) == ["a", "b"]
        return said(session.history()), said(session.history("other"))

    assert await book.do(work) == (["a", "b", "c"], ["a", "b", "d"])


async def test_a_compaction_reads_as_its_summary_and_deletes_nothing(book: Any) -> None:
    def work(session: Session) -> Any:
        fill(session, "a", "b", "c", "d")
        session.compact("bc", first="b", last="c")
        assert said(session.history()) == ["a", "bc", "d"]
        assert said(session.history(until="b")) == ["a", "b"]
        session.compact("abc", last="c")
        with pytest.raises(NoSuchMessage):
            session.compact("no", first="c", last="b")
        assert said(session.history()) == ["abc", "d"]
        assert [one.id for one in session.path()] == ["a", "b", "c", "d"]
        return [one.id for one in session.search("b")]

    assert await book.do(work) == ["b"]


async def test_a_compaction_may_not_part_a_call_from_its_result(book: Any) -> None:
    def work(session: Session) -> None:
        session.append("a", id="a")
        session.append(ModelResponse(parts=[call("f")]), id="b")
        session.append(ModelRequest(parts=[ToolReturnPart("f", 1, "c")]), id="c")
        for first, last in (("a", "b"), ("c", "c")):
            with pytest.raises(SplitsToolCall):
                session.compact("x", first=first, last=last)
        session.compact("x", first="b", last="c")
        assert said(session.history()) == ["a", "x"]

    await book.do(work)


async def test_search_finds_words_of_prompts_answers_calls_and_results(book: Any) -> None:
    def work(session: Session) -> Any:
        session.append("how many hearts?", id="a")
        session.append(ModelResponse(parts=[TextPart("an octopus"), call("dive")]), id="b")
        session.append(ModelRequest(parts=[ToolReturnPart("dive", "three", "c")]), id="c")
        assert session.search("octopus")[0].text == "an [octopus]\ndive {}"
        assert session.search('"; drop') == session.search(" ") == []
        found = ("hearts", "dive", "three", "OCTOPUS an")
        return [sorted(one.id for one in session.search(words)) for words in found]

    assert await book.do(work) == [["a"], ["b"], ["c"], ["b"]]


async def test_an_attachment_is_kept_once_by_its_content(book: Any) -> None:
    def work(session: Session) -> None:
        digest = session.attach(b"ink")
        assert session.attach(b"ink") == digest
        assert session.attachment(digest) == b"ink"
        with pytest.raises(FileMissing):
            session.attachment("0" * 64)

    await book.do(work)


STEPS = st.lists(
    st.tuples(st.sampled_from(["append", "fork", "compact"]), st.integers(0, 9), st.integers(0, 9)),
    max_size=25,
)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(STEPS)
async def test_every_history_is_its_path_with_stretches_replaced(steps: list[Any]) -> None:
    def work(session: Session) -> None:
        lines: dict[str, list[str]] = {"main": []}
        for number, (what, one, two) in enumerate(steps):
            branch = sorted(lines)[one % len(lines)]
            line, name = lines[branch], str(number)
            if what == "append":
                session.append(name, id=name, branch=branch)
                line.append(name)
            elif line and what == "fork":
                session.fork(line[two % len(line)], f"b{number}")
                lines[f"b{number}"] = line[: two % len(line) + 1]
            elif line:
                first, last = sorted((one % len(line), two % len(line)))
                session.compact(f"s{number}", first=line[first], last=line[last], branch=branch)
        for branch, line in lines.items():
            assert [found.id for found in session.path(branch)] == line
            kept = [text for text in said(session.history(branch)) if not text.startswith("s")]
            assert kept == [text for text in line if text in kept]
            assert bool(said(session.history(branch))) == bool(line)

    async with MemoryRuntime() as runtime:
        await Desk(runtime.get(Book, "a")).do(work)
