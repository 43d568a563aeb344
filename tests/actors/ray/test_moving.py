"""Trees move between hosts; at each moment one host owns each, and has it whole."""

from __future__ import annotations

import asyncio
import random
import shutil
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

import pytest

from actors.errors import ActorMoved
from actors.ray.census import Census
from actors.ray.directory import BUCKETS, amend, bucket, newest
from actors.ray.errors import HandoverFailed, NotOwner, Superseded
from facets import Actor
from storage.errors import ObjectStoreFailed
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
        await one.call(Tally, name, "write", name * 100_000)
    done = await one.handover.give(EVERY, "b", two)
    assert (done.buckets, done.trees) == (BUCKETS, len(NAMES))
    for name in NAMES:
        assert await two.call(Tally, name, "add") == 2
        assert await two.call(Tally, name, "below") == 2
        assert await two.call(Tally, name, "read") == name * 100_000
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


async def test_timers_move_with_their_actor(sides: tuple[Side, Side]) -> None:
    one, two = sides
    await one.call(Tally, "x", "plan", 5.0)
    await one.handover.give(EVERY, "b", two)
    await one.clock.run(10)
    assert Tally.rung == []
    await two.clock.run(10)
    assert Tally.rung == ["x"]


async def test_what_was_taken_rings_no_timer_before_it_is_owned(sides: tuple[Side, Side]) -> None:
    one, two = sides
    await one.call(Tally, "x", "plan", 5.0)

    async def late() -> None:
        await two.clock.run(10)
        assert Tally.rung == []

    two.after["take"] = late
    await one.handover.give(EVERY, "b", two)
    await two.clock.run(0)
    assert Tally.rung == ["x"]


async def test_timers_of_an_actor_that_could_not_move_ring_where_it_is(
    sides: tuple[Side, Side],
) -> None:
    one, two = sides
    await one.call(Tally, "x", "plan", 5.0)

    async def late() -> None:
        await one.clock.run(10)
        assert Tally.rung == []
        raise Crash

    two.after["take"] = late
    with pytest.raises(Crash):
        await one.handover.give([bucket("Tally", "x")], "b", two)
    await one.clock.run(0)
    assert Tally.rung == ["x"]


async def test_a_stub_inside_the_host_ends_with_its_actor(sides: tuple[Side, Side]) -> None:
    one, two = sides
    await one.call(Tally, "x", "add")
    await one.call(Tally, "y", "keep", one.runtime.get(Tally, "x"))
    waiting = []

    async def call() -> None:
        waiting.append(asyncio.ensure_future(one.call(Tally, "y", "through")))
        for _ in range(50):
            await asyncio.sleep(0)
        assert not waiting[0].done()

    two.before["take"] = call
    await one.handover.give([bucket("Tally", "x")], "b", two)
    for calling in (waiting[0], one.call(Tally, "y", "through")):
        with pytest.raises(ActorMoved, match="was moved to b") as caught:
            await calling
        assert "load the stub again" in str(caught.value)
    assert await two.call(Tally, "x", "add") == 2


async def test_a_call_inside_the_host_goes_on_when_a_move_fails(sides: tuple[Side, Side]) -> None:
    one, two = sides
    await one.call(Tally, "x", "add")
    await one.call(Tally, "y", "keep", one.runtime.get(Tally, "x"))
    waiting = []

    async def fail() -> None:
        waiting.append(asyncio.ensure_future(one.call(Tally, "y", "through")))
        for _ in range(50):
            await asyncio.sleep(0)
        assert not waiting[0].done()
        raise Crash

    two.before["take"] = fail
    with pytest.raises(Crash):
        await one.handover.give([bucket("Tally", "x")], "b", two)
    assert await waiting[0] == 2


async def test_an_operation_is_over_before_its_actor_moves(sides: tuple[Side, Side]) -> None:
    one, two = sides
    await one.call(Tally, "x", "add")
    async with one.ownership.operation("Tally", "x"):
        moving = asyncio.ensure_future(one.handover.give(EVERY, "b", two, grace=0.0))
        await asyncio.sleep(0.01)
        assert not moving.done()
    await moving
    with pytest.raises(NotOwner):
        async with one.ownership.operation("Tally", "x"):
            pass


async def test_hosts_that_give_to_each_other_at_once_both_succeed(
    sides: tuple[Side, Side],
) -> None:
    one, two = sides
    half = range(BUCKETS // 2)
    await one.handover.give(half, "b", two)
    await asyncio.gather(
        one.handover.give(range(BUCKETS // 2, BUCKETS), "b", two),
        two.handover.give(half, "a", one),
    )
    found = newest(one.ownership.store)
    assert found.owned("a") == list(half)
    assert found.owned("b") == list(range(BUCKETS // 2, BUCKETS))


async def test_of_two_who_move_the_same_actor_one_does(sides: tuple[Side, Side]) -> None:
    one, two = sides
    await one.call(Tally, "x", "add")
    found = await asyncio.gather(*[one.handover.give(EVERY, "b", two) for _ in range(2)])
    assert sum(done.trees for done in found) == 1
    assert await two.call(Tally, "x", "add") == 2


class Crash(Exception):
    """What a step of a hand-over ends by."""


STEPS = ["before take", "after take", "before create", "after create", "after remove"]


def _end_at(step: str, side: Side, peer: Side, monkeypatch: pytest.MonkeyPatch) -> None:
    """The owner ends at this step."""

    async def crash() -> None:
        raise Crash

    when, what = step.split()
    if what == "take":
        getattr(peer, when)["take"] = crash
        return
    module, name = {
        "create": ("actors.ray.ownership", "amend"),
        "remove": ("actors.ray.handover", "remove"),
    }[what]
    if step == "after create":
        module, name = "actors.ray.handover", "remove"
    if step == "after remove":
        peer.before["look"] = crash
        return

    def raising(*args: Any) -> Any:
        raise Crash

    monkeypatch.setattr(f"{module}.{name}", raising)


@pytest.mark.parametrize("step", STEPS)
async def test_whatever_ends_the_owner_in_the_middle_one_host_has_the_tree(
    sides: tuple[Side, Side], step: str
) -> None:
    one, two = sides
    await one.call(Tally, "x", "add")
    await one.call(Tally, "x", "below")
    with pytest.MonkeyPatch.context() as patch:
        _end_at(step, one, two, patch)
        with pytest.raises(Crash):
            await one.handover.give([bucket("Tally", "x")], "b", two)
    two.before.clear()
    two.after.clear()
    await one.end()
    await one.open(HOSTS)

    owner, other = (two, one) if "create" in step[6:] and "after" in step else (one, two)
    if step == "after remove":
        owner, other = two, one
    assert newest(one.ownership.store).owner("Tally", "x") == owner.name
    with pytest.raises(NotOwner):
        await other.call(Tally, "x", "add")
    assert await owner.call(Tally, "x", "add") == 2
    assert await owner.call(Tally, "x", "below") == 2

    await other.end()
    await other.open(HOSTS)
    assert other.runtime.list(Tally) == [], "who does not own it removed it when it was opened"
    await owner.handover.give([bucket("Tally", "x")], other.name, other)
    assert await other.call(Tally, "x", "add") == 3


async def test_a_target_that_was_started_again_is_not_given_what_it_no_longer_has(
    sides: tuple[Side, Side],
) -> None:
    one, two = sides
    await one.call(Tally, "x", "add")

    async def restart() -> None:
        del two.after["take"]
        await two.end()
        await two.open(HOSTS)

    two.after["take"] = restart
    with pytest.raises(HandoverFailed):
        await one.handover.give(EVERY, "b", two)
    assert two.runtime.list(Tally) == []
    assert await one.call(Tally, "x", "add") == 2
    await one.handover.give(EVERY, "b", two)
    assert await two.call(Tally, "x", "add") == 3


async def test_a_target_that_is_started_again_after_the_move_has_the_tree(
    sides: tuple[Side, Side],
) -> None:
    one, two = sides
    await one.call(Tally, "x", "add")
    await one.handover.give(EVERY, "b", two)
    await two.end()
    await two.open(HOSTS)
    assert await two.call(Tally, "x", "add") == 2


async def test_an_older_incarnation_cannot_complete_a_move(sides: tuple[Side, Side]) -> None:
    one, two = sides
    await one.call(Tally, "x", "add")
    newer = one.again()
    two.after["take"] = newer.enter
    with pytest.raises(Superseded):
        await one.handover.give(EVERY, "b", two)
    assert len(one.superseded) == 1
    assert newest(one.ownership.store).owned("b") == []


async def test_what_an_older_incarnation_sends_is_not_taken(sides: tuple[Side, Side]) -> None:
    one, two = sides
    await one.call(Tally, "x", "add")
    newer = one.again()
    two.before["take"] = newer.enter
    with pytest.raises(HandoverFailed, match="does not own"):
        await one.handover.give(EVERY, "b", two)
    assert two.runtime.list(Tally) == []


async def test_a_store_that_fails_after_it_made_the_move_does_not_undo_it(
    sides: tuple[Side, Side], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = sides
    await one.call(Tally, "x", "add")

    def made(store: Any, change: Any) -> Any:
        amend(store, change)
        raise ObjectStoreFailed("no answer", url="", key="")

    monkeypatch.setattr("actors.ray.ownership.amend", made)
    await one.handover.give(EVERY, "b", two)
    with pytest.raises(NotOwner):
        await one.call(Tally, "x", "add")
    assert await two.call(Tally, "x", "add") == 2


async def test_a_census_knows_who_is_new_who_is_gone_and_who_has_another_name(
    sides: tuple[Side, Side],
) -> None:
    one, _ = sides
    await one.call(Tally, "old", "add")
    await one.call(Tally, "gone", "add")
    census = Census(one.runtime.host)
    await census.take()
    await one.call(Tally, "new", "add")
    await one.runtime.delete(Tally, "gone")
    assert census.trees(bucket("Tally", "new")) == [("Tally", "new")]
    assert census.trees(bucket("Tally", "gone")) == []
    await one.runtime.rename(Tally, "old", "renamed")
    assert census.trees(bucket("Tally", "old")) == []
    assert census.trees(bucket("Tally", "renamed")) == [("Tally", "renamed")]


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_happens_in_whatever_order_each_write_is_there_once(
    sides: tuple[Side, Side], seed: int
) -> None:
    rng = random.Random(seed)
    by_name = {side.name: side for side in sides}
    made = dict.fromkeys(NAMES, 0)
    for _ in range(25):
        owner = {name: newest(sides[0].ownership.store).owner("Tally", name) for name in NAMES}
        name = rng.choice(NAMES)
        what = rng.choice(["call", "call", "give", "give", "end"])
        if what == "call":
            made[name] += 1
            assert await by_name[owner[name]].call(Tally, name, "add") == made[name]
        elif what == "end":
            side = rng.choice(sides)
            await side.end()
            await side.open(HOSTS)
        else:
            source, target = rng.sample(sides, 2)
            some = [bucket("Tally", one) for one in rng.sample(NAMES, 3)]
            step = rng.choice([None, *STEPS])
            with pytest.MonkeyPatch.context() as patch, suppress(Crash):
                if step is not None:
                    _end_at(step, source, target, patch)
                await source.handover.give(some, target.name, target)
            target.before.clear()
            target.after.clear()
            if step is not None:
                await source.end()
                await source.open(HOSTS)
    for name in NAMES:
        found = []
        for side in sides:
            with suppress(NotOwner):
                found.append(await side.call(Tally, name, "add"))
        assert found == [made[name] + 1]


async def test_what_was_moved_survives_the_loss_of_the_disk_that_took_it(tmp_path: Path) -> None:
    store = shared(tmp_path)
    options = {"replica": (tmp_path / "replica").as_uri(), "durability": "replicated"}
    one, two = [Side(tmp_path, name, store, Tally, **options) for name in HOSTS]
    await one.open(HOSTS)
    await two.open(HOSTS)
    source, target = (one, two) if one.ownership.owns("Tally", "x") else (two, one)
    await source.call(Tally, "x", "add")
    await source.call(Tally, "x", "write", "x" * 1_000_000)
    await source.handover.give(EVERY, target.name, target)
    await target.end()
    shutil.rmtree(tmp_path / target.name)
    await target.open(HOSTS)
    assert await target.call(Tally, "x", "add") == 2
    assert await target.call(Tally, "x", "read") == "x" * 1_000_000
    await one.end()
    await two.end()
