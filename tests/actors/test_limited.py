"""Limits of a method: so many at once, so often."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from actors import Actor, LocalRuntime
from actors.deadline import deadline
from actors.errors import Busy, DeadlineExceeded, ExclusiveReentered
from actors.limited import limited
from actors.testing import VirtualClock


class Shop(Actor, mailbox=20):
    running = 0
    most = 0

    @limited(concurrent=2)
    async def serve(self, n: int) -> int:
        self.running += 1
        self.most = max(self.most, self.running)
        self.kv[f"{len(self.kv):03}"] = n
        await asyncio.sleep(0)
        self.running -= 1
        return n

    @limited(concurrent=2)
    async def wait(self, door: str) -> None:
        await DOORS[door].wait()

    @limited(rate=2)
    async def often(self) -> None:
        pass

    @limited(concurrent=1)
    async def again(self, shop: Shop, times: int) -> int:
        return 1 if not times else await shop.again(shop, times - 1)

    @limited(concurrent=1)
    async def items(self, n: int) -> AsyncIterator[int]:
        for i in range(n):
            yield i

    async def free(self) -> int:
        return self.most

    async def order(self) -> list[int]:
        return list(self.kv.values())


DOORS: dict[str, asyncio.Event] = {}


async def turns(n: int = 10) -> None:
    for _ in range(n):
        await asyncio.sleep(0)


async def test_so_many_run_at_once_and_the_others_wait_in_order(runtime: LocalRuntime) -> None:
    shop = runtime.get(Shop, "a")
    assert await asyncio.gather(*[shop.serve(i) for i in range(15)]) == list(range(15))
    assert await shop.free() == 2
    assert await shop.order() == list(range(15))


async def test_other_methods_and_other_actors_are_not_held_back(runtime: LocalRuntime) -> None:
    DOORS["x"] = asyncio.Event()
    shop, other = runtime.get(Shop, "a"), runtime.get(Shop, "b")
    waiting = [asyncio.create_task(shop.wait("x")) for _ in range(3)]
    await turns()
    assert (await shop.free(), await other.serve(1), await shop.serve(2)) == (0, 1, 2)
    DOORS["x"].set()
    await asyncio.gather(*waiting)


async def test_those_that_wait_fill_the_mailbox(runtime: LocalRuntime) -> None:
    DOORS["x"] = asyncio.Event()
    shop = runtime.get(Shop, "a")
    waiting = [asyncio.create_task(shop.wait("x")) for _ in range(20)]
    await turns()
    with pytest.raises(Busy):
        await shop.wait("x")
    DOORS["x"].set()
    await asyncio.gather(*waiting)
    assert await shop.serve(1) == 1


async def test_who_waits_can_give_up(runtime: LocalRuntime, clock: VirtualClock) -> None:
    DOORS["x"] = asyncio.Event()
    shop = runtime.get(Shop, "a")
    inside = [asyncio.create_task(shop.wait("x")) for _ in range(2)]
    await turns()

    async def bounded() -> None:
        with deadline(1):
            await shop.wait("x")

    late, cancelled = asyncio.create_task(bounded()), asyncio.create_task(shop.wait("x"))
    await turns()
    clock.advance(1)
    cancelled.cancel()
    with pytest.raises(DeadlineExceeded):
        await late
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    DOORS["x"].set()
    await asyncio.gather(*inside, shop.wait("x"))


async def test_a_second_has_so_many_beginnings(runtime: LocalRuntime, clock: VirtualClock) -> None:
    shop = runtime.get(Shop, "a")
    calls = [asyncio.create_task(shop.often()) for _ in range(6)]

    async def done() -> int:
        await turns()
        return sum(call.done() for call in calls)

    assert await done() == 2
    for expected in (3, 4, 5, 6):
        clock.advance(0.5)
        assert await done() == expected
    clock.advance(10)
    await asyncio.gather(shop.often(), shop.often())


async def test_who_gives_up_leaves_its_place_in_time_to_others(
    runtime: LocalRuntime, clock: VirtualClock
) -> None:
    shop = runtime.get(Shop, "a")
    calls = [asyncio.create_task(shop.often()) for _ in range(3)]
    await turns()
    calls[2].cancel()
    await turns()
    next_one = asyncio.create_task(shop.often())
    await turns()
    clock.advance(0.5)
    await turns()
    assert next_one.done()


async def test_a_chain_that_waits_for_itself_fails_at_once(runtime: LocalRuntime) -> None:
    shop = runtime.get(Shop, "a")
    with pytest.raises(ExclusiveReentered, match=r"Shop:a\.again -> Shop:a\.again"):
        await shop.again(shop, 1)
    assert await shop.again(shop, 0) == 1


async def test_a_stream_holds_its_place_until_its_end(runtime: LocalRuntime) -> None:
    shop = runtime.get(Shop, "a")
    first, second = aiter(shop.items(2)), aiter(shop.items(1))
    assert await anext(first) == 0
    waiting = asyncio.ensure_future(anext(second))  # type: ignore[arg-type]
    await turns()
    assert not waiting.done()
    assert [i async for i in first] == [1]
    assert await waiting == 0
    assert [i async for i in second] == []


@pytest.mark.parametrize("limits", [{"concurrent": 0}, {"rate": 0}, {"rate": -1.0}])
def test_a_limit_allows_something(limits: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(limits))):
        limited(**limits)
