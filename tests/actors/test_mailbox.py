"""How many calls an actor takes, how many it begins at once, and how deep they may go."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

import facets
from actors import Actor, LocalRuntime
from actors.call import DEPTH
from actors.errors import Busy, CallDepth
from actors.limited import limited
from actors.mailbox import TURN
from actors.shared import shared
from actors.testing import VirtualClock


class Echo(Actor):
    async def echo(self, value: Any) -> Any:
        return value

    async def wait(self, door: Door) -> int:
        return await door.passed()

    async def down(self, other: Echo, me: Echo) -> None:
        await other.down(me, other)

    async def down_after_waiting(self, other: Echo, me: Echo) -> None:
        await asyncio.sleep(0)
        await other.down_after_waiting(me, other)

    async def many(self, other: Echo, n: int) -> int:
        for i in range(n):
            await other.echo(i)
        return n


class Door(Actor):
    opened: asyncio.Event

    async def on_start(self) -> None:
        self.opened = asyncio.Event()

    async def passed(self) -> int:
        await self.opened.wait()
        return 1

    async def open(self) -> None:
        self.opened.set()


class Small(Door, mailbox=3):
    pass


class Smaller(Small):
    pass


@pytest.mark.parametrize("cls", [Small, Smaller])
async def test_a_full_mailbox_refuses_at_once_and_says_how_full(
    runtime: LocalRuntime, cls: type[Small]
) -> None:
    small = runtime.get(cls, "a")
    under_way = [asyncio.create_task(small.passed()) for _ in range(3)]
    await asyncio.sleep(0.01)

    with pytest.raises(Busy) as caught:
        await small.passed()
    assert (caught.value.waiting, caught.value.limit) == (3, 3)
    assert caught.value.actor == f"{cls.__name__}:a"
    assert runtime.stats().calls == 3

    for task in under_way[:1]:
        task.cancel()
    await asyncio.wait(under_way[:1])
    await small.open()
    assert await asyncio.gather(*under_way[1:]) == [1, 1]
    assert [await small.passed() for _ in range(10)] == [1] * 10


async def test_calls_that_wait_for_a_start_are_bounded_too(
    runtime: LocalRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready = asyncio.Event()

    class Late(Echo):
        async def on_start(self) -> None:
            await ready.wait()

    monkeypatch.setattr("actors.stub.MAILBOX", 5)
    late = runtime.get(Late, "a")
    waiting = [asyncio.create_task(late.echo(i)) for i in range(5)]
    await asyncio.sleep(0)
    with pytest.raises(Busy):
        await late.echo(5)
    waiting[0].cancel()
    await asyncio.sleep(0)
    waiting[0] = asyncio.create_task(late.echo(0))
    ready.set()
    assert await asyncio.gather(*waiting) == list(range(5))


async def test_calls_that_end_make_room_without_end(runtime: LocalRuntime) -> None:
    class One(Echo, mailbox=1):
        pass

    echo, top = runtime.get(One, "a"), runtime.get(Echo, "top")
    assert await top.many(echo, 3 * TURN) == 3 * TURN


@pytest.mark.parametrize("mailbox", [0, -1])
def test_a_mailbox_holds_a_call_at_least(mailbox: int) -> None:
    with pytest.raises(ValueError, match="mailbox"):
        type("Bad", (Actor,), {}, mailbox=mailbox)


async def test_a_hot_actor_begins_so_many_calls_in_a_turn_while_others_go_on(
    runtime: LocalRuntime,
) -> None:
    hot, cool = runtime.get(Echo, "hot"), runtime.get(Echo, "cool")
    await hot.echo(0)
    await cool.echo(0)
    order: list[str] = []

    async def one(echo: Echo, name: str) -> None:
        await echo.echo(1)
        order.append(name)

    crowd = [asyncio.create_task(one(hot, "hot")) for _ in range(10 * TURN)]
    others = [asyncio.create_task(one(cool, f"cool {i}")) for i in range(5)]
    await asyncio.gather(*others, *crowd)

    assert max(order.index(f"cool {i}") for i in range(5)) <= TURN + 5
    assert order.count("hot") == 10 * TURN


async def test_calls_of_a_hot_actor_that_all_may_go_on_take_turns_as_well(
    runtime: LocalRuntime,
) -> None:
    hot, cool = runtime.get(Door, "hot"), runtime.get(Echo, "cool")
    await cool.echo(0)
    order: list[str] = []

    async def passed() -> None:
        await hot.passed()
        order.append("hot")

    async def cool_calls() -> None:
        for _ in range(5):
            order.append(str(await cool.echo("cool")))
            await asyncio.sleep(0)

    crowd = [asyncio.create_task(passed()) for _ in range(10 * TURN)]
    while runtime.stats().calls < 10 * TURN:
        await asyncio.sleep(0)
    await hot.open()
    await asyncio.gather(cool_calls(), *crowd)

    between = [order[: at + 1].count("hot") for at, name in enumerate(order) if name == "cool"]
    assert len(between) == 5
    assert between[-1] <= 6 * TURN
    assert order.count("hot") == 10 * TURN


async def test_calls_that_wait_for_a_turn_keep_their_order(runtime: LocalRuntime) -> None:
    class Journal(Actor):
        async def note(self, i: int) -> None:
            self.kv[f"{i:05}"] = len(self.kv)

        async def all(self) -> list[int]:
            return list(self.kv.values())

    journal = runtime.get(Journal, "a")
    await asyncio.gather(*[journal.note(i) for i in range(4 * TURN)])
    assert await journal.all() == list(range(4 * TURN))


async def test_one_task_that_calls_on_and_on_lets_the_loop_turn(runtime: LocalRuntime) -> None:
    top, hot = runtime.get(Echo, "top"), runtime.get(Echo, "hot")
    turns = 0
    calling = asyncio.create_task(top.many(hot, 10 * TURN))
    while not calling.done():
        turns += 1
        await asyncio.sleep(0)
    assert turns >= 9


async def test_a_call_that_waits_for_its_turn_can_be_cancelled(runtime: LocalRuntime) -> None:
    hot = runtime.get(Echo, "hot")
    await hot.echo(0)
    calls = [asyncio.create_task(hot.echo(i)) for i in range(3 * TURN)]
    await asyncio.sleep(0)
    for call in calls[TURN:]:
        call.cancel()
    done = await asyncio.gather(*calls, return_exceptions=True)
    assert done[:TURN] == list(range(TURN))
    assert await hot.echo(7) == 7
    assert runtime.stats().calls == 0


async def test_an_actor_that_ends_tells_those_that_wait_for_a_turn(runtime: LocalRuntime) -> None:
    hot = runtime.get(Echo, "hot")
    await hot.echo(0)
    calls = [asyncio.create_task(hot.echo(i)) for i in range(2 * TURN)]
    await asyncio.sleep(0)
    await runtime.delete(Echo, "hot")
    done = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(one).__name__ for one in done} == {"int", "ActorBroken"}


@pytest.mark.parametrize("method", ["down", "down_after_waiting"])
async def test_calls_that_call_each_other_without_end_get_an_error(
    runtime: LocalRuntime, method: str
) -> None:
    one, two = runtime.get(Echo, "one"), runtime.get(Echo, "two")
    with pytest.raises(CallDepth, match=r"Echo:one\.down.* -> Echo:two\.down.* -> ") as caught:
        await getattr(one, method)(two, one)
    assert caught.value.depth == DEPTH + 1
    assert isinstance(caught.value, RecursionError)
    assert await one.echo(1) == await two.echo(1) == 1
    assert runtime.stats().calls == 0


class Laden(Actor):
    """Methods with all that adds frames to a call."""

    @limited(concurrent=1000)
    @shared
    async def how_deep(self, other: Laden, me: Laden, wait: bool) -> int:
        if wait:
            await asyncio.sleep(0)
        return await self._deeper(other, me, wait)

    async def _deeper(self, other: Laden, me: Laden, wait: bool) -> int:
        try:
            return 1 + await other.how_deep(me, other, wait)
        except CallDepth:
            return 1


class Above(facets.Actor):
    async def run(self, wait: bool) -> int:
        one, two = [
            self.facets.get(name, facets.Start(Laden, quota=facets.Quota(concurrent=1000)))
            for name in ("one", "two")
        ]
        return await one.how_deep(two, one, wait)  # type: ignore[no-any-return]


@pytest.mark.parametrize("wait", [False, True])
async def test_calls_may_be_64_deep_whatever_holds_for_them(
    state: Path, monkeypatch: pytest.MonkeyPatch, wait: bool
) -> None:
    provider = pytest.importorskip("opentelemetry.sdk.trace").TracerProvider()
    monkeypatch.setattr("opentelemetry.trace.get_tracer_provider", lambda: provider)
    async with LocalRuntime(state) as runtime:
        assert await runtime.get(Above, "a").run(wait) + 1 == DEPTH == 64


async def test_an_actor_that_was_called_does_not_fall_asleep_before_its_time(
    runtime: LocalRuntime, clock: VirtualClock
) -> None:
    echo = runtime.get(Echo, "a")
    await echo.echo(1)
    assert runtime.sweep() == 0
    clock.advance(59)
    await echo.echo(1)
    clock.advance(2)
    assert runtime.sweep() == 0
    clock.advance(61)
    assert runtime.stats().awake == 0
