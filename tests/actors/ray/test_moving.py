"""Trees move between hosts; at each moment one host owns each, and has it whole."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from actors.errors import ActorMoved
from actors.ray.directory import BUCKETS, amend, bucket, newest
from actors.ray.errors import NotOwner
from facets import Actor
from tests.actors.ray.neighbours import Side, shared

NAMES = [f"name {i}" for i in range(6)]
EVERY = range(BUCKETS)
HOSTS = ("a", "b")


class Tally(Actor):
    rung: ClassVar[list[str]] = []
    going: ClassVar[asyncio.Event]
    go: ClassVar[asyncio.Event]

    async def add(self) -> int:
        self.kv["n"] = self.kv.get("n", 0) + 1
        return int(self.kv["n"])

    async def below(self) -> int:
        return await self.facets.get("below", Tally).add()

    async def write(self, text: str) -> None:
        self.fs.write_text("/note", text)

    async def read(self) -> str:
        return str(self.fs.read_text("/note"))

    async def plan(self, seconds: float) -> None:
        self.timers.after(seconds, self.ring)

    async def ring(self) -> None:
        self.rung.append(self.name)

    async def slow(self) -> int:
        self.going.set()
        await self.go.wait()
        return await self.add()

    async def keep(self, other: Any) -> None:
        self.other = other

    async def through(self) -> int:
        return int(await self.other.add())


@pytest.fixture
async def sides(tmp_path: Path) -> AsyncIterator[tuple[Side, Side]]:
    """Two hosts, of which the first owns everything."""
    Tally.going, Tally.go = asyncio.Event(), asyncio.Event()
    Tally.rung.clear()
    store = shared(tmp_path)
    one, two = [Side(tmp_path, name, store, Tally) for name in HOSTS]
    await one.open(HOSTS)
    await two.open(HOSTS)
    amend(store, lambda found: found.moved(EVERY, "a"))
    await one.look()
    await two.look()
    yield one, two
    await one.end()
    await two.end()


async def test_trees_move_whole(sides: tuple[Side, Side]) -> None:
    one, two = sides
    for name in NAMES:
        await one.call(Tally, name, "add")
        await one.call(Tally, name, "below")
        await one.call(Tally, name, "write", name)
    done = await one.handover.give(EVERY, "b", two)
    assert (done.buckets, done.trees) == (BUCKETS, len(NAMES))
    for name in NAMES:
        assert await two.call(Tally, name, "add") == 2
        assert await two.call(Tally, name, "below") == 2
        assert await two.call(Tally, name, "read") == name
    assert one.runtime.list(Tally) == []


async def test_a_call_that_comes_during_a_move_waits_and_is_sent_on(
    sides: tuple[Side, Side],
) -> None:
    one, two = sides
    await one.call(Tally, "x", "add")
    calls = []

    async def call() -> None:
        calls.append(asyncio.ensure_future(one.call(Tally, "x", "add")))
        await asyncio.sleep(0)
        assert not calls[0].done()

    two.before["take"] = call
    await one.handover.give([bucket("Tally", "x")], "b", two)
    with pytest.raises(NotOwner) as caught:
        await calls[0]
    assert caught.value.version == newest(one.ownership.store).version
    assert await two.call(Tally, "x", "add") == 2


async def test_a_call_under_way_ends_before_its_actor_moves(sides: tuple[Side, Side]) -> None:
    one, two = sides
    slow = asyncio.ensure_future(one.call(Tally, "x", "slow"))
    await Tally.going.wait()
    moving = asyncio.ensure_future(one.handover.give(EVERY, "b", two))
    for _ in range(50):
        await asyncio.sleep(0)
    assert not moving.done()
    Tally.go.set()
    assert await slow == 1
    await moving
    assert await two.call(Tally, "x", "add") == 2


async def test_a_call_that_takes_too_long_is_broken_off(sides: tuple[Side, Side]) -> None:
    one, two = sides
    await one.call(Tally, "x", "add")
    slow = asyncio.ensure_future(one.call(Tally, "x", "slow"))
    await Tally.going.wait()
    await one.handover.give(EVERY, "b", two, grace=0.0)
    with pytest.raises(ActorMoved, match="may have run"):
        await slow
    assert await two.call(Tally, "x", "add") == 2
