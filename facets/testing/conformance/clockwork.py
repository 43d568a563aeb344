"""Timers: what an actor wants to be called for later.

These need a runtime with a clock that the test moves: override `pass_time` where it is not
`runtime.host.clock`.
"""

from __future__ import annotations

from typing import Any

from facets.errors import BadTimer
from facets.testing.conformance.kit import Conformance, Player, Runtime, play, raising, same

TREE = ("a", "slash", "slash/below", "wild%card", "wildXcard")


class ClockConformance(Conformance):
    """One timer and many, in roots and in facets, through every kind of end."""

    async def pass_time(self, runtime: Runtime, seconds: float) -> None:
        """Let this much time go by, and everything that is due be done."""
        clock: Any = runtime.host.clock
        await clock.run(seconds)

    async def test_a_timer_calls_its_actor_when_it_is_due_and_not_before(
        self, runtime: Runtime
    ) -> None:
        """Once; then there is none."""
        bell = runtime.get(Bell, "bell")
        await bell.after(60, "hello")
        await self.pass_time(runtime, 59)
        same(await bell.heard(), [])
        same(len(await bell.pending()), 1)
        await self.pass_time(runtime, 2)
        same(await bell.heard(), ["hello"])
        same(await bell.pending(), [])

    async def test_a_timer_in_the_past_is_due_at_once(self, runtime: Runtime) -> None:
        """It was missed, not forgotten."""
        bell = runtime.get(Bell, "bell")
        await bell.at(0.0, "late")
        await self.pass_time(runtime, 0)
        same(await bell.heard(), ["late"])

    async def test_a_facet_has_timers_like_a_root(self, runtime: Runtime) -> None:
        """At any depth; it is called under its own name, and its parent is not."""
        root = runtime.get(Bell, "root")
        await root.below(["outer", "inner"], "after", 60, "deep")
        await self.sleep_all(runtime)
        await self.pass_time(runtime, 61)
        same(await root.below(["outer", "inner"], "heard"), ["deep"])
        same(await root.below(["outer", "inner"], "called_as"), ["inner"])
        same((await root.below(["outer"], "heard"), await root.heard()), ([], []))

    async def test_a_timer_wakes_an_actor_that_sleeps(self, runtime: Runtime) -> None:
        """It knows its name, though nobody called it by that."""
        bell = runtime.get(Bell, "named")
        await bell.after(60, "wake up")
        await self.sleep_all(runtime)
        same(runtime.stats().awake, 0)
        await self.pass_time(runtime, 61)
        same(await runtime.get(Bell, "named").called_as(), ["named"])

    async def test_timers_outlive_the_runtime(self, runtime: Runtime) -> None:
        """What became due meanwhile comes after the start, once."""
        for name, end in (("restarted", self.restart), ("crashed", self.crash)):
            bell = runtime.get(Bell, name)
            await bell.after(60, "later")
            await end(runtime)
            runtime.register(Bell)
            await self.pass_time(runtime, 61)
            same(await runtime.get(Bell, name).heard(), ["later"])

    async def test_a_timer_is_scheduled_with_the_step_or_not_at_all(self, runtime: Runtime) -> None:
        """What is undone has not been scheduled, nor cancelled, nor moved."""
        bell = runtime.get(Bell, "bell")
        await bell.named("kept", 60, "kept")
        with raising(KeyError):
            await bell.change_and_raise()
        await self.pass_time(runtime, 120)
        same(await bell.heard(), ["kept"])

    async def test_a_timer_that_is_set_again_is_moved(self, runtime: Runtime) -> None:
        """One name, one timer: sooner or later than before."""
        bell = runtime.get(Bell, "bell")
        for seconds in (60, 30, 90):
            await bell.named("same", seconds, seconds)
        same(len(await bell.pending()), 1)
        await self.pass_time(runtime, 61)
        same(await bell.heard(), [])
        await self.pass_time(runtime, 30)
        same(await bell.heard(), [90])

    async def test_a_cancelled_timer_does_not_come(self, runtime: Runtime) -> None:
        """Cancelling what is not there says so, as often as one likes."""
        bell = runtime.get(Bell, "bell")
        number = await bell.after(60, "never")
        same([await bell.cancel(number) for _ in range(3)], [True, False, False])
        await self.pass_time(runtime, 120)
        same(await bell.heard(), [])

    async def test_nobody_cancels_the_timers_of_another(self, runtime: Runtime) -> None:
        """Siblings, parent and child have ids and names of their own."""
        root = runtime.get(Bell, "root")
        paths: tuple[list[str], ...] = ([], ["a"], ["b"], ["a", "b"])
        for path in paths:
            await root.below(path, "named", "same", 60, "mine")
        same(await root.below(["b"], "cancel", "same"), True)
        for path in paths:
            same(len(await root.below(path, "pending")), 0 if path == ["b"] else 1)

    async def test_inside_a_call_the_timer_that_made_it_is_no_more(self, runtime: Runtime) -> None:
        """It can be cancelled there, to no effect, and set again for another time."""
        bell = runtime.get(Bell, "bell")
        await bell.after(60, "again")
        await self.pass_time(runtime, 61)
        same(await bell.heard(), ["again"])
        same(len(await bell.pending()), 1)
        await self.pass_time(runtime, 61)
        same(await bell.heard(), ["again", "the last"])
        same(await bell.pending(), [])

    async def test_ticks_come_again_and_again_until_they_are_cancelled(
        self, runtime: Runtime
    ) -> None:
        """Those that were missed are one."""
        root = runtime.get(Bell, "root")
        await root.below(["a"], "every", 60, "tick")
        await self.pass_time(runtime, 200)
        same(await root.below(["a"], "heard"), ["tick"] * 3)
        await self.sleep_all(runtime)
        await self.restart(runtime)
        runtime.register(Bell)
        await self.pass_time(runtime, 60)
        root = runtime.get(Bell, "root")
        same(len(await root.below(["a"], "heard")), 4)
        same(await root.below(["a"], "cancel", "tick"), True)
        await self.pass_time(runtime, 200)
        same(len(await root.below(["a"], "heard")), 4)

    async def test_cron_works_in_a_facet(self, runtime: Runtime) -> None:
        """It goes on after its call."""
        root = runtime.get(Bell, "root")
        await root.below(["a"], "cron", "* * * * *", "minute")
        await self.pass_time(runtime, 180)
        same(await root.below(["a"], "heard"), ["minute"] * 3)
        same(len(await root.below(["a"], "pending")), 1)

    async def test_a_method_that_raises_is_called_again(self, runtime: Runtime) -> None:
        """After a while; with the same delivery, until it succeeds."""
        bell = runtime.get(Bell, "bell")
        await bell.after(60, "fails twice")
        await self.pass_time(runtime, 3600)
        same(await bell.heard(), ["fails twice"])
        same(len(set(await bell.deliveries())), 1)
        same(len(await bell.deliveries()), 3)

    async def test_deleting_takes_the_timers_of_all_below_along(self, runtime: Runtime) -> None:
        """Those of a name that only looks like one below stay."""
        root = runtime.get(Bell, "root")
        for name in TREE:
            await root.below([name], "after", 60, name)
            await root.below([name, "under"], "after", 60, name)
        for name in ("slash", "wild%card"):
            await root.delete(name)
        await self.pass_time(runtime, 61)
        for name in TREE:
            expected = [] if name in ("slash", "wild%card") else [name]
            same(await root.below([name], "heard"), expected)
            same(await root.below([name, "under"], "heard"), expected)

    async def test_who_begins_anew_has_no_timers(self, runtime: Runtime) -> None:
        """Of the deleted one of that name nothing comes."""
        root = runtime.get(Bell, "root")
        await root.below(["a"], "after", 60, "of the dead")
        await root.delete("a")
        await root.below(["a"], "after", 90, "of the living")
        await self.pass_time(runtime, 120)
        same(await root.below(["a"], "heard"), ["of the living"])

    async def test_an_abort_keeps_timers(self, runtime: Runtime) -> None:
        """It ends an instance, not what was promised."""
        root = runtime.get(Bell, "root")
        await root.below(["a"], "after", 60, "kept")
        await root.abort("a")
        await self.pass_time(runtime, 61)
        same(await root.below(["a"], "heard"), ["kept"])

    async def test_a_call_may_have_its_own_facet_deleted(self, runtime: Runtime) -> None:
        """It does not wait for itself, and does not come again."""
        root = runtime.get(Bell, "root")
        await root.below(["a"], "after", 60, "delete me")
        await self.pass_time(runtime, 3600)
        same(await root.names(), [])

    async def test_a_copy_has_timers_of_its_own(self, runtime: Runtime) -> None:
        """Each of the two is called."""
        root = runtime.get(Bell, "root")
        await root.below(["a"], "after", 60, "twice")
        await root.clone("a", "b")
        await self.pass_time(runtime, 61)
        for name in "ab":
            same(await root.below([name], "heard"), ["twice"])

    async def test_what_cannot_be_scheduled_is_refused(self, runtime: Runtime) -> None:
        """At once, and nothing is kept."""
        await play(runtime, _refused)

    async def sleep_all(self, runtime: Runtime) -> None:
        """Let everything go to sleep that is idle."""
        for activation in sorted(runtime.host.awake, key=lambda one: -one.node.depth):
            activation.node.sleep()


class Bell(Player, kind="conformance-bell"):
    """Rings when it is called by a timer, and remembers."""

    async def below(self, path: list[str], method: str, *args: Any) -> Any:
        """Call a method of the bell at the end of a path of names."""
        if not path:
            return await getattr(self, method)(*args)
        return await self.facets.get(path[0], Bell).below(path[1:], method, *args)

    async def on_facet_due(self, name: str) -> None:
        """All below are bells."""
        self.facets.get(name, Bell)

    async def ring(self, text: Any) -> None:
        """What timers call."""
        current = self.timers.current
        if current is None:
            raise AssertionError("a delivery does not know that it is one")
        self.kv["deliveries"] = [*self.kv.get("deliveries", []), current.id]
        if text == "fails twice" and len(self.kv["deliveries"]) < 3:
            await self.env_step()
            raise ValueError("as wanted")
        if text == "again":
            self.timers.cancel(current.timer)
            self.timers.after(60, self.ring, "the last")
        self.kv["heard"] = [*self.kv.get("heard", []), text]
        self.kv["names"] = [*self.kv.get("names", []), self.name]
        if text == "delete me":
            await self.parent.delete(self.name)

    async def env_step(self) -> None:
        """End the step, so that what was written before is kept."""
        await self.facets.get("other", Player).get()

    async def after(self, seconds: float, text: Any) -> int:
        """Once."""
        return self.timers.after(seconds, self.ring, text)

    async def named(self, name: str, seconds: float, text: Any) -> int:
        """Once, by name."""
        return self.timers.after(seconds, self.ring, text, name=name)

    async def at(self, when: float, text: Any) -> int:
        """Once, at a moment."""
        return self.timers.at(when, self.ring, text)

    async def every(self, seconds: float, name: str) -> int:
        """Again and again."""
        return self.timers.every(seconds, self.ring, name, name=name)

    async def cron(self, expression: str, name: str) -> int:
        """By the calendar."""
        return self.timers.cron(expression, self.ring, name, name=name)

    async def cancel(self, which: int | str) -> bool:
        """By id or name."""
        return self.timers.cancel(which)

    async def change_and_raise(self) -> None:
        """A step that is undone."""
        self.timers.cancel("kept")
        self.timers.after(30, self.ring, "undone")
        raise KeyError("as wanted")

    async def pending(self) -> list[int]:
        """Ids of those that wait."""
        return [one.id for one in self.timers.list()]

    async def heard(self) -> list[Any]:
        """What it was called with."""
        return list(self.kv.get("heard", []))

    async def called_as(self) -> list[str]:
        """What it was called."""
        return list(self.kv.get("names", []))

    async def deliveries(self) -> list[str]:
        """Ids of all attempts."""
        return list(self.kv.get("deliveries", []))

    async def abort(self, name: str) -> None:
        """End a facet."""
        self.facets.abort(name)

    async def delete(self, name: str) -> None:
        """Delete a facet."""
        self.facets.delete(name)

    async def clone(self, source: str, target: str) -> None:
        """Copy a facet."""
        await self.facets.clone(source, target)


async def _refused(player: Player) -> None:
    for wrong in (float("nan"), float("inf"), -1.0):
        with raising((BadTimer, ValueError)):  # type: ignore[arg-type]
            player.timers.after(wrong, player.get)
    with raising((BadTimer, ValueError)):  # type: ignore[arg-type]
        player.timers.cron("every now and then", player.get)
    same(list(player.timers.list()), [])
