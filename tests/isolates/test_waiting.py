"""Synchronous code that waits for something outside: in its fiber, committed, and to be stopped."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from facets.isolates.errors import CallLimit, IsolateClosed, ProtocolViolation, WallLimit
from facets.isolates.own import Own
from facets.isolates.session import Session
from storage.errors import SqlError
from tests.isolates.conftest import Open
from tests.isolates.fake import Owner

TOOL = """
import asyncio, time
from facets import Actor
from isolate import storage
from wit_world.imports import host

class Tool(Actor):
    migrations = ["create table if not exists t(n)"]
    async def ask(self, *args): return storage.call_own("fetch", list(args))
    async def many(self, n): return [storage.call_own("fetch", [i]) for i in range(n)]
    async def write(self, n, *args):
        self.sql("insert into t values (?)", n)
        got = storage.call_own("fetch", list(args))
        self.sql("insert into t values (?)", n + 1)
        return got
    async def write_and_fail(self, n):
        self.sql("insert into t values (?)", n)
        storage.call_own("fetch", [1])
        self.sql("insert into t values (?)", n + 1)
        raise ValueError(n)
    async def inside(self):
        with self.transaction():
            self.sql("insert into t values (1)")
            storage.call_own("fetch", [1])
    async def caught(self):
        try: storage.call_own("fetch", ["fail"])
        except LookupError as error: return repr(error)
    async def stubborn(self):
        while True:
            try: storage.call_own("fetch", ["wait"])
            except asyncio.CancelledError: pass
    async def late(self):
        try: storage.call_own("fetch", ["wait"])
        except asyncio.CancelledError: self.stopped = True; raise
    async def was_stopped(self): return self.stopped
    async def raw(self, text): return host.call(text)
    async def read(self): return [row[0] for row in self.sql("select n from t")]
    async def one(self): return 1
"""


class Outside:
    """A service that takes time, which a test answers."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.begun = asyncio.Event()
        self.cancelled = 0

    async def fetch(self, *args: Any) -> Any:
        self.asked.append(args)
        self.begun.set()
        if args == ("fail",):
            raise LookupError("nothing here")
        if args == ("large",):
            return bytes(2 << 20)
        try:
            await (asyncio.get_running_loop().create_future() if args == ("wait",) else pause())
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return [*args, b"\xff"]


async def pause() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


@pytest.fixture
def own(owner: Owner) -> Outside:
    outside = Outside()
    owner.own = Own()
    owner.own.offer("fetch", outside.fetch, waits=True)
    return outside


async def test_synchronous_code_waits_and_goes_on_where_it_was(start: Open, own: Outside) -> None:
    session = await start(TOOL)

    assert await session.call("ask", (1, "a")) == [1, "a", b"\xff"]
    assert await session.call("many", (3,)) == [[i, b"\xff"] for i in range(3)]
    assert await session.call("caught") == "LookupError('nothing here')"


async def test_what_waits_holds_no_thread(start: Open, own: Outside) -> None:
    sessions = [await start(TOOL) for _ in range(8)]
    before = threading.active_count()

    calls = [asyncio.ensure_future(one.call("ask", ("wait",))) for one in sessions]
    while len(own.asked) < 8:
        await asyncio.sleep(0)

    assert threading.active_count() <= before
    for call in calls:
        call.cancel()
    await asyncio.wait(calls)


async def test_what_was_written_is_committed_before_anybody_is_asked(
    start: Open, own: Outside, owner: Owner
) -> None:
    session = await start(TOOL)
    owner.events.clear()

    await session.call("write", (1, 5))

    assert owner.events == ["sql", "commit", "use", "sql", "commit"]


async def test_an_error_undoes_what_came_after_the_wait_and_nothing_before(
    start: Open, own: Outside
) -> None:
    session = await start(TOOL)

    with pytest.raises(ValueError, match="7"):
        await session.call("write_and_fail", (7,))

    assert await session.call("read") == [7]


async def test_nobody_is_asked_for_a_step_that_was_lost(
    start: Open, own: Outside, owner: Owner
) -> None:
    session = await start(TOOL)
    owner.fail_commit = SqlError("no room", statement="", code=13)

    with pytest.raises(SqlError, match="no room"):
        await session.call("write", (1, 5))

    assert own.asked == []
    owner.fail_commit = None
    assert await session.call("one") == 1


async def test_a_transaction_may_not_span_the_wait(start: Open, own: Outside) -> None:
    session = await start(TOOL)

    with pytest.raises(Exception, match="met a request to the outside"):
        await session.call("inside")

    assert own.asked == []
    assert await session.call("read") == []


async def test_a_cancelled_call_stops_its_wait_and_hears_of_it(start: Open, own: Outside) -> None:
    session = await start(TOOL)
    call = asyncio.ensure_future(session.call("late"))
    await own.begun.wait()

    call.cancel()
    await asyncio.wait([call])

    assert call.cancelled()
    assert await session.call("was_stopped") is True
    assert own.cancelled == 1


async def test_a_wait_that_is_over_its_time_is_stopped_and_the_isolate_lives(
    start: Open, own: Outside
) -> None:
    session = await start(TOOL, limits={"wall": 0.05})

    with pytest.raises(WallLimit) as caught:
        await session.call("late")

    assert caught.value.survived
    assert own.cancelled == 1
    assert await session.call("one") == 1


async def test_code_that_waits_again_when_it_is_stopped_is_killed(
    start: Open, own: Outside
) -> None:
    session = await start(TOOL, limits={"wall": 0.05})

    with pytest.raises(WallLimit) as caught:
        await session.call("stubborn")

    assert not caught.value.survived
    assert not session.alive


@pytest.mark.parametrize("end", [Session.close, lambda one: one.kill(MemoryError("no more"))])
async def test_a_killed_isolate_waits_for_nothing(start: Open, own: Outside, end: Any) -> None:
    session = await start(TOOL)
    call = asyncio.ensure_future(session.call("ask", ("wait",)))
    await own.begun.wait()

    end(session)

    with pytest.raises((IsolateClosed, MemoryError)):
        await call
    await pause()
    assert own.cancelled == 1


async def test_calls_that_came_meanwhile_are_answered_after_the_wait(
    start: Open, own: Outside
) -> None:
    session = await start(TOOL)

    first, second = await asyncio.gather(session.call("ask", (1,)), session.call("one"))

    assert (first, second) == ([1, b"\xff"], 1)


async def test_waits_are_counted_and_bounded(start: Open, own: Outside) -> None:
    session = await start(TOOL, limits={"calls": 5})

    with pytest.raises(CallLimit):
        await session.call("many", (6,))


async def test_an_answer_larger_than_any_message_may_be_is_an_error(
    start: Open, own: Outside
) -> None:
    session = await start(TOOL, limits={"output": 1 << 20})

    with pytest.raises(TypeError, match="too much for one answer"):
        await session.call("ask", ("large",))


@pytest.mark.parametrize(
    "text",
    [
        '[1,1,"own",[]]',
        '[1,1,"own",["fetch",1,{}]]',
        '[1,1,"own",["fetch",[],[]]]',
        '[1,1,"own",[1,[],{}]]',
        '[1,1,"own",["fetch",[],{},0]]',
        '[1,1,"own",["fetch",[{"$":["r",0]}],{}]]',
        '[1,"1","own",["fetch",[],{}]]',
    ],
)
async def test_what_no_honest_guest_asks_kills(start: Open, own: Outside, text: str) -> None:
    session = await start(TOOL)

    with pytest.raises(ProtocolViolation):
        await session.call("raw", (text,))

    assert own.asked == []
