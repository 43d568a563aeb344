"""What is known of actors without waking them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from actors.testing import VirtualClock
from facets import Actor, ActorStat, LocalRuntime
from storage.connection import Connection


class Box(Actor, kind="Box"):
    async def box(self, path: str) -> Any:
        name, _, rest = path.partition("/")
        below = self.facets.get(name, Box)
        return await below.box(rest) if rest else below

    async def put(self, value: str) -> None:
        self.kv["x"] = value

    async def fill(self, rows: int) -> None:
        self.sql("create table t(a)")
        self.sql.many("insert into t values (?)", [(n,) for n in range(rows)])

    async def fail(self) -> None:
        raise ValueError("no")

    async def fail_later(self) -> None:
        await asyncio.sleep(0)
        raise ValueError("no")

    async def stat(self, name: str, **asked: bool) -> ActorStat:
        return self.facets.stat(name, **asked)

    async def tree(self, name: str) -> Any:
        return self.facets.tree(name)

    async def wait(self) -> None:
        await asyncio.Event().wait()

    async def start_broken(self) -> None:
        await self.facets.get("broken", Broken).anything()


class Broken(Actor, kind="Broken"):
    async def on_start(self) -> None:
        raise RuntimeError("cannot start")

    async def anything(self) -> None: ...


@pytest.fixture
async def box(runtime: LocalRuntime) -> Box:
    box = runtime.get(Box, "k")
    for path in ("a", "a/deep"):
        await (await box.box(path)).put(path)
    return box


def sleep_all(runtime: LocalRuntime, clock: VirtualClock) -> None:
    for _ in range(4):
        runtime.sweep()
        clock.advance(61)


async def test_counters_are_of_calls_errors_and_commits(box: Box) -> None:
    a = await box.box("a")
    before = await box.stat("a")
    await a.put("again")
    for call in (a.fail, a.fail_later):
        with pytest.raises(ValueError, match="no"):
            await call()

    after = await box.stat("a")

    assert (after.turns - before.turns, after.errors, after.commits) == (4, 2, 2)
    assert (after.state, after.calls, after.failure) == ("running", 0, None)
    assert after.written is not None


async def test_rows_and_sums_are_told_on_request(runtime: LocalRuntime, box: Box) -> None:
    await (await box.box("a/deep")).fill(7)

    plain = await box.stat("a")
    assert (plain.rows, plain.below) == (None, None)
    found = runtime.stat(Box, "k", below=True)
    deep = await (await box.box("a")).stat("deep", rows=True)

    assert found.below is not None
    assert (found.below.actors, found.below.databases) == (3, 2)
    assert found.below.size == plain.size + deep.size
    assert deep.rows is not None
    assert deep.rows["t"] == 7


async def test_states_are_told_apart(runtime: LocalRuntime, box: Box, clock: VirtualClock) -> None:
    assert runtime.stat(Box, "nobody").state == "asleep"
    with pytest.raises(RuntimeError, match="cannot start"):
        await box.start_broken()

    broken = await box.stat("broken")
    assert broken.state == "broken"
    assert str(broken.failure) == "cannot start"
    sleep_all(runtime, clock)
    assert runtime.stat(Box, "k").state == "asleep"
    assert runtime.stat(Box, "nobody").written is None


async def test_a_tree_is_listed_with_what_runs_and_what_sleeps(
    runtime: LocalRuntime, box: Box, clock: VirtualClock
) -> None:
    sleep_all(runtime, clock)
    await (await box.box("new")).stat("nothing")

    found = runtime.tree(Box, "k")

    assert [(one.path, one.state) for one in found] == [
        ((), "running"),
        (("a",), "asleep"),
        (("a", "deep"), "asleep"),
        (("new",), "running"),
    ]
    assert [one.size > 0 for one in found] == [False, True, True, False]
    assert [one.path for one in await box.tree("a")] == [(), ("deep",)]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Databases that were opened."""
    found: list[object] = []
    original = Connection.__init__

    def noting(self: Connection, *args: Any) -> None:
        found.append(args[0])
        original(self, *args)

    monkeypatch.setattr(Connection, "__init__", noting)
    return found


async def test_neither_wakes_anybody_nor_opens_a_database(
    runtime: LocalRuntime, box: Box, clock: VirtualClock, opened: list[object]
) -> None:
    sleep_all(runtime, clock)
    opened.clear()

    assert runtime.stat(Box, "k", below=True).below is not None
    assert len(runtime.tree(Box, "k")) == 3
    assert runtime.stat(Box, "k").state == "asleep"

    assert opened == []
    assert runtime.stats().awake == 0


def test_plain_code_asks_and_moves_as_well(state: Path) -> None:
    with LocalRuntime(state).blocking() as runtime:
        runtime.get(Box, "k").put("x")
        found = runtime.stat(Box, "k", below=True)
        assert found.below is not None
        assert found.below.actors == 1
        then = runtime.bookmark()
        runtime.get(Box, "k").put("y")
        (change,) = runtime.diff(Box, "k", at=then)
        assert (change.old, change.new) == ({"value": "x"}, {"value": "y"})
        runtime.rename(Box, "k", "z")
        runtime.demote(Box, "z", runtime.get(Box, "top"), "k")
        assert [one.path for one in runtime.tree(Box, "top")] == [(), ("k",)]


async def test_the_last_use_is_told_of_who_runs_and_of_who_sleeps(
    runtime: LocalRuntime, clock: VirtualClock
) -> None:
    box = runtime.get(Box, "k")
    await box.put("x")
    clock.advance(100)
    await box.tree("x")
    called = clock.now()
    assert runtime.stat(Box, "k").used == called
    sleep_all(runtime, clock)
    asleep = runtime.stat(Box, "k")
    waiting = asyncio.ensure_future(runtime.get(Box, "busy").wait())
    await asyncio.sleep(0)
    clock.advance(7)

    assert (asleep.state, asleep.used) == ("asleep", called)
    assert runtime.stat(Box, "busy").used == clock.now()
    assert runtime.stat(Box, "nobody").used is None
    waiting.cancel()


async def test_after_an_opening_the_last_use_is_the_last_write(state: Path) -> None:
    async with LocalRuntime(state) as runtime:
        await runtime.get(Box, "k").put("x")
    async with LocalRuntime(state) as runtime:
        stat = runtime.stat(Box, "k")

        assert stat.used is not None
        assert stat.used == stat.written
