"""Deadlines: what runs under one is over in time, or says what was running."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from actors import Actor, LocalRuntime
from actors.deadline import deadline, remaining
from actors.errors import DeadlineAcrossYield, DeadlineExceeded
from actors.testing import VirtualClock


class Slow(Actor):
    """Writes, waits for ever, and would write again."""

    async def work(self, below: Slow | None = None) -> None:
        self.kv["before"] = 1
        await asyncio.sleep(0)
        self.kv["open"] = 1
        if below is not None:
            await below.work()
        await self.forever()
        self.kv["after"] = 1

    async def forever(self) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.kv["lost"] = 1  # in the step that the cancellation undoes
            raise

    async def swallow(self) -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "done anyway"
        return ""

    async def go_on(self, other: Slow) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await other.left()

    async def left(self) -> float | None:
        self.kv["called"] = 1
        return remaining()

    async def left_in_tasks(self, other: Slow) -> list[float | None]:
        return list(await asyncio.gather(other.left(), other.left()))

    async def inside(self, seconds: float, below: Slow) -> str:
        try:
            with deadline(seconds):
                await below.work()
        except DeadlineExceeded as error:
            return error.method
        return ""

    async def apart(self, other: Slow) -> list[float | None]:
        async def bounded() -> float | None:
            with deadline(5):
                await asyncio.sleep(0)
                return await other.left()

        async def free() -> float | None:
            return await other.left()

        return list(await asyncio.gather(bounded(), free(), bounded(), free()))

    async def after(self, other: Slow) -> float | None:
        with deadline(5):
            await other.left()
        return await other.left()

    async def ticks(self) -> AsyncIterator[int]:
        yield 1
        await self.forever()

    async def lefts(self, other: Slow) -> AsyncIterator[float | None]:
        for _ in range(3):
            with deadline(5):
                left = await other.left()
            yield left

    async def yields_inside(self) -> AsyncIterator[int]:
        with deadline(5):
            yield 1

    async def keys(self) -> list[str]:
        return sorted(self.kv)


async def turns(n: int = 10) -> None:
    for _ in range(n):
        await asyncio.sleep(0)


async def advanced(clock: VirtualClock, seconds: float) -> None:
    await turns()
    clock.advance(seconds)


async def test_what_takes_too_long_is_cancelled_and_named(
    runtime: LocalRuntime, clock: VirtualClock
) -> None:
    top, below = runtime.get(Slow, "top"), runtime.get(Slow, "below")
    late = asyncio.create_task(advanced(clock, 2.0))
    with pytest.raises(DeadlineExceeded) as caught, deadline(2.0):
        await top.work(below)
    await late

    assert isinstance(caught.value, TimeoutError)
    assert caught.value.chain == "Slow:top.work -> Slow:below.work"
    assert (caught.value.method, caught.value.seconds) == ("Slow:below.work", 2.0)


async def test_only_the_open_step_is_undone(runtime: LocalRuntime, clock: VirtualClock) -> None:
    slow = runtime.get(Slow, "a")
    late = asyncio.create_task(advanced(clock, 2.0))
    with pytest.raises(DeadlineExceeded), deadline(2.0):
        await slow.work()
    await late

    assert await slow.keys() == ["before", "open"]


async def test_what_ends_in_time_is_left_alone(runtime: LocalRuntime, clock: VirtualClock) -> None:
    slow = runtime.get(Slow, "a")
    with deadline(2.0):
        assert await slow.left() == 2.0
    clock.advance(10)
    assert await slow.left() is None
    assert clock.next is None or clock.next > 10


async def test_a_deadline_that_has_passed_begins_no_call(
    runtime: LocalRuntime, clock: VirtualClock
) -> None:
    top, below = runtime.get(Slow, "top"), runtime.get(Slow, "below")
    with pytest.raises(DeadlineExceeded, match=r"Slow:top\.left"), deadline(0):
        await top.left()
    with pytest.raises(DeadlineExceeded), deadline(0):
        _ = [i async for i in top.ticks()]
    late = asyncio.create_task(advanced(clock, 1.0))
    with pytest.raises(DeadlineExceeded, match=r"go_on -> Slow:below\.left"), deadline(1.0):
        await top.go_on(below)
    await late

    assert await top.keys() == await below.keys() == []


async def test_who_catches_the_cancellation_and_returns_is_heard(
    runtime: LocalRuntime, clock: VirtualClock
) -> None:
    late = asyncio.create_task(advanced(clock, 1.0))
    with deadline(1.0):
        assert await runtime.get(Slow, "a").swallow() == "done anyway"
    await late
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_of_several_the_earliest_holds(runtime: LocalRuntime, clock: VirtualClock) -> None:
    slow = runtime.get(Slow, "a")
    with deadline(5):
        assert remaining() == 5
        with deadline(9):
            assert (remaining(), await slow.left()) == (5, 5)
        with deadline(3):
            assert (remaining(), await slow.left()) == (3, 3)
            clock.advance(1)
            assert await slow.left() == 2
        assert (remaining(), await slow.left()) == (4, 4)
    assert remaining() is None


@pytest.mark.parametrize(("outer", "inner", "said"), [(2, 5, "outer"), (5, 2, "inner")])
async def test_the_block_whose_time_is_over_raises(
    runtime: LocalRuntime, clock: VirtualClock, outer: float, inner: float, said: str
) -> None:
    heard = ""
    late = asyncio.create_task(advanced(clock, 2))
    try:
        with deadline(outer):
            try:
                with deadline(inner):
                    await runtime.get(Slow, "a").work()
            except DeadlineExceeded:
                heard = "inner"
    except DeadlineExceeded:
        heard = "outer"
    await late
    assert heard == said


async def test_an_actor_bounds_what_it_calls_and_goes_on(
    runtime: LocalRuntime, clock: VirtualClock
) -> None:
    top, below = runtime.get(Slow, "top"), runtime.get(Slow, "below")
    late = asyncio.create_task(advanced(clock, 2))
    assert await top.inside(2, below) == "Slow:below.work"
    await late
    assert await top.left() is None


async def test_it_holds_in_tasks_and_not_beside_its_block(runtime: LocalRuntime) -> None:
    top, below = runtime.get(Slow, "top"), runtime.get(Slow, "below")
    with deadline(7):
        assert await top.left_in_tasks(below) == [7, 7]
    assert await top.apart(below) == [5, None, 5, None]
    assert await top.after(below) is None


async def test_a_stream_ends_at_the_deadline(runtime: LocalRuntime, clock: VirtualClock) -> None:
    async def bounded() -> None:
        with deadline(2):
            assert [item async for item in runtime.get(Slow, "a").ticks()] == []

    late = asyncio.create_task(advanced(clock, 2))
    with pytest.raises(DeadlineExceeded, match=r"Slow:a\.ticks"):
        await bounded()
    await late
    assert runtime.stats().calls == 0


async def test_a_stream_has_deadlines_between_its_items_and_not_around_them(
    runtime: LocalRuntime, clock: VirtualClock
) -> None:
    slow, other = runtime.get(Slow, "a"), runtime.get(Slow, "b")
    assert [left async for left in slow.lefts(other)] == [5, 5, 5]
    assert await other.left() is None
    with pytest.raises(DeadlineAcrossYield, match=r"Slow:a\.yields_inside"):
        _ = [item async for item in slow.yields_inside()]
    clock.advance(6)
    assert await slow.left() is None


async def test_a_cancellation_that_is_not_the_deadlines_stays_one(
    runtime: LocalRuntime, clock: VirtualClock
) -> None:
    async def bounded() -> None:
        with deadline(2):
            await runtime.get(Slow, "a").work()

    both = asyncio.create_task(bounded())
    await turns()
    both.cancel()
    clock.advance(2)
    with pytest.raises(asyncio.CancelledError):
        await both


async def test_a_task_that_outlives_the_block_begins_no_call_after_it(
    runtime: LocalRuntime, clock: VirtualClock
) -> None:
    slow = runtime.get(Slow, "a")
    go = asyncio.Event()

    async def later() -> Any:
        await go.wait()
        return await slow.left()

    with deadline(2):
        left_over = asyncio.create_task(later())
        await turns()
    clock.advance(3)
    go.set()
    with pytest.raises(DeadlineExceeded):
        await left_over


def test_a_deadline_needs_a_task() -> None:
    with pytest.raises(RuntimeError), deadline(1):
        pass
