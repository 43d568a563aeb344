"""A long message is read on a thread, while the loop and everyone else go on."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import tracemalloc
from types import SimpleNamespace
from typing import Any

import pytest

from facets import capability
from facets.isolates import reading
from facets.isolates.codec import PAUSE
from facets.isolates.errors import HostMemoryLimit, IsolateClosed, ProtocolViolation
from facets.isolates.held import weigh
from facets.isolates.reading import LARGE, Aside, Reader
from facets.isolates.workers import reader
from tests.isolates.conftest import Open
from tests.isolates.fake import Owner

pytestmark = [pytest.mark.usefixtures("healthy"), pytest.mark.timeout(120)]

TOOL = """
import asyncio
from facets import Actor
from isolate import capabilities
COUNT = 30_000
def much(): return [(i,) for i in range(COUNT)]
class Tool(Actor):
    async def small(self): return "small"
    async def result(self): return much()
    async def items(self):
        yield "first"
        yield much()
    async def argument(self, cap): return await cap(much())
    async def stored(self):
        self.kv["before"] = 1
        self.kv["much"] = much()
        self.kv["after"] = 1
    async def read(self): return len(self.kv["much"])
    async def refused(self):
        try: self.kv["much"]
        except BaseException as error: return type(error).__name__
    async def service(self, cap): return await asyncio.gather(cap(much()), cap(2), cap(much()))
    async def lie(self):
        capabilities._current[0]._calls.out.append('["ok",7,[' + "[]," * 100_000 + '{"$":[]}]]')
"""
COUNT = 30_000


class Held:
    """Holds what is read, in its first pause, until the loop lets it go on."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.go_on = threading.Event()
        self.pauses = 0
        self.threads: set[int] = set()

    def pause(self, aside: Aside) -> None:
        self.pauses += 1
        self.threads.add(threading.get_ident())
        self.begun.set()
        assert self.go_on.wait(60)

    async def reading(self) -> None:
        """Return when the thread is in the midst of a message."""
        while not self.begun.is_set():
            await asyncio.sleep(0)


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Held:
    held, pause = Held(), Aside._pause

    def pausing(self: Aside) -> None:
        held.pause(self)
        pause(self)

    monkeypatch.setattr(Aside, "_pause", pausing)
    return held


@capability
async def count(value: Any) -> int:
    return len(value) if isinstance(value, list) else int(value)


async def last(items: Any) -> Any:
    return [item async for item in items][-1]


@pytest.mark.parametrize("what", ["result", "items", "argument", "stored"])
async def test_the_loop_and_other_isolates_go_on_while_a_message_is_read(
    start: Open, owner: Owner, held: Held, what: str
) -> None:
    session, other = await start(TOOL), await start(TOOL, services=Owner())
    made = (
        last(session.stream("items")) if what == "items"
        else session.call(what, (count,) if what == "argument" else ())
    )  # fmt: skip
    call = asyncio.ensure_future(made)
    await held.reading()

    assert await other.call("small") == "small"
    assert not call.done()
    held.go_on.set()

    result = await call
    if what == "stored":
        assert owner._kv_get("much") == [(i,) for i in range(COUNT)]
    else:
        assert result == (COUNT if what == "argument" else [(i,) for i in range(COUNT)])
    assert threading.get_ident() not in held.threads
    assert held.pauses > COUNT // PAUSE


async def test_they_go_on_while_a_long_result_of_storage_is_made_ready(
    start: Open, owner: Owner, held: Held
) -> None:
    owner._kv_set("much", [(i,) for i in range(COUNT)])
    session, other = await start(TOOL), await start(TOOL, services=Owner())
    call = asyncio.ensure_future(session.call("read"))
    await held.reading()

    assert await other.call("small") == "small"
    assert not call.done()
    held.go_on.set()
    assert await call == COUNT
    assert threading.get_ident() not in held.threads
    assert held.pauses >= COUNT // PAUSE
    assert owner.events == ["kv", "commit"]


async def test_a_long_result_that_cannot_cross_is_refused_as_a_short_one_is(
    start: Open, owner: Owner
) -> None:
    owner._kv_set("much", [*([()] * COUNT), Owner])
    session = await start(TOOL)

    assert await session.call("refused") == "NotStorable"


async def test_a_step_with_a_long_operation_in_it_is_one_commit(
    start: Open, owner: Owner, held: Held
) -> None:
    session = await start(TOOL)
    call = asyncio.ensure_future(session.call("stored"))
    await held.reading()
    assert owner.events == ["kv"]
    held.go_on.set()
    await call

    assert owner.events == ["kv", "kv", "kv", "commit"]


async def test_what_is_said_after_a_long_message_is_heard_after_it(
    start: Open, owner: Owner
) -> None:
    session = await start(TOOL)
    first, second = session.call("service", (count,)), session.call("small")

    assert await asyncio.gather(first, second) == [[COUNT, 2, COUNT], "small"]
    assert [len(asked.args[0]) if asked.args[0] != 2 else 2 for asked in owner.asked] == [
        COUNT, 2, COUNT,
    ]  # fmt: skip


@pytest.mark.parametrize("what", ["result", "stored"])
async def test_an_isolate_can_be_killed_while_its_message_is_read(
    start: Open, owner: Owner, held: Held, what: str
) -> None:
    session = await start(TOOL)
    call = asyncio.ensure_future(session.call(what))
    await held.reading()
    session.kill(IsolateClosed("enough"))
    held.go_on.set()

    with pytest.raises(IsolateClosed, match="enough"):
        await call
    await asyncio.wrap_future(reader().submit(int))
    assert held.pauses == 1
    assert "commit" not in owner.events


async def test_who_is_cancelled_while_its_answer_is_read_is_so_at_once(
    start: Open, held: Held
) -> None:
    session = await start(TOOL)
    call = asyncio.ensure_future(session.call("result"))
    await held.reading()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    after = asyncio.ensure_future(session.call("small"))
    held.go_on.set()

    assert await after == "small"
    assert session.pending == 0


async def test_a_long_lie_kills_as_a_short_one_does(start: Open, owner: Owner) -> None:
    session = await start(TOOL)
    with pytest.raises(ProtocolViolation):
        await session.call("lie")
    assert [type(death) for death in owner.deaths] == [ProtocolViolation]


async def test_the_time_that_a_message_takes_to_read_is_the_guests(
    start: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await start(TOOL)
    seconds = iter(range(0, 10**6, 1000)).__next__
    monkeypatch.setattr(reading, "time", SimpleNamespace(thread_time=seconds, sleep=time.sleep))
    await session.call("result")

    assert session._runner.cpu >= 1000


@pytest.mark.parametrize("enabled", [True, False])
async def test_garbage_is_collected_afterwards_as_before(start: Open, enabled: bool) -> None:
    session = await start(TOOL)
    was = gc.isenabled()
    try:
        (gc.enable if enabled else gc.disable)()
        await session.call("result")
        assert gc.isenabled() is enabled
    finally:
        (gc.enable if was else gc.disable)()


UNITS = [
    b"1", b"123456789", b'"abcd"', b"[]", b"[1]", b"[1000,2000,3000]", b"{}", b'{"a":1}',
    b'{"a":1,"b":2,"c":3,"d":4,"e":5,"f":6}', b'{"$":["t",[]]}', b'{"$":["e",[]]}',
    b'{"$":["o","",{}]}', b'{"$":["w",[],[]]}', b'{"$":["D","1"]}', b'{"$":["da","2020-01-01"]}',
]  # fmt: skip


@pytest.mark.parametrize("unit", UNITS)
def test_no_message_takes_more_memory_than_it_weighs(unit: bytes) -> None:
    frame = b'[["ok",1,[%s]]]' % b",".join([unit] * (LARGE // 4 // len(unit)))
    # One tagged value is enough for all of them to be made again.
    frame = frame.replace(b"[", b'[["sleep",{"$":["n","1"]}],', 1)
    found = Reader(None, 1 << 40)  # type: ignore[arg-type]
    tracemalloc.start()
    messages = found.outbox(frame)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert len(messages) == 2
    weigh(frame, 8 * peak)  # nor is it so much less that honest messages would be refused
    with pytest.raises(HostMemoryLimit):
        weigh(frame, peak)
