"""Events of a turn are kept: who comes late, or comes back, has missed nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facets import Quota
from facets.agents import (
    Agent,
    Event,
    EventLimits,
    Missed,
    Restarted,
    TextDelta,
    ToolFinished,
    ToolStarted,
    tool,
)
from facets.agents.log import ATTEMPT, PAGE, Log, _gap
from facets.errors import NoSuchTurn, TurnFailed
from facets.testing import MemoryRuntime, die_everywhere
from tests.facets.agents.test_turns import DOORS, RAN, Clerk, call, script


class Poet(Clerk):
    model = script([call("note", {"what": "rhyme"})], "roses are red and violets are blue")


class Waiting(Clerk):
    model = script([call("wait_at", {"door": "x"})], "come in")


@pytest.fixture
async def runtime() -> AsyncIterator[MemoryRuntime]:
    RAN.clear()
    DOORS.clear()
    async with MemoryRuntime() as runtime:
        yield runtime


def numbered(events: Sequence[Event]) -> list[tuple[int, Event]]:
    """Events compare without their number."""
    return [(one.seq, one) for one in events]


def counted(events: Sequence[Event]) -> list[Event]:
    """Those that are not void, as a client puts them together."""
    found: list[Event] = []
    for one in events:
        assert not found or one.seq > found[-1].seq
        if isinstance(one, Restarted):
            found = [before for before in found if before.seq <= one.kept]
        else:
            found.append(one)
    return found


async def every(agent: Any, turn: str, after: int = 0) -> list[Event]:
    return [one async for one in agent.events(turn, after=after)]


async def test_who_comes_late_reads_what_the_first_one_saw(runtime: MemoryRuntime) -> None:
    poet = runtime.get(Poet, "a")
    seen = [one async for one in poet.stream("a poem", id="1")]
    assert [one.text for one in seen if isinstance(one, TextDelta)] == [
        *("roses", "are", "red", "and", "violets", "are", "blue")
    ]
    assert [one.seq for one in seen] == list(range(1, len(seen) + 1))
    assert numbered(await every(poet, "1")) == numbered(seen)
    again = [one async for one in poet.stream("a poem", id="1", after=4)]
    assert numbered(again) == numbered(seen[4:])
    with pytest.raises(NoSuchTurn):
        await every(poet, "2")


async def test_who_comes_back_while_a_turn_runs_reads_on_and_goes_on_live(
    runtime: MemoryRuntime,
) -> None:
    waiting = runtime.get(Waiting, "a")
    first = aiter(waiting.stream("knock", id="1"))
    started = await anext(first)
    await first.aclose()
    late = asyncio.create_task(every(waiting, "1"))
    back = asyncio.create_task(every(waiting, "1", after=started.seq))
    while not RAN:
        await asyncio.sleep(0)
    DOORS["x"].set()
    assert [type(one) for one in await late] == [ToolStarted, ToolFinished, TextDelta, TextDelta]
    assert numbered(await back) == numbered((await late)[1:])


async def test_text_that_nobody_waited_for_is_one_event(runtime: MemoryRuntime) -> None:
    poet = runtime.get(Poet, "a")
    await poet.submit("a poem", id="1")
    await poet.wait("1")
    started, finished, text = await every(poet, "1")
    assert isinstance(started, ToolStarted)
    assert isinstance(finished, ToolFinished)
    assert text == TextDelta("1", "roses are red and violets are blue")


async def test_an_event_whose_step_was_undone_is_told_to_nobody() -> None:
    class Hoarder(Agent):
        model = script([call("hoard")], "too much")

        @tool
        async def hoard(self) -> str:
            """Keep more than there is room for."""
            self.kv["all"] = b"x" * 1_000_000
            return "kept"

    async with MemoryRuntime(quota=Quota(bytes=500_000)) as runtime:
        hoarder = runtime.get(Hoarder, "a")
        seen = [one async for one in hoarder.stream("go", id="1")]
        finished = [one for one in seen if isinstance(one, ToolFinished)]
        assert [one.outcome for one in finished] == ["failed"]
        assert "BytesQuota" in finished[0].content
        assert numbered(await every(hoarder, "1")) == numbered(seen)


async def test_events_of_a_turn_that_failed_end_and_its_stream_raises_again(
    runtime: MemoryRuntime,
) -> None:
    class Failing(Clerk):
        model = script([call("note", {"what": "again"})])

    failing = runtime.get(Failing, "a")
    await failing.submit("go", id="1")
    await failing.wait("1")
    seen = await every(failing, "1")
    assert len(seen) == 2 * failing_steps(seen)
    with pytest.raises(TurnFailed, match="OverBudget"):
        [one async for one in failing.stream("go", id="1", after=seen[-1].seq)]


def failing_steps(seen: Sequence[Event]) -> int:
    return sum(isinstance(one, ToolFinished) for one in seen)


class Reporter(Agent):
    model = script([call("look"), call("look")], [call("look")], "all is well here")

    @tool
    async def look(self) -> str:
        """Look around."""
        self.kv["looked"] = True
        return "seen"


async def test_a_client_that_comes_back_after_a_crash_anywhere_has_each_event_once() -> None:
    seen: list[Event] = []

    async def setup(runtime: MemoryRuntime) -> None:
        seen.clear()
        await runtime.get(Reporter, "a").turns()

    async def act(runtime: MemoryRuntime) -> None:
        async for one in runtime.get(Reporter, "a").stream("report", id="1"):
            seen.append(one)  # noqa: PERF401 - as long as it lives

    async def check(runtime: MemoryRuntime) -> None:
        reporter = runtime.get(Reporter, "a")
        await reporter.submit("report", id="1")
        seen.extend(await every(reporter, "1", after=seen[-1].seq if seen else 0))
        whole = counted(await every(reporter, "1"))
        assert numbered(counted(seen)) == numbered(whole)
        finished = [one.call for one in whole if isinstance(one, ToolFinished)]
        assert sorted(finished) == ["1:1:0", "1:1:1", "1:2:0"]
        text = [one.text for one in whole if isinstance(one, TextDelta)]
        assert " ".join(text) == "all is well here"

    assert await die_everywhere(setup, act, check, every=3) > 3


async def test_what_was_seen_of_a_response_that_a_crash_cut_off_is_void(
    runtime: MemoryRuntime,
) -> None:
    stream = aiter(runtime.get(Reporter, "a").stream("report", id="1"))
    seen = [await anext(stream)]
    await runtime.crash()
    seen += await every(runtime.get(Reporter, "a"), "1", after=seen[-1].seq)
    restarted = seen[1]
    assert isinstance(restarted, Restarted)
    assert (restarted.kept, restarted.seq) == (0, ATTEMPT)
    assert numbered(counted(seen)) == numbered(
        counted(await every(runtime.get(Reporter, "a"), "1"))
    )


async def test_the_oldest_events_of_a_long_turn_are_dropped_and_who_misses_them_is_told(
    runtime: MemoryRuntime,
) -> None:
    class Long(Clerk):
        model = script(*[[call("note", {"what": "x" * 100})]] * 10, "done")
        event_limits = EventLimits(bytes=1000)

    long = runtime.get(Long, "a")
    await long.submit("go", id="1")
    await long.wait("1")
    missed, *rest = await every(long, "1")
    assert isinstance(missed, Missed)
    assert missed.seq == rest[0].seq - 1 > 0
    assert [one.seq for one in rest] == list(range(rest[0].seq, 22))
    assert numbered(await every(long, "1", after=missed.seq)) == numbered(rest)


async def test_events_of_turns_that_ended_long_ago_are_dropped(runtime: MemoryRuntime) -> None:
    class Short(Poet):
        event_limits = EventLimits(turns=2)

        async def rows(self) -> int:
            return int(self.sql("select count(distinct turn) from agent_events").value())

    short = runtime.get(Short, "a")
    for turn in "1234":
        await short.submit("a poem", id=turn)
        await short.wait(turn)
    assert await short.rows() == 2
    assert await every(short, "2") == [Missed("2")]
    assert len(await every(short, "3")) == 3


async def test_a_turn_that_nobody_follows_any_more_is_not_followed(runtime: MemoryRuntime) -> None:
    class Watched(Waiting):
        async def followed(self) -> bool:
            return self._driver.log.followed("1")

    watched = runtime.get(Watched, "a")
    stream = aiter(watched.stream("knock", id="1"))
    await anext(stream)
    assert await watched.followed()
    await stream.aclose()
    assert not await watched.followed()


class Player(Clerk):
    """Writes a log as a turn does: some of it in memory, some of it kept, cut off now and then."""

    async def play(self, moves: list[tuple[str, int]]) -> list[list[Event]]:
        turns, log = self._turns, Log(self)
        turns.add("1", "main", "go", "pending", None)
        log.begin(turns.get("1"))
        turns.update("1", status="running", begun=1.0)
        clients: list[list[Event]] = [[] for _ in range(3)]
        for n, (move, who) in enumerate(moves):
            if move == "tell":
                log.tell("1", TextDelta("1", f"{n}"))
            elif move == "keep":
                log.keep("1", ToolFinished("1", f"{n}", "t", "success", ""))
            elif move == "restart":
                log.restart("1")
            elif move == "crash":
                log = Log(self)
                log.begin(turns.get("1"))
            else:
                clients[who] += read(log, clients[who], 1 + n % 3)
        log.end("1")
        turns.update("1", status="completed")
        for client in (*clients, found := []):
            while more := read(log, client, PAGE):
                client += more
        return [*clients, found]


def read(log: Log, client: Sequence[Event], most: int) -> Sequence[Event]:
    return log._behind("1", client[-1].seq if client else 0)[:most]


MOVE = st.tuples(
    st.sampled_from(["tell", "tell", "keep", "read", "read", "restart", "crash"]), st.integers(0, 2)
)


@settings(max_examples=60, deadline=None)
@given(moves=st.lists(MOVE, max_size=30))
async def test_whoever_reads_whenever_has_in_the_end_what_is_kept_each_once(
    moves: list[tuple[str, int]],
) -> None:
    async with MemoryRuntime() as runtime:
        *clients, late = await runtime.get(Player, "a").play(moves)
    for client in clients:
        assert numbered(counted(client)) == numbered(counted(late))
        for before, event in zip([None, *client], client, strict=False):
            assert not _gap(event, 0 if before is None else before.seq)
