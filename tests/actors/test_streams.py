"""Async generators that are passed to other actors: live, pulled, closed with either side."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from actors import LocalRuntime, Stub
from actors.errors import FacetAborted, NotCopyable
from actors.streams import Stream
from actors.testing import VirtualClock
from facets import Actor, Start


class Maker(Actor):
    migrations = ["create table log(what text)"]

    def __init__(self) -> None:
        self.made: list[int] = []
        self.forever = asyncio.Event()

    async def items(self, n: int) -> AsyncIterator[Any]:
        try:
            for i in range(n):
                self.made.append(i)
                self.sql("insert into log values (?)", f"item {i}")
                yield [i]
            self.sql("insert into log values ('last')")
        finally:
            self.sql("insert into log values ('closed')")

    async def stuck(self) -> AsyncIterator[Any]:
        try:
            yield 0
            await self.forever.wait()
        finally:
            self.made.append(-1)

    async def broken(self) -> AsyncIterator[Any]:
        yield 0
        yield 1
        raise LookupError("behind the items")

    async def give(self, method: str, *args: Any) -> Any:
        return {"stream": [getattr(self, method)(*args)]}

    async def log(self) -> list[str]:
        return [row.what for row in self.sql("select what from log")]

    async def direct(self) -> AsyncIterator[int]:
        yield 1
        self.sql("insert into log values ('behind')")

    async def so_far(self) -> list[int]:
        return self.made


class Taker(Actor):
    migrations = ["create table got(n)"]

    async def all(self, items: AsyncIterator[Any]) -> list[Any]:
        return [item async for item in items]

    async def first(self, items: AsyncIterator[Any]) -> Any:
        async for item in items:
            return item
        return None

    async def first_of_closing(self, items: Any) -> Any:
        async with aclosing(items):
            return await anext(items)

    async def keep(self, items: AsyncIterator[Any]) -> Any:
        self.kept = items
        return await anext(items)

    async def next(self) -> Any:
        return await anext(self.kept)

    async def forget(self) -> None:
        del self.kept

    async def props_(self) -> list[Any]:
        return await self.all(self.props["items"])

    async def undone(self, items: AsyncIterator[Any]) -> None:
        async with self.facets.transaction():
            self.sql("insert into got values (?)", str(await anext(items)))
            raise KeyError("undo it")

    async def through(self, other: Stub, items: AsyncIterator[Any]) -> Any:
        return [await anext(items), await other.all(items)]


class Parent(Actor):
    """Owns a maker and a taker, and passes streams from one to the other."""

    migrations = ["create table log(what text)"]

    @property
    def maker(self) -> Any:
        return self.facets.get("maker", Maker)

    def taker(self, name: str = "taker") -> Any:
        return self.facets.get(name, Taker)

    async def numbers(self, n: int) -> AsyncIterator[int]:
        try:
            for i in range(n):
                self.sql("insert into log values (?)", str(i))
                yield i
        finally:
            self.sql("insert into log values ('closed')")

    async def down(self, n: int) -> Any:
        return await self.taker().all(self.numbers(n))

    async def down_to(self, method: str, n: int) -> Any:
        return await getattr(self.taker(), method)(self.numbers(n))

    async def across(self, method: str, *args: Any, use: str = "all") -> Any:
        given = await self.maker.give(method, *args)
        return await getattr(self.taker(), use)(given["stream"][0])

    async def reply(self) -> Any:
        return await self.taker().all(self.maker.items(3))

    async def in_props(self) -> Any:
        given = self.numbers(3)
        return await self.facets.get("p", Start(Taker, props={"items": given})).props_()

    async def relay(self) -> Any:
        given = (await self.maker.give("items", 3))["stream"][0]
        return await self.taker("one").through(self.taker("two"), given)

    async def take_next(self) -> Any:
        return await self.taker().next()

    async def drop(self) -> None:
        await self.taker().forget()

    async def abort(self, name: str) -> None:
        self.facets.abort(name, "enough")

    async def maker_log(self) -> list[str]:
        return list(await self.maker.log())

    async def log(self) -> list[str]:
        return [row.what for row in self.sql("select what from log")]

    async def made(self) -> list[int]:
        return list(await self.maker.so_far())


@pytest.fixture
async def parent(runtime: LocalRuntime) -> Any:
    return runtime.get(Parent, "p")


async def until(true: Callable[[], Any]) -> Any:
    """Give the loop turns until something is so."""
    async with asyncio.timeout(10):
        while not (found := await true()):
            await asyncio.sleep(0)
    return found


async def test_a_generator_is_a_live_stream_at_the_other_end(parent: Any) -> None:
    assert await parent.down(4) == [0, 1, 2, 3]
    assert await parent.across("items", 3) == [[0], [1], [2]]
    assert await parent.in_props() == [0, 1, 2]
    assert await parent.reply() == [[0], [1], [2]]
    assert await parent.relay() == [[0], [[1], [2]]]


async def test_it_runs_in_steps_of_the_actor_that_made_it(parent: Any) -> None:
    await parent.down(2)

    assert await parent.log() == ["0", "1", "closed"]


async def test_what_follows_the_last_item_is_committed(parent: Any) -> None:
    await parent.across("items", 1)

    assert await parent.maker_log() == ["item 0", "last", "closed"]


async def test_what_a_streaming_method_does_behind_its_last_item_is_committed(
    runtime: LocalRuntime,
) -> None:
    maker = runtime.get(Maker, "m")

    assert [item async for item in maker.direct()] == [1]
    assert await maker.log() == ["behind"]


async def test_nothing_runs_ahead_of_who_iterates(parent: Any) -> None:
    assert await parent.across("items", 1000, use="keep") == [0]

    assert await parent.made() == [0]
    assert await parent.take_next() == [1]
    assert await parent.made() == [0, 1]


async def test_closing_it_runs_its_finally(parent: Any) -> None:
    assert await parent.down_to("first_of_closing", 5) == 0

    assert await parent.log() == ["0", "closed"]


async def test_letting_go_of_it_closes_it(parent: Any) -> None:
    assert await parent.down_to("first", 5) == 0
    await parent.across("items", 5, use="keep")
    await parent.drop()
    gc.collect()

    assert await until(lambda: _closed(parent.log))
    assert await until(lambda: _closed(parent.maker_log))


async def _closed(log: Any) -> bool:
    return "closed" in await log()


async def test_an_error_arrives_behind_the_items(parent: Any) -> None:
    with pytest.raises(LookupError, match="behind the items"):
        await parent.across("broken")
    assert await parent.across("broken", use="keep") == 0
    assert await parent.take_next() == 1
    with pytest.raises(LookupError, match="behind the items"):
        await parent.take_next()


async def test_a_cancelled_taker_cancels_the_maker_where_it_awaits(parent: Any) -> None:
    taking = asyncio.create_task(_all(parent.across("stuck")))
    await until(lambda: _waiting(parent))
    taking.cancel()

    with pytest.raises(asyncio.CancelledError):
        await taking
    assert await parent.made() == [-1]


async def _all(reply: Any) -> Any:
    return await reply


async def _waiting(parent: Any) -> bool:
    node = parent._node.children.get("maker")
    return bool(node and node.activation and node.activation.suspended)


async def test_a_stream_whose_maker_ended_raises_the_reason(parent: Any) -> None:
    await parent.across("items", 5, use="keep")
    await parent.abort("maker")

    with pytest.raises(FacetAborted, match="enough"):
        await parent.take_next()
    taking = asyncio.create_task(_all(parent.across("stuck")))
    await until(lambda: _waiting(parent))
    await parent.abort("maker")
    with pytest.raises(FacetAborted, match="enough"):
        await taking


async def test_a_stream_whose_taker_ended_is_closed(parent: Any) -> None:
    await parent.across("items", 5, use="keep")
    await parent.abort("taker")

    assert await until(lambda: _closed(parent.maker_log))
    taking = asyncio.create_task(_all(parent.across("stuck")))
    await until(lambda: _waiting(parent))
    await parent.abort("taker")
    with pytest.raises(FacetAborted):
        await taking
    assert (await parent.made())[-1] == -1


async def test_what_it_writes_belongs_to_the_transaction_of_who_asks(parent: Any) -> None:
    with pytest.raises(KeyError, match="undo it"):
        await parent.across("items", 3, use="undone")

    assert "item 0" not in await parent.maker_log()


async def test_an_actor_whose_stream_is_held_stays_awake(state: Path, clock: VirtualClock) -> None:
    async with LocalRuntime(state, clock=clock, idle=10) as runtime:
        stub = runtime.get(Maker, "m")
        stream = (await stub.give("items", 5))["stream"][0]
        assert await anext(stream) == [0]

        for _ in range(5):
            await clock.run(60)
        assert await anext(stream) == [1]
        await stream.aclose()
        for _ in range(5):
            await clock.run(60)
        assert stub._node.activation is None
        with pytest.raises(FacetAborted):
            await anext(stream)


async def test_scripts_give_and_take_streams(runtime: LocalRuntime) -> None:
    taker, maker = runtime.get(Taker, "t"), runtime.get(Maker, "m")
    events: list[str] = []

    async def mine() -> AsyncIterator[Any]:
        try:
            yield [1]
            yield await maker.log()
        finally:
            events.append("closed")

    assert await taker.all(mine()) == [[1], []]
    assert await taker.first_of_closing(mine()) == [1]
    assert events == ["closed", "closed"]
    stream = (await maker.give("items", 2))["stream"][0]
    assert isinstance(stream, Stream)
    assert [item async for item in stream] == [[0], [1]]


async def test_items_are_copied(runtime: LocalRuntime) -> None:
    shared: list[int] = []

    async def mine() -> AsyncIterator[Any]:
        yield shared
        yield asyncio.Lock()

    async def locks() -> AsyncIterator[Any]:
        yield {"a": [gc.collect, (i for i in ())]}

    got = await runtime.get(Taker, "t").all(mine())
    assert got[0] is not shared
    with pytest.raises(NotCopyable) as caught:
        await runtime.get(Taker, "t").all(locks())
    assert caught.value.path == 'item["a"][1]'


async def test_a_call_that_nobody_awaited_is_refused(runtime: LocalRuntime) -> None:
    taker, maker = runtime.get(Taker, "t"), runtime.get(Maker, "m")

    forgotten = maker.log()
    with pytest.raises(NotCopyable, match="was called and not awaited"):
        taker.all([forgotten])
    forgotten.close()


async def test_an_open_stream_leaves_nothing_behind_when_it_is_closed(
    runtime: LocalRuntime,
) -> None:
    taker, maker = runtime.get(Taker, "t"), runtime.get(Maker, "m")
    for _ in range(20):
        await taker.first_of_closing((await maker.give("items", 3))["stream"][0])
        await taker.first((await maker.give("items", 3))["stream"][0])
    gc.collect()
    for _ in range(5):
        await asyncio.sleep(0)

    for stub in (taker, maker):
        activation = stub._node.activation
        assert not activation.on_end
        assert not activation.lent


def test_plain_code_iterates_a_stream_that_it_was_given(state: Path) -> None:
    class Giver(Maker):
        async def rows(self, n: int) -> Any:
            return self.items(n)

    async def mine() -> AsyncIterator[int]:
        yield 1

    with LocalRuntime(state).blocking() as runtime:
        giver: Any = runtime.get(Giver, "g")
        assert list(giver.rows(2)) == [[0], [1]]
        assert next(giver.rows(2)) == [0]
        assert runtime.get(Taker, "t").all(mine()) == [1]
