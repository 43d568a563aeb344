"""The gate when writes fail, callers leave, and the runtime closes: nobody waits for ever."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from actors import Actor, LocalRuntime
from storage.errors import JournalFailed, StorageError
from storage.limits import JournalLimits
from storage.segment import Segment

SMALL = JournalLimits(segment=64 << 10, size=128 << 10, backlog=1 << 20)


class Writer(Actor, kind="GateWriter"):
    async def write(self, n: int, size: int = 1) -> int:
        self.kv[str(n % 7)] = b"x" * size
        self.kv["n"] = n
        return n

    async def read(self) -> int:
        return int(self.kv.get("n", 0))


class SlowDisk:
    """Writes of the journal happen on its thread, and wait there until they are let go."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.reached, self.go = threading.Event(), threading.Event()
        self.failing = False
        self.write = Segment.write
        patch.setattr("actors.gate.SLOW", 0.0)
        patch.setattr(Segment, "write", lambda segment, data, at: self(segment, data, at))

    def __call__(self, segment: Segment, data: bytes, at: int) -> None:
        self.reached.set()
        assert self.go.wait(30)
        if self.failing:
            raise OSError("the disk said no")
        self.write(segment, data, at)

    async def here(self) -> None:
        assert await asyncio.to_thread(self.reached.wait, 30)


@pytest.fixture
async def slow(runtime: LocalRuntime, monkeypatch: pytest.MonkeyPatch) -> SlowDisk:
    return SlowDisk(monkeypatch)


def start(runtime: LocalRuntime, name: str, n: int) -> asyncio.Task[int]:
    return asyncio.ensure_future(runtime.get(Writer, name).write(n))


async def turns(count: int = 20) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_a_failed_write_is_told_to_those_behind_it_too(
    runtime: LocalRuntime, slow: SlowDisk
) -> None:
    flying = start(runtime, "a", 1)
    await slow.here()
    behind = [start(runtime, name, 2) for name in "bcd"]
    await turns()
    slow.failing = True
    slow.go.set()

    async with asyncio.timeout(20):
        outcomes = await asyncio.gather(flying, *behind, return_exceptions=True)
    assert [type(one) for one in outcomes] == [JournalFailed] * 4


async def test_a_caller_that_is_cancelled_takes_nobody_along(
    runtime: LocalRuntime, slow: SlowDisk
) -> None:
    flying = start(runtime, "a", 1)
    await slow.here()
    first, second = start(runtime, "b", 2), start(runtime, "c", 3)
    await turns()
    first.cancel()
    flying.cancel()
    await turns()
    slow.go.set()

    async with asyncio.timeout(20):
        assert await second == 3
        outcomes = await asyncio.gather(flying, first, return_exceptions=True)
    assert all(isinstance(one, asyncio.CancelledError) for one in outcomes)
    assert await runtime.get(Writer, "b").read() == 2


async def test_whatever_goes_wrong_when_a_write_lands_is_told(
    runtime: LocalRuntime, slow: SlowDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = runtime._open().store

    def broken() -> None:
        type(store).settle(store)
        raise ZeroDivisionError

    monkeypatch.setattr(store, "settle", broken)
    flying = start(runtime, "a", 1)
    await slow.here()
    slow.go.set()

    async with asyncio.timeout(20):
        with pytest.raises(ZeroDivisionError):
            await flying


async def test_a_batch_on_its_way_lands_before_the_runtime_is_closed(
    runtime: LocalRuntime, slow: SlowDisk, state: Path
) -> None:
    flying = start(runtime, "a", 1)
    await slow.here()
    behind = start(runtime, "b", 2)
    await turns()
    closing = asyncio.ensure_future(runtime.close())
    await turns(200)
    assert not closing.done()
    slow.go.set()

    async with asyncio.timeout(20):
        await closing
        await asyncio.gather(flying, behind, return_exceptions=True)
    async with LocalRuntime(state) as again:
        assert await again.get(Writer, "a").read() == 1
        assert await again.get(Writer, "b").read() == 2


async def test_a_journal_that_failed_tells_a_crowd_that_forms_afterwards(
    runtime: LocalRuntime, slow: SlowDisk
) -> None:
    gate, store = runtime._open().gate, runtime._open().store
    slow.failing = True
    slow.go.set()
    with pytest.raises(JournalFailed):
        await start(runtime, "a", 1)

    async with asyncio.timeout(20):
        with pytest.raises(JournalFailed):
            await gate.passed(store.committed)


async def test_an_error_behind_work_aside_leaves_nobody_waiting_for_room(
    runtime: LocalRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = runtime._open()
    said: list[Any] = []
    host.loop.set_exception_handler(lambda _loop, context: said.append(context["exception"]))
    full = True
    monkeypatch.setattr(type(host.store), "congested", property(lambda _: full))
    monkeypatch.setattr(type(host.store), "makes_room", property(lambda _: True))
    waiting = asyncio.ensure_future(host.gate.room())
    await turns()

    def done(_: object, error: Exception | None) -> None:
        nonlocal full
        full = False
        raise ZeroDivisionError

    host._run_aside(lambda: None, done)
    async with asyncio.timeout(20):
        await waiting
    assert [type(one) for one in said] == [ZeroDivisionError]


async def test_writers_go_on_while_nothing_can_be_moved_out_of_the_journal(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with LocalRuntime(state, journal=SMALL) as runtime:
        with monkeypatch.context() as patch:

            def refuse(*_: object) -> None:
                raise StorageError("no room for history")

            patch.setattr("storage.history.log.TreeLog.append", refuse)
            writer = runtime.get(Writer, "a")
            async with asyncio.timeout(30):
                for n in range(30):
                    assert await writer.write(n, 20_000) == n
        assert runtime.stats().storage["journal"] > SMALL.size
        for n in range(30, 40):
            await writer.write(n, 20_000)
        while runtime._open()._aside:
            await asyncio.wait(runtime._open()._aside)
        await writer.write(1)
        assert not runtime.stats().storage["refused"]
