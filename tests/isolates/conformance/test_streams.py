"""Async generators over the boundary, both ways. Every promise in every guest language."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from typing import Any

import pytest

from actors.streams import Stream
from facets.capabilities.marked import capability
from facets.isolates.errors import IsolateClosed, NotTransferable
from facets.isolates.session import Session
from storage.errors import NotStorable
from tests.isolates.conformance.conftest import Guest, until


class Source:
    """A generator outside, and what became of it."""

    def __init__(self) -> None:
        self.made = 0
        self.closed = 0

    async def items(self, n: int) -> AsyncIterator[Any]:
        try:
            for i in range(n):
                self.made += 1
                yield [i]
        finally:
            self.closed += 1

    async def broken(self) -> AsyncIterator[Any]:
        yield 0
        yield 1
        raise LookupError("behind the items")

    async def stuck(self) -> AsyncIterator[Any]:
        try:
            yield 0
            await asyncio.Event().wait()
        finally:
            self.closed += 1


async def opened(language: Guest, **options: Any) -> Session:
    return await language.open(language.source("streams"), **options)


async def closed_inside(session: Session, times: int) -> None:
    async with asyncio.timeout(10):
        while (await session.call("progress"))[1] < times:
            await asyncio.sleep(0)


async def test_a_generator_that_goes_in_is_a_live_stream(language: Guest) -> None:
    source = Source()
    session = await opened(language, env={"items": source.items(2)}, props=[source.items(1)])

    assert await session.call("all", (source.items(40),)) == [[i] for i in range(40)]
    assert await session.call("inside", ({"a": [source.items(3)]},)) == [[0], [1], [2]]
    assert await session.call("granted") == [[[0], [1]], [[0]]]
    assert source.closed == 4


async def test_a_generator_that_comes_out_is_a_live_stream(language: Guest) -> None:
    session = await opened(language)

    stream = (await session.call("give", (40,)))["stream"][0]
    assert isinstance(stream, Stream)
    assert [item async for item in stream] == [[i] for i in range(40)]
    assert await session.call("progress") == [40, 1]


async def test_a_generator_is_an_argument_of_what_the_guest_calls(language: Guest) -> None:
    session = await opened(language)

    @capability
    async def total(items: AsyncIterator[Any]) -> int:
        return sum([item[0] async for item in items])

    assert await session.call("pass_to", (total, 5)) == 10


async def test_nothing_runs_ahead_of_who_iterates_outside(language: Guest) -> None:
    session = await opened(language)

    stream = (await session.call("give", (1000,)))["stream"][0]
    assert await session.call("progress") == [0, 0]
    assert await anext(stream) == [0]
    assert await anext(stream) == [1]
    await session.call("progress")
    assert (await session.call("progress"))[0] <= 3


async def test_little_runs_ahead_of_who_iterates_inside(language: Guest) -> None:
    session, source = await opened(language), Source()

    assert await session.call("keep", (source.items(1000),)) == [0]
    await session.call("progress")
    assert source.made <= 16


async def test_leaving_the_loop_closes_the_generator_outside(language: Guest) -> None:
    session, source = await opened(language), Source()

    assert await session.call("first", (source.items(1000), 3)) == [[0], [1], [2]]
    await until(lambda: source.closed == 1)
    assert await session.call("leave", (source.items(1000),)) == [0]
    await session.call("progress")
    gc.collect()
    await until(lambda: source.closed == 2)
    assert not len(session._serving)
    await session.call("progress")
    assert len(session._grants) == 0


async def test_closing_or_letting_go_closes_the_generator_inside(language: Guest) -> None:
    session = await opened(language)

    stream = (await session.call("give", (1000,)))["stream"][0]
    assert await anext(stream) == [0]
    await stream.aclose()
    await closed_inside(session, 1)

    stream = (await session.call("give", (1000,)))["stream"][0]
    assert await anext(stream) == [0]
    del stream
    gc.collect()
    await closed_inside(session, 2)
    assert session.pending == 0


async def test_errors_arrive_behind_the_items(language: Guest) -> None:
    session, source = await opened(language), Source()

    stream = await session.call("give_broken")
    assert [await anext(stream), await anext(stream)] == [0, 1]
    with pytest.raises(LookupError, match="behind the items"):
        await anext(stream)
    with pytest.raises(LookupError, match="behind the items"):
        await session.call("all", (source.broken(),))


async def test_cancelling_who_waits_cancels_the_generator(language: Guest) -> None:
    session, source = await opened(language), Source()

    waiting = asyncio.create_task(session.call("wait_for", (source.stuck(),)))
    await until(lambda: len(session._serving) == 1)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await until(lambda: source.closed == 1)

    stream = await session.call("give_stuck")
    assert await anext(stream) == 0
    taking = asyncio.create_task(anext(stream))
    await until(lambda: stream._items.ag_running)
    taking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await taking
    await closed_inside(session, 1)


async def test_the_end_of_the_isolate_ends_streams_on_both_sides(language: Guest) -> None:
    session, source = await opened(language), Source()
    waiting = asyncio.create_task(session.call("wait_for", (source.stuck(),)))
    untouched, begun = await session.call("give_stuck"), await session.call("give_stuck")
    assert await anext(begun) == 0
    await until(lambda: len(session._serving) == 1)
    taking = asyncio.create_task(anext(begun))
    await until(lambda: begun._items.ag_running)

    session.close()

    for ended in (waiting, taking):
        with pytest.raises(IsolateClosed):
            await ended
    with pytest.raises(PermissionError, match="ended"):
        await anext(untouched)
    await until(lambda: source.closed == 1)


async def test_a_stream_comes_back_as_what_it_was(language: Guest) -> None:
    session, source = await opened(language), Source()
    mine = (await session.call("give", (5,)))["stream"][0]

    assert await session.call("is_mine", (mine,))
    back = await session.call("echo", (source.items(3),))
    assert [item async for item in back] == [[0], [1], [2]]


async def test_a_stream_is_passed_on_from_one_isolate_to_another(language: Guest) -> None:
    one, other = await opened(language), await opened(language)

    stream = (await one.call("give", (40,)))["stream"][0]
    assert await other.call("all", (stream,)) == [[i] for i in range(40)]
    assert await one.call("progress") == [40, 1]


async def test_a_stream_is_not_data_to_be_stored(language: Guest) -> None:
    session, source = await opened(language), Source()

    with pytest.raises(NotStorable):
        await session.call("store", (source.items(1),))


async def test_what_cannot_cross_in_a_stream_says_where_it_stands(language: Guest) -> None:
    session = await opened(language)

    async def strange() -> AsyncIterator[Any]:
        yield {"a": [object()]}

    with pytest.raises(NotTransferable) as caught:
        await session.call("all", (strange(),))
    assert caught.value.path == 'item["a"][0]'
