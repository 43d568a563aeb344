"""The output gate: nothing leaves before what it depends on is durable."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from actors import Actor, LocalRuntime
from storage.errors import JournalFailed
from storage.segment import Segment


class Writer(Actor):
    async def write(self, n: int = 1) -> int:
        self.kv["n"] = n
        return n

    async def read(self) -> int:
        return self.kv.get("n", 0)

    async def fail(self) -> None:
        self.kv["n"] = 5
        await asyncio.sleep(0)
        raise ValueError

    async def items(self) -> AsyncIterator[int]:
        for i in range(3):
            self.kv["n"] = i
            yield i

    async def pass_on(self, other: Writer) -> int:
        return await other.write(9)


class Syncs:
    """Counts the journal's writes, on whatever thread, and lets one fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self.failing = False
        self.write = Segment.write
        monkeypatch.setattr(Segment, "write", lambda segment, data, at: self(segment, data, at))

    def __call__(self, segment: Segment, data: bytes, at: int) -> None:
        self.count += 1
        if self.failing:
            raise OSError("the disk said no")
        self.write(segment, data, at)


@pytest.fixture
async def syncs(runtime: LocalRuntime, monkeypatch: pytest.MonkeyPatch) -> Syncs:
    return Syncs(monkeypatch)


def durable(runtime: LocalRuntime) -> bool:
    store = runtime._open().store
    return store.durable == store.committed


async def test_a_write_is_durable_when_its_reply_arrives(
    runtime: LocalRuntime, syncs: Syncs
) -> None:
    await runtime.get(Writer, "a").write()
    assert durable(runtime)
    assert syncs.count == 1


async def test_a_read_of_durable_data_waits_for_nothing(
    runtime: LocalRuntime, syncs: Syncs
) -> None:
    writer = runtime.get(Writer, "a")
    await writer.write()
    assert await writer.read() == 1
    assert syncs.count == 1


async def test_a_crowd_shares_syncs(runtime: LocalRuntime, syncs: Syncs) -> None:
    writers = [runtime.get(Writer, str(i)) for i in range(100)]
    await asyncio.gather(*[writer.write() for writer in writers])
    assert durable(runtime)
    assert syncs.count <= 3


async def test_an_error_is_an_answer_too(runtime: LocalRuntime, syncs: Syncs) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the method's own
        await runtime.get(Writer, "a").fail()
    assert syncs.count == 1
    assert durable(runtime)


async def test_each_stream_item_is_durable_when_it_arrives(
    runtime: LocalRuntime, syncs: Syncs
) -> None:
    async for _ in runtime.get(Writer, "a").items():
        assert durable(runtime)
    assert syncs.count == 3


async def test_calls_between_actors_do_not_sync(runtime: LocalRuntime, syncs: Syncs) -> None:
    writer, other = runtime.get(Writer, "a"), runtime.get(Writer, "b")
    assert await writer.pass_on(other) == 9
    assert syncs.count == 1


async def test_a_reader_waits_for_a_write_it_saw_and_that_is_not_durable_yet(
    runtime: LocalRuntime, syncs: Syncs
) -> None:
    writer = runtime.get(Writer, "a")
    seen: list[Any] = []

    async def read() -> None:
        seen.append((await writer.read(), durable(runtime)))

    await asyncio.gather(writer.write(7), read())
    assert seen == [(7, True)]


async def test_a_failed_sync_answers_nobody_and_ends_every_actor(
    runtime: LocalRuntime, syncs: Syncs
) -> None:
    writer, other = runtime.get(Writer, "a"), runtime.get(Writer, "b")
    await other.write(3)
    syncs.failing = True
    with pytest.raises(JournalFailed):
        await writer.write()
    syncs.failing = False
    with pytest.raises(JournalFailed):
        await other.read()
    assert runtime.stats().awake == 0
