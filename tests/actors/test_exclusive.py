"""Exclusive sections: one call at a time, across awaits."""

from __future__ import annotations

import asyncio

import pytest

from actors import Actor, LocalRuntime, exclusive
from actors.errors import ExclusiveReentered


class Till(Actor):
    async def add(self, n: int) -> None:
        async with self.exclusive():
            await self._add(n)

    @exclusive
    async def add_too(self, n: int) -> None:
        await self._add(n)

    async def _add(self, n: int) -> None:
        before = self.kv.get("sum", 0)
        await asyncio.sleep(0)
        self.kv["sum"] = before + n

    async def total(self) -> int:
        return self.kv.get("sum", 0)

    @exclusive
    async def through(self, other: Bouncer, me: Till) -> None:
        await other.bounce(me)

    @exclusive
    async def through_task(self) -> None:
        await asyncio.gather(self.add(1))

    @exclusive
    async def fail(self) -> None:
        raise ValueError


class Bouncer(Actor):
    async def bounce(self, till: Till) -> None:
        await till.add(1)


async def test_sections_of_one_actor_do_not_interleave(runtime: LocalRuntime) -> None:
    till = runtime.get(Till, "a")
    await asyncio.gather(*[till.add(1) for _ in range(10)], *[till.add_too(1) for _ in range(10)])
    assert await till.total() == 20


async def test_a_chain_that_comes_back_fails_at_once_and_is_named(runtime: LocalRuntime) -> None:
    till, other = runtime.get(Till, "a"), runtime.get(Bouncer, "b")
    with pytest.raises(
        ExclusiveReentered, match=r"Till:a\.through -> Bouncer:b\.bounce -> Till:a\.add"
    ):
        await till.through(other, till)
    with pytest.raises(ExclusiveReentered):
        await till.through_task()
    await till.add(1)
    assert await till.total() == 1


async def test_a_section_that_raises_is_left(runtime: LocalRuntime) -> None:
    till = runtime.get(Till, "a")
    with pytest.raises(ValueError):  # noqa: PT011 - the method's own
        await till.fail()
    await till.add(2)
    assert await till.total() == 2


async def test_a_waiting_call_that_is_cancelled_does_not_block_the_others(
    runtime: LocalRuntime,
) -> None:
    till = runtime.get(Till, "a")
    calls = [asyncio.create_task(till.add(1)) for _ in range(3)]
    await asyncio.sleep(0)
    calls[1].cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    await till.add(1)
    assert await till.total() == 3
