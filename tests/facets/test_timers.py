"""Timers of trees: they wake who sleeps, survive the runtime, and go where their actor goes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from actors import LocalRuntime
from actors.deadline import deadline
from actors.limits import TimerLimits
from actors.testing import EPOCH, VirtualClock
from actors.ticks import Backoff
from facets import Actor, Start
from facets.errors import StorageFull, TimerLimit

LOG: list[Any] = []
DOOR: dict[str, asyncio.Event] = {}


@pytest.fixture(autouse=True)
def _log() -> None:
    LOG.clear()
    DOOR.clear()


class Child(Actor):
    async def schedule(self, op: str, *args: Any, **kwargs: Any) -> Any:
        return getattr(self.timers, op)(*args, **kwargs)

    async def ring(self, what: Any = None) -> None:
        LOG.append((self.id, what, self.props))
        self.kv["rings"] = self.kv.get("rings", 0) + 1

    async def rings(self) -> int:
        return int(self.kv.get("rings", 0))

    async def wait(self, door: str) -> None:
        LOG.append(f"began {door}")
        await DOOR.setdefault(door, asyncio.Event()).wait()
        LOG.append(f"ended {door}")

    async def in_two_steps(self) -> None:
        self.kv["steps"] = self.kv.get("steps", 0) + 1
        await asyncio.sleep(0)
        current = self.timers.current
        assert current is not None
        if current.attempt == 1:
            raise ValueError("in the second")

    async def seen_in_a_task(self) -> None:
        async def inside() -> Any:
            with deadline(5):
                return self.timers.current

        current = self.timers.current
        assert current is not None
        assert await asyncio.create_task(inside()) is current
        assert await self.facets.get("other", Child).current() is None
        LOG.append("seen")

    async def current(self) -> Any:
        return self.timers.current

    async def reschedule(self, n: int) -> None:
        LOG.append(n)
        if n:
            self.timers.after(1, self.reschedule, n - 1, name="again")

    async def cancel_myself(self) -> None:
        current = self.timers.current
        assert current is not None
        LOG.append(current.timer)
        self.timers.cancel(current.timer)

    async def read(self, key: str) -> Any:
        return self.kv.get(key)


class Root(Child, kind="TimersRoot"):
    async def on(self, path: list[str], method: str, *args: Any, **kwargs: Any) -> Any:
        one: Any = self
        for name in path:
            return await self.facets.get(name, Middle).on(path[1:], method, *args, **kwargs)
        return await getattr(one, method)(*args, **kwargs)

    async def give(self, name: str, cls: Any, *args: Any) -> None:
        start = Start(Child, props={"given": True}) if cls == "props" else Child
        await self.facets.get(name, start).schedule(*args)

    async def hide(self, name: str, *args: Any) -> None:
        class Hidden(Child):
            pass

        await self.facets.get(name, Hidden).schedule(*args)

    async def manage(self, op: str, *args: Any) -> Any:
        result = getattr(self.facets, op)(*args)
        return await result if asyncio.iscoroutine(result) else result

    async def together(self, fail: bool) -> None:
        async with self.facets.transaction():
            self.timers.after(5, self.ring, "root")
            await self.facets.get("c", Child).schedule("after", 5, "ring", "child")
            if fail:
                raise ZeroDivisionError


class Middle(Root, kind="TimersMiddle"):
    pass


class Asked(Root, kind="TimersAsked"):
    async def on_facet_due(self, name: str) -> None:
        LOG.append(f"asked for {name}")
        if name != "nobody":
            self.facets.get(name, Child)


async def asleep(runtime: LocalRuntime, clock: VirtualClock) -> None:
    await clock.run(500)
    assert runtime.stats().awake == 0


async def test_a_timer_of_a_facet_wakes_the_sleeping_tree_parents_first(
    runtime: LocalRuntime, clock: VirtualClock
) -> None:
    root = runtime.get(Root, "a")
    await root.on(["b", "c"], "schedule", "after", 1000, "ring", 1)
    await asleep(runtime, clock)
    await clock.run(600)
    assert LOG == [("TimersRoot:a/b/c", 1, None)]


async def test_what_became_due_while_nothing_ran_is_delivered_after_opening(
    state: Path, clock: VirtualClock
) -> None:
    async with LocalRuntime(state, clock=clock) as runtime:
        root = runtime.get(Root, "a")
        await root.on(["b", "c"], "schedule", "after", 1000, "ring", 1)
        await root.schedule("every", 100, "ring", "tick")
    clock.advance(1050)
    async with LocalRuntime(state, clock=clock) as runtime:
        await clock.run(1)
        assert LOG == []
        assert runtime.stats().timers.unregistered == {"TimersRoot": 2}
        runtime.register(Root)
        await clock.run(1)
        assert sorted(LOG, key=str) == [
            ("TimersRoot:a", "tick", None),
            ("TimersRoot:a/b/c", 1, None),
        ]
        assert runtime.stats().timers.unregistered == {}
        LOG.clear()
        await clock.run(100)
        assert LOG == [("TimersRoot:a", "tick", None)]


async def test_props_come_back_with_the_class(state: Path, clock: VirtualClock) -> None:
    async with LocalRuntime(state, clock=clock) as runtime:
        await runtime.get(Root, "a").give("c", "props", "after", 10, "ring")
    async with LocalRuntime(state, clock=clock) as runtime:
        runtime.register(Root)
        await clock.run(11)
        assert LOG == [("TimersRoot:a/c", None, {"given": True})]


async def test_a_facet_that_is_not_known_waits_until_its_parent_says_what_it_runs(
    state: Path, clock: VirtualClock
) -> None:
    async with LocalRuntime(state, clock=clock) as runtime:
        await runtime.get(Root, "a").hide("c", "after", 10, "ring")
    async with LocalRuntime(state, clock=clock) as runtime:
        root = runtime.get(Root, "a")
        await clock.run(20)
        assert LOG == []
        assert runtime.stats().timers.strangers == ("TimersRoot:a/c",)
        await root.give("c", "plain", "list")
        await clock.run(1)
        assert LOG == [("TimersRoot:a/c", None, None)]
        assert runtime.stats().timers.strangers == ()


async def test_the_parent_is_asked_what_an_unknown_facet_runs(
    state: Path, clock: VirtualClock
) -> None:
    async with LocalRuntime(state, clock=clock) as runtime:
        for name in ("c", "nobody"):
            await runtime.get(Asked, "a").hide(name, "after", 10, "ring")
    async with LocalRuntime(state, clock=clock) as runtime:
        runtime.register(Asked)
        await clock.run(20)
        assert sorted(LOG, key=str) == [
            ("TimersAsked:a/c", None, None), "asked for c", "asked for nobody",
        ]  # fmt: skip
        assert runtime.stats().timers.strangers == ("TimersAsked:a/nobody",)


async def test_a_facet_that_was_replaced_wakes_as_what_replaced_it(
    state: Path, clock: VirtualClock
) -> None:
    async with LocalRuntime(state, clock=clock) as runtime:
        root = runtime.get(Root, "a")
        await root.give("c", "plain", "after", 100, "ring")
        await root.manage("abort", "c")
        await root.on(["c"], "rings")  # runs it as a Middle
    async with LocalRuntime(state, clock=clock) as runtime:
        runtime.register(Root)
        await clock.run(101)
        node = runtime.host.root(Root, "a").children["c"]
        assert node.activation is not None
        assert node.activation.start.code.label.endswith("Middle")


async def test_delete_takes_timers_of_all_below(runtime: LocalRuntime, clock: VirtualClock) -> None:
    root = runtime.get(Root, "a")
    await root.on(["b", "c"], "schedule", "after", 10, "ring", 1)
    await root.on(["b"], "schedule", "after", 10, "ring", 2)
    await root.schedule("after", 10, "ring", 3)
    await root.manage("delete", "b")
    await clock.run(20)
    assert [what for _, what, _ in LOG] == [3]
    await root.schedule("after", 10, "ring", 4)
    await runtime.delete(Root, "a")
    await clock.run(20)
    assert len(LOG) == 1
    assert runtime.stats().timers.actors == 0


async def test_a_clone_has_timers_of_its_own(runtime: LocalRuntime, clock: VirtualClock) -> None:
    root = runtime.get(Root, "a")
    await root.on(["b"], "schedule", "after", 10, "ring", 1)
    await root.manage("clone", "b", "copy")
    await runtime.clone(Root, "a", "z")
    await clock.run(20)
    assert sorted(one for one, _, _ in LOG) == [
        "TimersRoot:a/b", "TimersRoot:a/copy", "TimersRoot:z/b", "TimersRoot:z/copy",
    ]  # fmt: skip


async def test_an_archive_carries_timers(
    runtime: LocalRuntime, clock: VirtualClock, tmp_path: Path
) -> None:
    root = runtime.get(Root, "a")
    await root.on(["b"], "schedule", "after", 10, "ring", 1)
    await runtime.export(Root, "a", tmp_path / "a.tar")
    await runtime.delete(Root, "a")
    await clock.run(20)
    assert LOG == []
    await runtime.import_(Root, "new", tmp_path / "a.tar")
    await clock.run(1)
    assert LOG == [("TimersRoot:new/b", 1, None)]


async def test_a_restore_brings_back_the_timers_of_then(
    runtime: LocalRuntime, clock: VirtualClock
) -> None:
    root = runtime.get(Root, "a")
    await root.schedule("after", 10, "ring", "then", name="x")
    then = runtime.bookmark()
    await root.schedule("after", 20, "ring", "later", name="x")
    await root.schedule("after", 15, "ring", "gone")
    await runtime.restore(Root, "a", then)
    await clock.run(30)
    assert [what for _, what, _ in LOG] == ["then"]
    await runtime.restore(Root, "a", then)
    await clock.run(1)
    assert [what for _, what, _ in LOG] == ["then", "then"]


async def test_a_transaction_schedules_in_all_its_actors_or_in_none(
    runtime: LocalRuntime, clock: VirtualClock
) -> None:
    root = runtime.get(Root, "a")
    with pytest.raises(ZeroDivisionError):
        await root.together(True)
    await clock.run(10)
    assert LOG == []
    await root.together(False)
    await clock.run(10)
    assert sorted(what for _, what, _ in LOG) == ["child", "root"]


async def test_a_delivery_is_known_in_its_tasks_and_to_no_other_actor(
    runtime: LocalRuntime, clock: VirtualClock
) -> None:
    root = runtime.get(Root, "a")
    await root.schedule("after", 1, "seen_in_a_task")
    await clock.run(2)
    assert LOG == ["seen"]
    assert await root.current() is None


async def test_only_the_last_step_of_a_failed_delivery_is_undone(
    runtime: LocalRuntime, clock: VirtualClock
) -> None:
    root = runtime.get(Root, "a")
    await root.schedule("after", 1, "in_two_steps")
    await clock.run(100)
    assert await root.read("steps") == 2
    assert await root.schedule("list") == []


async def test_a_method_may_schedule_itself_again_and_cancel_itself(
    runtime: LocalRuntime, clock: VirtualClock
) -> None:
    root = runtime.get(Root, "a")
    await root.schedule("after", 1, "reschedule", 3, name="again")
    await clock.run(100)
    assert LOG == [3, 2, 1, 0]
    await root.schedule("every", 10, "cancel_myself")
    await clock.run(100)
    assert len(LOG) == 5
    assert await root.schedule("list") == []


async def test_deliveries_of_one_timer_never_overlap_and_others_do_not_wait_for_it(
    runtime: LocalRuntime, clock: VirtualClock
) -> None:
    clock.patience = 0.02
    root = runtime.get(Root, "a")
    await root.schedule("every", 10, "wait", "one")
    await root.schedule("after", 25, "ring", "other")
    await clock.run(45)
    assert LOG == ["began one", ("TimersRoot:a", "other", None)]
    DOOR["one"].set()
    clock.patience = 20
    await clock.run(1)
    assert LOG[2:] == ["ended one"]
    await clock.run(4)
    assert LOG[2:] == ["ended one", "began one", "ended one"]


async def test_a_delivery_that_takes_too_long_is_cancelled_and_has_failed(
    state: Path, clock: VirtualClock
) -> None:
    clock.patience = 0.02
    limits = TimerLimits(seconds=30)
    async with LocalRuntime(state, clock=clock, timers=limits) as runtime:
        root = runtime.get(Root, "a")
        await root.schedule("after", 1, "wait", "never", retry=Backoff(attempts=1))
        await clock.run(40)
        (dead,) = await root.schedule("dead")
        assert dead.error.startswith("DeadlineExceeded: ")
        assert LOG == ["began never"]


async def test_closing_the_runtime_interrupts_a_delivery_that_comes_again(
    state: Path, clock: VirtualClock
) -> None:
    clock.patience = 0.02
    async with LocalRuntime(state, clock=clock) as runtime:
        await runtime.get(Root, "a").schedule("after", 1, "wait", "door")
        await clock.run(2)
        assert LOG == ["began door"]
    DOOR["door"].set()
    clock.patience = 20
    async with LocalRuntime(state, clock=clock) as runtime:
        runtime.register(Root)
        await clock.run(0)
        assert LOG == ["began door", "began door", "ended door"]
        assert await runtime.get(Root, "a").schedule("dead") == []


@pytest.fixture
async def narrow(state: Path, clock: VirtualClock) -> AsyncIterator[LocalRuntime]:
    clock.patience = 0.02
    limits = TimerLimits(count=3, size=100, dead=2, concurrent=4, tree=2, interval=5)
    async with LocalRuntime(state, clock=clock, timers=limits) as runtime:
        yield runtime


async def test_deliveries_are_limited_in_number_and_trees_take_turns(
    narrow: LocalRuntime, clock: VirtualClock
) -> None:
    for n in range(5):
        await narrow.get(Root, "greedy").give(f"c{n}", "plain", "after", 10, "wait", f"greedy {n}")
    for name in ("x", "y"):
        for n in range(2):
            await narrow.get(Root, name).schedule("after", 10, "wait", f"{name} {n}")
    await clock.run(11)
    began = [one.split()[1] for one in LOG]
    assert sorted(began) == ["greedy", "greedy", "x", "y"]
    assert narrow.stats().timers.running == 4
    for n in range(5):
        for name in ("greedy", "x", "y"):
            DOOR.setdefault(f"{name} {n}", asyncio.Event()).set()
    clock.patience = 20
    await clock.run(1)
    assert len([one for one in LOG if one.startswith("ended")]) == 9


async def test_limits_are_errors_and_what_is_there_stays(narrow: LocalRuntime) -> None:
    root = narrow.get(Root, "a")
    for n in range(3):
        await root.schedule("after", 10, "ring", n, name=f"n{n}")
    with pytest.raises(TimerLimit) as count:
        await root.schedule("after", 10, "ring")
    assert (count.value.limit, count.value.most) == ("count", 3)
    await root.schedule("after", 20, "ring", "in its place", name="n1")
    with pytest.raises(TimerLimit) as size:
        await root.schedule("after", 20, "ring", "x" * 100, name="n1")
    assert (size.value.limit, size.value.most) == ("size", 100)
    with pytest.raises(TimerLimit) as interval:
        await root.schedule("every", 4, "ring", name="n1")
    assert (interval.value.limit, interval.value.most) == ("interval", 5)
    assert [one.args for one in await root.schedule("list")] == [(0,), (2,), ("in its place",)]


async def test_the_oldest_dead_timers_go(narrow: LocalRuntime, clock: VirtualClock) -> None:
    root = narrow.get(Root, "a")
    for n in range(3):
        await root.schedule("after", n + 1, "wait", retry=Backoff(attempts=1))
    await clock.run(10)
    assert [one.scheduled_for - EPOCH for one in await root.schedule("dead")] == [2.0, 3.0]


async def test_timers_go_where_their_actor_goes(runtime: LocalRuntime, clock: VirtualClock) -> None:
    root = runtime.get(Root, "a")
    await root.on(["b", "c"], "schedule", "after", 10, "ring", 1)
    await root.on(["b"], "schedule", "after", 10, "ring", 2)
    await root.manage("rename", "b", "moved")
    await clock.run(11)
    assert sorted(one for one, _, _ in LOG) == ["TimersRoot:a/moved", "TimersRoot:a/moved/c"]


async def test_a_crowd_that_is_due_at_once_is_not_awake_at_once(
    narrow: LocalRuntime, clock: VirtualClock
) -> None:
    clock.patience = 20
    names = [f"a{n}" for n in range(40)]
    for name in names:
        await narrow.get(Root, name).schedule("after", 1000, "ring", name)
    await asleep(narrow, clock)
    await clock.run(501)
    assert sorted(what for _, what, _ in LOG) == sorted(names)
    assert narrow.stats().awake <= 8
    for name in names:
        assert await narrow.get(Root, name).rings() == 1


async def test_a_restore_or_a_move_in_the_middle_of_a_delivery_delivers_it_anew(
    runtime: LocalRuntime, clock: VirtualClock
) -> None:
    clock.patience = 0.02
    root = runtime.get(Root, "a")
    await root.on(["b"], "schedule", "after", 1, "wait", "door")
    then = runtime.bookmark()
    await clock.run(2)
    await runtime.restore(Root, "a", then)
    await clock.run(1)
    assert LOG == ["began door"] * 2
    await root.manage("rename", "b", "c")
    await clock.run(1)
    assert LOG == ["began door"] * 3
    (timer,) = await root.on(["c"], "schedule", "list")
    assert timer.attempt == 0
    DOOR["door"].set()
    clock.patience = 20
    await clock.run(1)
    assert LOG == ["began door"] * 3 + ["ended door"]
    assert await root.on(["c"], "schedule", "list") == []


class Regular(Child, kind="TimersRegular"):
    async def on_start(self) -> None:
        self.timers.every(1000, self.ring, "tick", name="tick")
        self.timers.cron("0 * * * *", self.ring, "hour", name="hour")


async def test_a_start_may_schedule_what_goes_on_and_does_not_put_it_off(
    runtime: LocalRuntime, clock: VirtualClock
) -> None:
    regular = runtime.get(Regular, "a")
    (first, _) = await regular.schedule("list")
    await clock.run(3_700)
    assert [what for _, what, _ in LOG] == ["tick", "tick", "tick", "hour"]
    assert runtime.stats().awake == 0  # each of them woke it
    assert {one.id for one in await regular.schedule("list")} == {first.id, first.id + 1}
    changed = await regular.schedule("every", 1000, "ring", "another", name="tick")
    assert changed == first.id + 2


ODD = ["a/b", "100%", "_", "it's", 'say "so"', "..", " ", "über", "🐙", "a\nb", "x" * 1024, "%2F"]


async def test_facets_with_odd_names_wake_and_never_their_siblings(
    state: Path, clock: VirtualClock
) -> None:
    async with LocalRuntime(state, clock=clock) as runtime:
        for name in ODD[::2]:
            await runtime.get(Root, "a").on([name], "schedule", "after", 10, "ring", name)
        for name in ODD[1::2]:
            await runtime.get(Root, "a").on([name], "schedule", "list")
    async with LocalRuntime(state, clock=clock) as runtime:
        runtime.register(Root)
        await clock.run(11)
        assert sorted(what for _, what, _ in LOG) == sorted(ODD[::2])
        for name in ODD:
            rings = await runtime.get(Root, "a").on([name], "rings")
            assert rings == (name in ODD[::2])


@pytest.mark.parametrize("where", ["path", "next_due"])
async def test_a_catalogue_that_cannot_be_read_is_told_of_and_read_again(
    runtime: LocalRuntime, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    await runtime.get(Root, "a").schedule("after", 1000, "ring", 1)
    await asleep(runtime, clock)
    catalogue, once = runtime.host.store.catalogue, [StorageFull("no room")]
    read = getattr(catalogue, where)

    def fails_once(*args: Any) -> Any:
        if once:
            raise once.pop()
        return read(*args)

    monkeypatch.setattr(catalogue, where, fails_once)
    if where == "next_due":
        runtime.host.timers.agenda.restart()
    await clock.run(501)
    assert isinstance(told[0]["exception"], StorageFull)
    assert LOG == [] or where == "next_due"  # which is read ahead of time
    await clock.run(5)
    assert LOG == [("TimersRoot:a", 1, None)]
