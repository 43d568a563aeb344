"""Shared methods: they see one moment of their actor while it goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from actors import Actor, LocalRuntime
from actors.errors import EffectInTransaction
from actors.shared import shared
from actors.testing import VirtualClock
from actors.transaction import Block
from storage.errors import ReadOnly

DOORS: dict[str, asyncio.Event] = {}


class Book(Actor):
    migrations = ("create table lines(n integer)",)

    async def add(self, n: int) -> None:
        self.sql("insert into lines values (?)", n)
        self.kv["newest"] = n
        self.fs.write_text("/newest", str(n))

    @shared
    async def read(self) -> tuple[int, Any, Any]:
        newest = self.fs.read_text("/newest") if self.fs.exists("/newest") else None
        return (self.count(), self.kv.get("newest"), newest)

    def count(self) -> int:
        return int(self.sql("select count(*) from lines").value())

    @shared
    async def read_twice(self, door: str) -> tuple[int, int, int]:
        before = self.count()
        DOORS["reading"].set()
        await DOORS[door].wait()
        inside = await asyncio.gather(self._count_in_task())
        return before, self.count(), inside[0]

    async def _count_in_task(self) -> int:
        await asyncio.sleep(0)
        return self.count()

    @shared
    async def lines(self) -> AsyncIterator[int]:
        for row in self.sql("select n from lines order by n"):
            yield row[0] * 1000 + self.count()

    @shared
    async def write(self, how: str) -> None:
        if how == "sql":
            self.sql("insert into lines values (1)")
        elif how == "kv":
            self.kv["x"] = 1
        elif how == "fs":
            self.fs.write_text("/x", "x")
        elif how == "timer":
            self.timers.after(5, "add", 1)
        elif how == "part":
            with self.transaction():
                self.sql("insert into lines values (1)")
        elif how == "task":
            await asyncio.gather(self._write())

    async def _write(self) -> None:
        self.sql("insert into lines values (1)")

    async def add_and_read(self, n: int) -> tuple[int, Any, Any]:
        self.sql("insert into lines values (?)", n)
        return await self.read()

    @shared
    async def through(self, other: Book, me: Book, n: int) -> tuple[int, int]:
        await other.add(n)
        await me.add(n)
        return self.count(), (await other.read())[0]

    @shared
    async def fail(self) -> None:
        raise LookupError("shared")

    async def plan(self, methods: list[str]) -> None:
        for method in methods:
            self.timers.after(1, method, *(["sql"] if method == "write" else []))

    async def failed(self) -> list[str]:
        return [str(one.error) for one in self.timers.list()]

    async def in_a_transaction(self, me: Book) -> None:
        async with Block(5):
            await me.read()


async def test_it_reads_what_was_committed_when_it_began(runtime: LocalRuntime) -> None:
    book = runtime.get(Book, "a")
    assert await book.read() == (0, None, None)
    await book.add(7)
    assert await book.read() == (1, 7, "7")


async def test_it_goes_on_seeing_that_moment_while_others_write(runtime: LocalRuntime) -> None:
    DOORS.update(reading=asyncio.Event(), open=asyncio.Event())
    book = runtime.get(Book, "a")
    await book.add(1)
    reading = asyncio.create_task(book.read_twice("open"))
    await DOORS["reading"].wait()
    for n in range(5):
        await book.add(n)
    assert (await book.read())[0] == 6
    DOORS["open"].set()

    assert await reading == (1, 1, 1)
    assert (await book.read())[0] == 6


@pytest.mark.parametrize("how", ["sql", "kv", "fs", "timer", "part", "task"])
async def test_it_writes_nothing(runtime: LocalRuntime, how: str) -> None:
    book = runtime.get(Book, "a")
    await book.add(1)
    with pytest.raises(ReadOnly):
        await book.write(how)
    assert await book.read() == (1, 1, "1")
    await book.add(2)
    assert await book.read() == (2, 2, "2")


async def test_its_items_are_all_of_one_moment(runtime: LocalRuntime) -> None:
    book = runtime.get(Book, "a")
    for n in (1, 2, 3):
        await book.add(n)
    seen = []
    async for item in book.lines():
        seen.append(item)
        await book.add(9)
    assert seen == [1003, 2003, 3003]


async def test_called_by_the_actor_itself_it_is_part_of_that_step(runtime: LocalRuntime) -> None:
    assert (await runtime.get(Book, "a").add_and_read(1))[0] == 1


async def test_what_it_calls_writes_as_ever(runtime: LocalRuntime) -> None:
    book, other = runtime.get(Book, "a"), runtime.get(Book, "b")
    assert await book.through(other, book, 5) == (0, 1)
    assert await book.read() == (1, 5, "5")


async def test_a_timer_that_calls_it_is_told_apart(
    runtime: LocalRuntime, clock: VirtualClock
) -> None:
    book = runtime.get(Book, "a")
    await book.plan(["write", "read"])
    await clock.run(2)
    (failed,) = await book.failed()
    assert failed.startswith("ReadOnly")
    assert (await book.read())[0] == 0


async def test_it_has_no_place_in_a_transaction(runtime: LocalRuntime) -> None:
    book = runtime.get(Book, "a")
    with pytest.raises(EffectInTransaction, match="before the block"):
        await book.in_a_transaction(book)


@pytest.mark.parametrize("way", ["fails", "cancelled", "deleted", "stream left"])
async def test_however_it_ends_it_holds_nothing(runtime: LocalRuntime, way: str) -> None:
    DOORS.update(reading=asyncio.Event(), never=asyncio.Event())
    book = runtime.get(Book, "a")
    await book.add(1)
    if way == "fails":
        with pytest.raises(LookupError):
            await book.fail()
    elif way == "stream left":
        items = aiter(book.lines())
        await anext(items)
        await items.aclose()  # type: ignore[attr-defined]
    else:
        reading = asyncio.create_task(book.read_twice("never"))
        await DOORS["reading"].wait()
        if way == "cancelled":
            reading.cancel()
        else:
            await runtime.delete(Book, "a")
        await asyncio.gather(reading, return_exceptions=True)
    assert not any(one.held for one in runtime.host.store.databases.live.values())
    assert (await book.read())[0] == (0 if way == "deleted" else 1)


class Calendar(Actor):
    seen: ClassVar[list[int]] = []

    async def plan(self, method: str) -> None:
        self.kv["n"] = 1
        self.timers.after(1, method, name="look")

    async def set(self, n: int) -> None:
        self.kv["n"] = n

    @shared
    async def look(self) -> None:
        self.seen.append(self.kv["n"])
        await DOORS["looking"].wait()
        self.seen.append(self.kv["n"])

    @shared
    async def write(self) -> None:
        self.kv["n"] = 2

    async def said(self) -> tuple[int, list[str | None]]:
        return self.kv["n"], [one.error for one in self.timers.list()]


async def test_a_timer_may_call_a_shared_method_which_sees_one_moment(state: Path) -> None:
    clock, DOORS["looking"] = VirtualClock(), asyncio.Event()
    Calendar.seen.clear()
    async with LocalRuntime(state, clock=clock) as runtime:
        one = runtime.get(Calendar, "a")
        await one.plan("look")
        await clock.run(2)
        await one.set(5)
        DOORS["looking"].set()
        await clock.run(1)

        assert Calendar.seen == [1, 1]
        assert await one.said() == (5, [])


async def test_a_shared_method_that_a_timer_calls_cannot_write_either(state: Path) -> None:
    clock = VirtualClock()
    async with LocalRuntime(state, clock=clock) as runtime:
        one = runtime.get(Calendar, "a")
        await one.plan("write")
        await clock.run(1)

        n, (error,) = await one.said()
        assert n == 1
        assert error is not None
        assert error.startswith("ReadOnly")
