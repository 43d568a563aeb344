"""Streams, capabilities and callbacks cross hosts as references, and live as long as held."""

from __future__ import annotations

import asyncio
import gc
import itertools
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import facets
from actors.errors import ActorBroken, EffectInTransaction, ExclusiveReentered, NotCopyable
from actors.ray import wire
from actors.ray.directory import Directory, place
from actors.ray.errors import LenderGone
from actors.ray.router import handle, router
from actors.ray.runtime import RayRuntime
from facets import Actor
from facets.errors import CapabilityRevoked, NoSuchMethod

HOSTS = ("host-0", "host-1")


class Odd(Exception):
    """An error of this module."""


@facets.capability
class Pot:
    """A value that others may look at."""

    def __init__(self) -> None:
        self.values: list[Any] = []

    async def add(self, value: Any) -> int:
        """Put something in."""
        self.values.append(value)
        return len(self.values)

    def size(self) -> int:
        return len(self.values)

    async def all(self) -> AsyncIterator[Any]:
        for value in self.values:
            yield value

    async def fail(self) -> None:
        raise Odd("empty")

    async def wait(self) -> None:
        self.values.append("began")
        try:
            await asyncio.Event().wait()
        finally:
            self.values.append("ended")


@dataclass
class Box:
    content: Any


class Friend(Actor):
    async def take(self, items: Any) -> list[Any]:
        return [item async for item in items]

    async def first(self, items: Any) -> Any:
        return await anext(items)

    async def numbers(self, n: int) -> Any:
        return self._numbers(n)

    async def _numbers(self, n: int) -> AsyncIterator[int]:
        try:
            for i in range(n):
                self.kv["made"] = i
                yield i
        finally:
            self.kv["closed"] = True

    async def made(self) -> tuple[Any, Any]:
        return self.kv.get("made"), self.kv.get("closed")

    async def take_from(self, other: Any, n: int) -> list[Any]:
        return [item async for item in await other.numbers(n)]

    async def give_to(self, other: Any, n: int) -> list[Any]:
        return list(await other.take(self._numbers(n)))

    async def use(self, pot: Any, value: Any) -> tuple[int, int, list[Any]]:
        count = await pot.add(value)
        return count, await pot.size(), [item async for item in pot.all()]

    async def use_by(self, other: Any, pot: Any, value: Any) -> Any:
        return await other.use(pot, value)

    async def keep(self, pot: Any) -> None:
        self.kept = pot

    async def use_kept(self) -> Any:
        return await self.kept.size()

    async def forget(self) -> None:
        self.kept = None
        gc.collect()

    async def fail(self, pot: Any) -> None:
        await pot.fail()

    async def reach(self, pot: Any) -> None:
        await pot.values()

    async def wait(self, pot: Any) -> None:
        await pot.wait()

    async def in_transaction(self, pot: Any) -> None:
        async with self.facets.transaction():
            self.kv["a"] = 1
            await pot.size()

    async def pot(self) -> Any:
        @facets.capability
        async def note(value: int) -> int:
            self.kv["noted"] = value
            return value

        return Box({"note": note})

    async def use_function(self, function: Any, value: int) -> Any:
        return await function(value)

    async def noted(self) -> Any:
        return self.kv.get("noted")

    async def new_facet(self) -> Any:
        return self.facets.get("below", Friend)

    async def many_facets(self, count: int) -> None:
        for _ in range(count):
            wire.dump(self.facets.get("below", Friend), "a facet")
            self.facets.delete("below")

    @facets.exclusive
    async def alone(self, other: Any) -> None:
        @facets.capability
        async def back() -> None:
            async with self.exclusive():
                pass

        await other.call_back(back)

    async def call_back(self, back: Any) -> Any:
        return await back()


@pytest.fixture(scope="module")
def root(ray: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("lending") / "state"


@pytest.fixture
async def runtime(root: Path) -> AsyncIterator[RayRuntime]:
    """The same two hosts for all tests; each takes actors of its own."""
    async with RayRuntime(root, hosts=2) as runtime:
        yield runtime


_names = (f"{i}" for i in itertools.count())


@pytest.fixture
def apart(runtime: RayRuntime) -> tuple[Any, Any]:
    """Stubs of a new actor on the first host, and of one on the second."""
    directory = Directory(1, HOSTS, place(HOSTS))
    found: dict[str, str] = {}
    while len(found) < 2:
        name = next(_names)
        found[directory.owner("Friend", name)] = name
    return runtime.get(Friend, found["host-0"]), runtime.get(Friend, found["host-1"])


async def numbers(n: int) -> AsyncIterator[int]:
    for i in range(n):
        yield i


async def test_a_generator_of_the_driver_is_iterated_by_an_actor(apart: Any) -> None:
    assert await apart[0].take(numbers(20)) == list(range(20))
    assert await apart[0].take(items=numbers(0)) == []


async def test_nothing_is_made_ahead_and_letting_go_closes_it(apart: Any) -> None:
    made: list[Any] = []

    async def counted() -> AsyncIterator[int]:
        try:
            for i in range(10):
                made.append(i)
                yield i
        finally:
            made.append("closed")

    assert await apart[0].first(counted()) == 0
    while made[-1] != "closed":
        await asyncio.sleep(0.01)
    assert made == [0, "closed"]


async def test_a_stream_that_is_returned_is_iterated_by_the_driver(apart: Any) -> None:
    one, _ = apart
    assert [item async for item in await one.numbers(10)] == list(range(10))
    items = await one.numbers(10)
    assert [await anext(items), await anext(items)] == [0, 1]
    assert (await one.made())[0] == 1
    await items.aclose()
    assert await one.made() == (1, True)


async def test_streams_pass_between_hosts_both_ways(apart: Any) -> None:
    one, other = apart
    assert await one.take_from(other, 10) == list(range(10))
    assert await one.give_to(other, 10) == list(range(10))


async def test_what_a_generator_raises_arrives_after_its_items(apart: Any) -> None:
    async def failing() -> AsyncIterator[int]:
        yield 1
        raise Odd("over")

    with pytest.raises(Odd, match="over"):
        await apart[0].take(failing())


async def test_an_object_of_the_driver_is_used_by_actors_of_every_host(apart: Any) -> None:
    pot, (one, other) = Pot(), apart
    assert await one.use(pot, "a") == (1, 1, ["a"])
    assert await one.use_by(other, pot, "b") == (2, 2, ["a", "b"])
    assert await one.use([pot][0], bytes(200_000)) == (3, 3, ["a", "b", bytes(200_000)])


async def test_a_function_that_is_returned_runs_as_code_of_its_actor(apart: Any) -> None:
    one, other = apart
    box = await one.pot()
    assert await box.content["note"](7) == 7
    assert await one.noted() == 7
    assert await other.use_function(box.content["note"], 8) == 8
    assert await one.noted() == 8


async def test_errors_and_rules_are_those_of_where_it_is(apart: Any) -> None:
    pot = Pot()
    with pytest.raises(Odd, match="empty"):
        await apart[0].fail(pot)
    with pytest.raises((NoSuchMethod, AttributeError)):
        await apart[0].reach(pot)
    narrow = facets.capability(pot)
    await apart[0].keep(narrow)
    assert await apart[0].use_kept() == 0
    narrow.revoke("enough")
    with pytest.raises(CapabilityRevoked, match="enough"):
        await apart[0].use_kept()


async def test_cancelling_reaches_the_code_of_a_capability(apart: Any) -> None:
    pot = Pot()
    waiting = asyncio.ensure_future(apart[0].wait(pot))
    while pot.values != ["began"]:
        await asyncio.sleep(0.01)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    while pot.values[-1] != "ended":
        await asyncio.sleep(0.01)


async def test_what_is_lent_lives_as_long_as_it_is_held(runtime: RayRuntime, apart: Any) -> None:
    pot, one = Pot(), apart[0]
    await one.keep(pot)
    lent = router(runtime.name).to("host-0").peer
    pot.values.append(1)
    assert await one.use_kept() == 1
    assert lent.busy
    await one.forget()
    while lent.busy:
        await asyncio.sleep(0.01)


async def test_what_the_driver_holds_is_let_go_of_by_the_host(apart: Any) -> None:
    one, _ = apart
    items = await one.numbers(10)
    assert await anext(items) == 0
    del items
    while (await one.made())[1] is not True:
        await asyncio.sleep(0.01)


async def test_using_what_another_process_lent_has_no_place_in_a_transaction(apart: Any) -> None:
    with pytest.raises(EffectInTransaction):
        await apart[0].in_transaction(Pot())


async def test_a_section_entered_again_by_a_callback_fails_at_once(apart: Any) -> None:
    one, other = apart
    with pytest.raises(ExclusiveReentered):
        await one.alone(other)


async def test_what_cannot_cross_is_named_by_its_place(apart: Any) -> None:
    with pytest.raises(NotCopyable) as caught:
        apart[0].take({"a": [1, Box(threading.Lock())]})
    assert caught.value.fields["path"].endswith('["a"][1].content')


async def test_what_a_host_lent_is_gone_with_it(runtime: RayRuntime, apart: Any) -> None:
    one, _ = apart
    items = await one.numbers(10)
    assert await anext(items) == 0
    await runtime.down()
    await runtime.open()
    with pytest.raises((LenderGone, ActorBroken)):
        await anext(items)


async def use_for_ever(friend: Any) -> None:
    while True:
        await friend.use_kept()


async def test_what_a_silent_caller_lent_is_forgotten(runtime: RayRuntime, apart: Any) -> None:
    await apart[0].keep(Pot())

    def forget(hosting: Any) -> None:
        def sweep() -> None:
            for outbox in hosting._serving._outboxes.values():
                outbox.heard = -1e9
            hosting._serving.sweep()

        hosting._runtime._host.loop.call_soon_threadsafe(sweep)

    await handle(runtime.name, "host-0").__ray_call__.remote(forget)
    with pytest.raises(LenderGone):
        await use_for_ever(apart[0])
    while router(runtime.name).to("host-0").peer.busy:
        await asyncio.sleep(0.01)


async def test_facets_that_have_ended_are_not_remembered_for_ever(
    runtime: RayRuntime, apart: Any
) -> None:
    one, _ = apart
    first = await one.new_facet()
    assert await first.made() == (None, None)
    await one.many_facets(2_500)
    remembered = await handle(runtime.name, "host-0").__ray_call__.remote(
        lambda hosting: len(hosting._lending._lent)
    )
    assert remembered <= 1_100
