"""Transactions whose participants break, are wiped, or outlive the block."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from actors.testing import VirtualClock
from facets import Actor, LocalRuntime
from facets.errors import EffectInTransaction, TransactionFailed, TransactionTimeout

DOORS: dict[str, asyncio.Event] = {}


@pytest.fixture(autouse=True)
def _doors() -> None:
    DOORS.update({name: asyncio.Event() for name in ("entered", "leave", "slow", "done")})


class Part(Actor, kind="EdgePart"):
    async def add(self, n: int) -> None:
        self.kv["n"] = [*self.kv.get("n", []), n]

    async def all(self) -> list[int]:
        return list(self.kv.get("n", []))

    async def slowly(self, n: int) -> None:
        await DOORS["slow"].wait()
        await self.add(n)

    async def reach(self, other: Any) -> None:
        await DOORS["slow"].wait()
        await other.add(9)


class Holder(Part, kind="EdgeHolder"):
    def part(self, name: str) -> Part:
        return self.facets.get(name, Part)

    async def hold(self, *names: str) -> None:
        async with self.facets.transaction():
            for name in names:
                await self.part(name).add(1)
            DOORS["entered"].set()
            await DOORS["leave"].wait()

    async def hold_root(self, other: Any) -> None:
        async with self.facets.transaction():
            await other.add(1)
            DOORS["entered"].set()
            await DOORS["leave"].wait()

    async def drop(self, name: str) -> None:
        self.facets.abort(name)

    async def wipe(self, name: str) -> None:
        self.facets.delete(name)

    async def write(self, name: str, n: int) -> list[int]:
        await self.part(name).add(n)
        return await self.part(name).all()

    async def seen(self, name: str) -> list[int]:
        return await self.part(name).all()

    async def leave_behind(self, method: str, *args: Any) -> None:
        """A call of the block that is not awaited in it."""
        async with self.facets.transaction():
            await self.part("a").add(1)
            self.left = asyncio.create_task(getattr(self.part("a"), method)(*args))
            await asyncio.sleep(0)

    async def other(self) -> Any:
        return self.part("b")

    async def leave_reaching(self) -> None:
        await self.leave_behind("reach", self.part("b"))

    async def collect(self) -> str:
        DOORS["slow"].set()
        try:
            await self.left
        except TransactionFailed as error:
            return error.message
        return "kept"

    async def wait_for_no_end(self) -> None:
        async with self.facets.transaction(seconds=0.05):
            await self.part("a").add(1)
            await asyncio.Event().wait()

    async def restore_inside(self, bookmark: str) -> None:
        async with self.facets.transaction():
            await self.storage.restore(bookmark)


async def entered(holder: Holder, *names: str) -> asyncio.Task[None]:
    task = asyncio.ensure_future(holder.hold(*names))
    await DOORS["entered"].wait()
    return task


@pytest.fixture
async def holder(runtime: LocalRuntime) -> Holder:
    return runtime.get(Holder, "h")


async def test_what_is_written_after_a_participant_broke_is_kept(
    runtime: LocalRuntime, holder: Holder
) -> None:
    root = runtime.get(Part, "root")
    await root.add(0)
    task = asyncio.ensure_future(holder.hold_root(root))
    await DOORS["entered"].wait()
    runtime._open().root(Part, "root").abort(RuntimeError("broke"))

    await root.add(5)  # acknowledged
    DOORS["leave"].set()
    with pytest.raises(TransactionFailed):
        await task

    assert await root.all() == [0, 5]
    runtime._open().root(Part, "root").abort(RuntimeError("read it from the disk"))
    assert await root.all() == [0, 5]


async def test_a_participant_can_be_deleted_from_outside(
    runtime: LocalRuntime, holder: Holder
) -> None:
    root = runtime.get(Part, "root")
    await root.add(0)
    task = asyncio.ensure_future(holder.hold_root(root))
    await DOORS["entered"].wait()

    await runtime.delete(Part, "root")
    await root.add(7)
    DOORS["leave"].set()
    with pytest.raises(TransactionFailed):
        await task

    assert await root.all() == [7]


async def test_a_participant_can_be_replaced_by_a_clone(
    runtime: LocalRuntime, holder: Holder
) -> None:
    root, other = runtime.get(Part, "root"), runtime.get(Part, "other")
    await root.add(0)
    await other.add(3)
    task = asyncio.ensure_future(holder.hold_root(root))
    await DOORS["entered"].wait()

    await runtime.clone(Part, "other", "root")
    DOORS["leave"].set()
    with pytest.raises(TransactionFailed):
        await task

    assert await root.all() == [3]


async def test_a_call_that_outlives_the_block_writes_nothing_more(holder: Holder) -> None:
    await holder.leave_behind("slowly", 2)

    assert "is over" in await holder.collect()
    assert await holder.seen("a") == [1]
    assert await holder.write("a", 3) == [1, 3]


async def test_a_call_that_outlives_the_block_holds_nobody(holder: Holder) -> None:
    await holder.leave_reaching()

    assert "is over" in await holder.collect()
    async with asyncio.timeout(20):
        assert await holder.write("b", 4) == [4]


async def test_a_block_that_takes_too_long_lets_everybody_go(
    holder: Holder, clock: VirtualClock
) -> None:
    waiting = asyncio.ensure_future(holder.wait_for_no_end())
    await clock.run(0.04)
    assert not waiting.done()
    await clock.run(0.02)
    with pytest.raises(TransactionTimeout):
        await waiting

    assert await holder.write("a", 1) == [1]


async def test_nothing_goes_back_in_time_inside_a_block(
    runtime: LocalRuntime, holder: Holder
) -> None:
    await holder.add(1)
    with pytest.raises(EffectInTransaction):
        await holder.restore_inside(runtime.bookmark())

    assert await holder.all() == [1]


async def test_a_participant_that_waits_for_another_transaction_is_not_held_after_its_own(
    runtime: LocalRuntime, holder: Holder
) -> None:
    root, second = runtime.get(Part, "root"), runtime.get(Holder, "second")
    first = asyncio.ensure_future(holder.hold_root(root))
    await DOORS["entered"].wait()
    waiting = asyncio.ensure_future(second.hold_root(root))
    for _ in range(20):
        await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    DOORS["leave"].set()
    await first

    await root.add(2)
    assert await root.all() == [1, 2]
    assert not any(one.held for one in runtime._open().store.databases.live.values())


async def test_a_runtime_closed_in_a_block_keeps_nothing_of_it(
    runtime: LocalRuntime, holder: Holder, state: Any
) -> None:
    await holder.add(0)
    task = await entered(holder, "a")
    await runtime.close()
    with pytest.raises(Exception, match="closed"):
        await task

    async with LocalRuntime(state) as again:
        assert await again.get(Holder, "h").seen("a") == []
        assert await again.get(Holder, "h").all() == [0]
