"""What the meters of a host show."""

from __future__ import annotations

from pathlib import Path

import pytest

import facets
from actors.laps import KEPT, Laps
from actors.readings import Readings, read
from facets import Actor
from facets.testing import MemoryRuntime


class Child(Actor):
    async def add(self) -> None:
        self.kv["n"] = int(self.kv.get("n", 0)) + 1


class Parent(Actor):
    async def add(self, children: int) -> None:
        for n in range(children):
            await self.facets.get(f"{n}", Child).add()

    async def fail(self) -> None:
        raise ValueError("as asked")

    async def later(self, seconds: float) -> None:
        self.timers.after(seconds, self.add, 0)

    async def leave(self) -> None:
        for name in self.facets.list():
            self.facets.abort(name, "no more")


def shown(runtime: facets.LocalRuntime) -> Readings:
    return read(runtime.host)


async def test_awake_actors_facets_turns_commits_and_errors_are_counted() -> None:
    async with MemoryRuntime() as runtime:
        parent = runtime.get(Parent, "one")
        await parent.add(3)
        with pytest.raises(ValueError, match="as asked"):
            await parent.fail()

        now = shown(runtime)

    assert (now.actors, now.awake, now.facets, now.calls) == (4, 4, 3, 0)
    assert now.turns == 3 + 2
    assert now.errors == 1
    assert now.commits >= 3
    assert now.undurable == 0
    assert now.journal > 0


async def test_sums_go_on_when_actors_end() -> None:
    async with MemoryRuntime() as runtime:
        parent = runtime.get(Parent, "one")
        await parent.add(3)
        before = shown(runtime)
        await parent.leave()
        after = shown(runtime)

    assert after.facets == 0
    assert after.turns == before.turns + 1


async def test_every_reply_that_waits_for_the_disk_is_a_lap_of_the_gate_and_of_a_sync(
    tmp_path: Path,
) -> None:
    async with facets.LocalRuntime(tmp_path) as runtime:
        parent = runtime.get(Parent, "one")
        before = shown(runtime)
        for _ in range(5):
            await parent.add(1)
        after = shown(runtime)

    assert after.gate_waits - before.gate_waits == 5
    assert after.syncs - before.syncs >= 5
    assert after.gate_seconds > before.gate_seconds
    assert after.disk_free > 0


async def test_a_delivery_that_begins_too_late_is_told_by_how_much() -> None:
    async with MemoryRuntime() as runtime:
        await runtime.get(Parent, "one").later(60)
        assert shown(runtime).timer_actors == 1
        runtime.clock.advance(100)
        await runtime.clock.run(1)

        assert shown(runtime).timer_late == pytest.approx(40, abs=2)
        assert shown(runtime).timers_delivered == 1


def test_laps_keep_the_newest_and_count_all() -> None:
    laps = Laps()
    for n in range(KEPT + 10):
        laps.add(float(n))

    assert laps.count == KEPT + 10
    assert laps.seconds == sum(range(KEPT + 10))
    assert laps.take() == [float(n) for n in range(10, KEPT + 10)]
    assert laps.take() == []
