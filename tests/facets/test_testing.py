"""The parts for tests: a runtime in memory, and deaths."""

from __future__ import annotations

import asyncio
import fcntl
import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from facets import Actor, LocalRuntime
from facets.errors import JournalFailed
from facets.testing import (
    Crashed,
    Fault,
    FaultyDisk,
    Killed,
    MemoryRuntime,
    Outcome,
    crash,
    die_everywhere,
    scratch,
)
from facets.testing.scratch import Scratch

STOPPED: list[str] = []


class Purse(Actor):
    async def pay(self, n: int) -> int:
        self.kv["n"] = self.kv.get("n", 0) + n
        return int(self.kv["n"])

    async def has(self) -> int:
        return int(self.kv.get("n", 0))

    async def pay_and_hang(self, n: int) -> None:
        await self.pay(n)
        await asyncio.Event().wait()

    async def split(self) -> None:
        await asyncio.gather(*(self.facets.get(name, Purse).pay(1) for name in "ab"))

    async def copy(self) -> None:
        await self.facets.clone("a", "c")

    async def parts(self) -> list[str]:
        return self.facets.list()

    async def on_stop(self) -> None:
        STOPPED.append(self.name)


async def test_state_in_memory_lives_through_restarts_and_goes_with_its_runtime() -> None:
    runtime = MemoryRuntime()
    for n in (1, 2, 3):
        async with runtime:
            assert await runtime.get(Purse, "a").pay(1) == n
    root = runtime.root
    assert root.is_dir()
    del runtime
    gc.collect()
    assert not root.exists()


def test_what_a_killed_process_left_is_removed_and_what_is_held_stays(tmp_path: Path) -> None:
    held = Scratch().path
    kept = Scratch()
    with kept_in(tmp_path, "dead") as dead, kept_in(tmp_path, "young") as young:
        os.utime(dead / "alive", (0, 0))
        living = tmp_path / "facets-living"
        living.mkdir()
        with (living / "alive").open("w") as alive:
            fcntl.flock(alive, fcntl.LOCK_EX)
            os.utime(living / "alive", (0, 0))
            scratch._sweep.__wrapped__(tmp_path)
        assert (dead.exists(), young.exists(), living.exists()) == (False, True, True)
    assert kept.path.is_dir()
    gc.collect()
    assert not held.exists()


@contextmanager
def kept_in(above: Path, name: str) -> Iterator[Path]:
    """A directory that nobody holds."""
    path = above / f"facets-{name}"
    path.mkdir()
    (path / "alive").touch()
    yield path


async def test_two_runtimes_in_memory_share_nothing() -> None:
    async with MemoryRuntime() as one, MemoryRuntime() as other:
        await one.get(Purse, "a").pay(1)
        assert await other.get(Purse, "a").has() == 0
        assert other.list(Purse) == []


async def test_an_actor_in_memory_sleeps_when_its_clock_says_so() -> None:
    async with MemoryRuntime(idle=10.0) as runtime:
        await runtime.get(Purse, "a").pay(1)
        await runtime.clock.run(9.0)
        assert runtime.stats().awake == 1
        await runtime.clock.run(9.0)
        assert runtime.stats().awake == 0


async def test_a_crash_keeps_what_was_acknowledged_and_stops_nothing_properly() -> None:
    STOPPED.clear()
    async with MemoryRuntime() as runtime:
        purse = runtime.get(Purse, "a")
        assert await purse.pay(1) == 1
        await runtime.crash()
        assert STOPPED == []
        with pytest.raises(Crashed):
            await purse.has()
        assert await runtime.get(Purse, "a").has() == 1
    assert STOPPED == ["a"]


async def test_a_crash_loses_what_was_committed_and_not_made_durable() -> None:
    async with MemoryRuntime() as runtime:
        call = asyncio.ensure_future(runtime.get(Purse, "a").pay_and_hang(1))
        await asyncio.sleep(0)
        store = runtime.host.store
        assert store.durable < store.committed
        await runtime.crash()
        with pytest.raises(Crashed):
            await call
        assert await runtime.get(Purse, "a").has() == 0


async def test_a_runtime_on_a_disk_can_crash_as_well(state: Path) -> None:
    runtime = LocalRuntime(state)
    async with runtime:
        await runtime.get(Purse, "a").pay(1)
        await crash(runtime)
        await runtime.open()
        assert await runtime.get(Purse, "a").has() == 1


async def test_a_death_at_a_write_of_the_journal_ends_everybody_who_waits_for_it() -> None:
    disk = FaultyDisk()
    async with MemoryRuntime(disk=disk) as runtime:
        await runtime.get(Purse, "a").pay(1)
        disk.add(Fault("write", path="*.seg", outcome=Outcome.KILL))
        calls = [runtime.get(Purse, name).pay(1) for name in "abc"]
        found = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(one, (Killed, JournalFailed)) for one in found)
        await runtime.crash()
        assert [await runtime.get(Purse, name).has() for name in "abc"] == [1, 0, 0]


async def test_wherever_it_dies_a_clone_is_there_as_a_whole_or_not_at_all() -> None:
    found: set[tuple[str, ...]] = set()

    async def setup(runtime: MemoryRuntime) -> None:
        await runtime.get(Purse, "x").split()

    async def act(runtime: MemoryRuntime) -> None:
        await runtime.get(Purse, "x").copy()

    async def check(runtime: MemoryRuntime) -> None:
        parts = await runtime.get(Purse, "x").parts()
        found.add(tuple(parts))

    deaths = await die_everywhere(setup, act, check, every=3)
    assert deaths > 5
    assert found == {("a", "b"), ("a", "b", "c")}


async def test_who_waits_for_an_answer_of_the_dead_waits_no_longer() -> None:
    """What dies in a callback of the loop, or on a thread, answers nobody."""

    async def setup(runtime: MemoryRuntime) -> None:
        await runtime.get(Purse, "x").pay(1)

    async def act(runtime: MemoryRuntime) -> None:
        with suppress(BaseException):
            await runtime.get(Purse, "x").pay(1)
            return
        await asyncio.Event().wait()

    async def check(runtime: MemoryRuntime) -> None:
        assert await runtime.get(Purse, "x").has() in (1, 2)

    assert await die_everywhere(setup, act, check) > 0


async def test_a_check_that_fails_after_a_death_fails_the_test() -> None:
    async def pay(runtime: MemoryRuntime) -> None:
        await runtime.get(Purse, "x").pay(1)

    async def check(runtime: MemoryRuntime) -> None:
        assert await runtime.get(Purse, "x").has() == 2

    with pytest.raises(AssertionError):
        await die_everywhere(pay, pay, check)
