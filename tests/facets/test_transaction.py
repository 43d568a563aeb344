"""A transaction over a parent and its facets: all of it is kept, or none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from actors.testing import VirtualClock
from facets import Actor, LocalRuntime
from facets.errors import (
    ConstraintError,
    EffectInTransaction,
    TransactionFailed,
    TransactionTimeout,
)
from storage import Store

TOOL = """
import asyncio
from facets import Actor

class Tool(Actor):
    migrations = [
        "create table t(n integer primary key)",
        "create table par(i integer primary key)",
        "create table ch(p references par(i) deferrable initially deferred)",
    ]

    async def add(self, n):
        self.sql("insert into t values (?)", n)
        return n

    async def add_slowly(self, n):
        self.sql("insert into t values (?)", n)
        await asyncio.sleep(0)
        self.sql("insert into t values (?)", n + 1)

    async def orphan(self):
        self.sql("insert into ch values (7)")

    async def fail(self, n):
        self.sql("insert into t values (?)", n)
        raise ValueError(n)

    async def all(self):
        return [row[0] for row in self.sql("select n from t order by n")]
"""
namespace: dict[str, Any] = {"__name__": __name__}
exec(TOOL, namespace)
Tool: Any = namespace["Tool"]


class Bank(Actor, kind="Bank"):
    def tool(self, name: str) -> Any:
        if name.startswith("isolate"):
            return self.facets.get(name, self.isolates.get(TOOL).actor("Tool"))
        return self.facets.get(name, Tool)

    async def all(self, name: str) -> list[int]:
        return await self.tool(name).all()  # type: ignore[no-any-return]

    async def both(self, a: str, b: str, n: int, fail: bool = False) -> None:
        async with self.facets.transaction():
            self.kv["n"] = n
            await self.tool(a).add(n)
            await self.tool(b).add_slowly(n)
            self.kv["done"] = n
            if fail:
                raise ValueError("no")

    async def seen(self) -> tuple[Any, Any]:
        return self.kv.get("n"), self.kv.get("done")

    async def catches(self, a: str) -> None:
        async with self.facets.transaction():
            await self.tool(a).add(1)
            with pytest.raises(ValueError, match="2"):
                await self.tool(a).fail(2)
            await self.tool(a).add(3)

    async def orphans(self, a: str, b: str) -> None:
        async with self.facets.transaction():
            await self.tool(a).add(1)
            await self.tool(b).orphan()

    async def aborts(self, a: str) -> None:
        async with self.facets.transaction():
            self.kv["n"] = 1
            await self.tool(a).add(1)
            self.facets.abort(a)

    async def deletes(self, a: str) -> None:
        async with self.facets.transaction():
            self.facets.delete(a)

    async def never(self) -> None:
        async with self.facets.transaction(0.01):
            self.kv["n"] = 1
            await asyncio.Event().wait()

    async def inner_fails(self) -> None:
        async with self.facets.transaction():
            self.kv["n"] = 1
            try:
                async with self.facets.transaction():
                    self.kv["n"] = 2
                    raise KeyError("inner")
            except KeyError:
                pass

    async def stream(self) -> AsyncIterator[int]:
        async with self.facets.transaction():
            self.kv["n"] = 1
            yield 1

    async def after(self) -> Any:
        async with self.facets.transaction():
            self.kv["n"] = 1
        self.kv["n"] = 2
        raise ValueError("the step after the block")

    async def reach(self, other: Any) -> None:
        async with self.facets.transaction():
            await other.seen()


@pytest.fixture
async def bank(runtime: LocalRuntime) -> Bank:
    return runtime.get(Bank, "a")


PAIRS = [("x", "y"), ("isolate-x", "y"), ("x", "isolate-y"), ("isolate-x", "isolate-y")]


@pytest.mark.parametrize(("a", "b"), PAIRS)
async def test_everything_written_inside_is_kept(bank: Bank, a: str, b: str) -> None:
    await bank.both(a, b, 5)

    assert (await bank.all(a), await bank.all(b)) == ([5], [5, 6])
    assert await bank.seen() == (5, 5)


@pytest.mark.parametrize(("a", "b"), PAIRS)
async def test_an_exception_undoes_everything(bank: Bank, a: str, b: str) -> None:
    await bank.both(a, b, 1)

    with pytest.raises(ValueError, match="no"):
        await bank.both(a, b, 5, True)

    assert (await bank.all(a), await bank.all(b)) == ([1], [1, 2])
    assert await bank.seen() == (1, 1)
    await bank.both(a, b, 8)
    assert await bank.all(b) == [1, 2, 8, 9]


async def test_one_record_holds_all_of_it(runtime: LocalRuntime, bank: Bank) -> None:
    await bank.both("x", "y", 1)
    store: Store = runtime._open().store
    before = store.committed

    await bank.both("x", "y", 7)

    assert store.committed == before + 1


@pytest.mark.parametrize("a", ["x", "isolate-x"])
async def test_a_step_that_raises_undoes_itself_and_the_block_goes_on(bank: Bank, a: str) -> None:
    await bank.catches(a)

    assert await bank.all(a) == [1, 3]


@pytest.mark.parametrize(("a", "b"), PAIRS)
async def test_a_participant_that_cannot_commit_undoes_all(bank: Bank, a: str, b: str) -> None:
    with pytest.raises(ConstraintError):
        await bank.orphans(a, b)

    assert await bank.all(a) == []


async def test_a_participant_that_is_aborted_fails_the_block(bank: Bank) -> None:
    with pytest.raises(TransactionFailed):
        await bank.aborts("x")

    assert await bank.all("x") == []
    assert await bank.seen() == (None, None)


async def test_deleting_inside_is_refused(bank: Bank) -> None:
    await bank.both("x", "y", 1)
    with pytest.raises(EffectInTransaction):
        await bank.deletes("x")

    assert await bank.all("x") == [1]


async def test_a_block_that_takes_too_long_is_undone(bank: Bank, clock: VirtualClock) -> None:
    waiting = asyncio.ensure_future(bank.never())
    await clock.run(0.02)
    with pytest.raises(TransactionTimeout):
        await waiting

    assert await bank.seen() == (None, None)


async def test_an_inner_block_that_fails_fails_the_outer_one(bank: Bank) -> None:
    with pytest.raises(TransactionFailed):
        await bank.inner_fails()

    assert await bank.seen() == (None, None)


async def test_a_stream_item_may_not_leave_from_inside(bank: Bank) -> None:
    with pytest.raises(EffectInTransaction):
        async for _ in bank.stream():
            pass

    assert await bank.seen() == (None, None)


async def test_what_follows_the_block_is_a_step_of_its_own(bank: Bank) -> None:
    with pytest.raises(ValueError, match="after"):
        await bank.after()

    assert await bank.seen() == (1, None)


async def test_another_runtime_cannot_take_part(bank: Bank, tmp_path: Path) -> None:
    async with LocalRuntime(tmp_path / "other") as other:
        with pytest.raises(EffectInTransaction):
            await bank.reach(other.get(Bank, "b"))


class Holder(Bank, kind="Holder"):
    async def hold(self, name: str) -> None:
        async with self.facets.transaction():
            await self.tool(name).add(1)
            DOORS["entered"].set()
            await DOORS["leave"].wait()
            await self.tool(name).add(2)

    async def all_directly(self, name: str) -> list[int]:
        return await self.tool(name).all()  # type: ignore[no-any-return]


DOORS: dict[str, asyncio.Event] = {}


@pytest.mark.parametrize("name", ["x", "isolate-x"])
async def test_other_calls_wait_until_the_end(runtime: LocalRuntime, name: str) -> None:
    DOORS.update(entered=asyncio.Event(), leave=asyncio.Event())
    holder = runtime.get(Holder, "a")
    held = asyncio.create_task(holder.hold(name))
    await DOORS["entered"].wait()
    other = asyncio.create_task(holder.all_directly(name))
    for _ in range(20):
        await asyncio.sleep(0)
    assert not other.done()

    DOORS["leave"].set()

    await held
    assert await other == [1, 2]


@pytest.mark.parametrize("name", ["x", "isolate-x"])
async def test_a_cancellation_waits_for_the_end_of_the_block(
    runtime: LocalRuntime, name: str
) -> None:
    DOORS.update(entered=asyncio.Event(), leave=asyncio.Event())
    holder = runtime.get(Holder, "a")
    held = asyncio.create_task(holder.hold(name))
    await DOORS["entered"].wait()

    held.cancel()
    for _ in range(20):
        await asyncio.sleep(0)
    assert not held.done()
    DOORS["leave"].set()
    with pytest.raises(asyncio.CancelledError):
        await held

    assert await holder.all_directly(name) == [1, 2]


async def test_a_cancelled_block_is_undone_when_its_time_is_over(
    runtime: LocalRuntime, clock: VirtualClock
) -> None:
    DOORS.update(entered=asyncio.Event(), leave=asyncio.Event())
    holder = runtime.get(Holder, "a")
    held = asyncio.create_task(holder.hold("x"))
    await DOORS["entered"].wait()

    held.cancel()
    clock.advance(5)
    with pytest.raises(asyncio.CancelledError):
        await held

    assert await holder.all_directly("x") == []


async def test_a_transaction_may_call_an_actor_that_waits_for_the_one_that_opened_it(
    state: Path,
) -> None:
    class Above(Actor):
        async def start(self) -> None:
            await self.facets.get("below", Below).run(self.facets.get("below", Below))

        async def note(self, what: str) -> None:
            self.kv[what] = 1

        async def notes(self) -> list[str]:
            return list(self.kv)

    class Below(Actor):
        async def run(self, itself: Any) -> None:
            async with self.facets.transaction():
                await self.parent.note("a")
                await asyncio.sleep(0)
                await self.parent.note("b")

    async with LocalRuntime(state) as runtime:
        above = runtime.get(Above, "a")
        await asyncio.wait_for(above.start(), 5)
        assert await above.notes() == ["a", "b"]


COUNTING = """
from facets import Actor

class Tool(Actor):
    migrations = ["create table t(n)"]
    async def give(self, n): return self.count(n)
    async def count(self, n):
        for i in range(n):
            self.sql("insert into t values (?)", i)
            yield i
    async def rows(self): return [row.n for row in self.sql("select n from t")]
"""


@pytest.mark.parametrize("given", [True, False], ids=["given", "called"])
async def test_an_open_stream_of_an_isolate_does_not_hold_a_block_up(
    runtime: LocalRuntime, given: bool
) -> None:
    class Reader(Actor):
        async def read(self) -> list[Any]:
            tool: Any = self.facets.get("tool", self.isolates.get(COUNTING).actor("Tool"))
            items = await tool.give(5) if given else aiter(tool.count(5))
            got = [await anext(items)]
            with suppress(KeyError):
                async with self.facets.transaction():
                    await tool.rows()
                    got.append(await anext(items))
                    raise KeyError
            got.append(await anext(items))
            await items.aclose()
            return [got, await tool.rows()]

    assert await runtime.get(Reader, "r").read() == [[0, 1, 2], [0, 2]]
