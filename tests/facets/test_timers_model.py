"""Random trees with timers against a model, under a clock that the test moves.

The model knows when each timer is due and for which moment. Whatever happens meanwhile (sleep,
closing and opening, deletes, clones, moves, restores, undone steps), what is delivered is what the
model says, at the times it says, and each delivery happens exactly once.
"""

from __future__ import annotations

import asyncio
import copy
import shutil
import tempfile
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from actors.testing import EPOCH, VirtualClock
from facets import Actor, Backoff, LocalRuntime

RETRY = Backoff(first=3, factor=2, most=5, attempts=3, jitter=0)
WAITS = (3, 5)
ROOTS = ("r0", "r1")
FACETS = ("", "f0", "f1", "f0/g")
SEEN: list[tuple[str, str, float, float]] = []
CLOCK: list[VirtualClock] = []


class Leaf(Actor):
    async def do(self, op: str, *args: Any, **kwargs: Any) -> Any:
        return getattr(self.timers, op)(*args, **kwargs)

    async def do_and_fail(self, op: str, *args: Any) -> None:
        getattr(self.timers, op)(*args)
        raise ZeroDivisionError

    async def ring(self, key: str, fails: int, chain: int) -> None:
        current = self.timers.current
        assert current is not None
        SEEN.append((key, self.id, current.scheduled_for - EPOCH, CLOCK[0].time()))
        if chain:
            self.timers.after(7, self.ring, key, 0, chain - 1, name=f"chain {key}")
        if current.attempt <= fails:
            raise ValueError("not yet")

    async def waiting(self) -> list[tuple[Any, ...]]:
        return [(one.args[0], one.due - EPOCH, one.attempt) for one in self.timers.list()]  # type: ignore[operator]

    async def given_up(self) -> list[str]:
        return [one.args[0] for one in self.timers.dead()]


class Root(Leaf, kind="ModelRoot"):
    async def on(self, path: str, method: str, *args: Any, **kwargs: Any) -> Any:
        name, _, rest = path.partition("/")
        if not path:
            return await getattr(self, method)(*args, **kwargs)
        return await self.facets.get(name, Root).on(rest, method, *args, **kwargs)

    async def on_facet_due(self, name: str) -> None:
        self.facets.get(name, Root)  # one between, in a clone: see `actors.starts`

    async def manage(self, op: str, *args: Any) -> Any:
        result = getattr(self.facets, op)(*args)
        return await result if asyncio.iscoroutine(result) else result


@dataclass(frozen=True)
class Planned:
    """One timer, as the model knows it."""

    key: str
    due: float
    planned: float
    every: float | None = None
    fails: int = 0
    chain: int = 0
    name: str | None = None
    attempt: int = 0


Place = tuple[str, str]
State = dict[Place, list[Planned]]


class Timers(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = Path(tempfile.mkdtemp())
        self.clock = VirtualClock()
        CLOCK[:] = [self.clock]
        SEEN.clear()
        self.runtime: LocalRuntime | None = None
        self.planned: State = {}
        self.dead: dict[Place, list[str]] = {}
        self.expected: Counter[tuple[str, str, float, float]] = Counter()
        self.keys = 0
        self.marks: list[tuple[str, State, dict[Place, list[str]]]] = []

    def run(self, work: Any) -> Any:
        return self.runner.run(work)

    @initialize()
    def opens(self) -> None:
        self.run(self._open())

    async def _open(self) -> None:
        self.runtime = LocalRuntime(self.folder / "state", clock=self.clock)
        await self.runtime.open()
        self.runtime.register(Root)
        await self.clock.run(0)
        self._model()

    def teardown(self) -> None:
        if self.runtime is not None:
            self.run(self.runtime.close())
        self.runner.close()
        shutil.rmtree(self.folder)

    # -- the model ------------------------------------------------------------------------

    def _key(self) -> str:
        self.keys += 1
        return f"k{self.keys}"

    def _add(self, place: Place, one: Planned) -> None:
        timers = self.planned.setdefault(place, [])
        timers[:] = [other for other in timers if one.name is None or other.name != one.name]
        timers.append(one)

    def _model(self, since: float | None = None) -> None:
        """Time has passed since then: what was due is delivered, what was late already at once."""
        until = self.clock.time()
        since = until if since is None else since
        while True:
            due = [(one.due, place, one) for place, all_ in self.planned.items() for one in all_]
            due = [found for found in due if found[0] <= until]
            if not due:
                return
            _, place, one = min(due, key=lambda found: found[0])
            self._deliver(place, one, max(one.due, since))

    def _deliver(self, place: Place, one: Planned, now: float) -> None:
        timers = self.planned[place]
        timers.remove(one)
        self.expected[one.key, _id(place), one.planned, now] += 1
        if one.attempt < one.fails:
            if one.attempt + 1 < RETRY.attempts:
                wait = WAITS[one.attempt]
                timers.append(replace(one, due=now + wait, attempt=one.attempt + 1))
                return
            self.dead.setdefault(place, []).append(one.key)
        elif one.chain:
            name = f"chain {one.key}"
            self._add(place, Planned(one.key, now + 7, now + 7, chain=one.chain - 1, name=name))
        if one.every is not None:
            ticks = max(1, (now - one.planned) // one.every + 1)
            tick = one.planned + ticks * one.every
            timers.append(replace(one, due=tick, planned=tick, attempt=0))

    def _below(self, root: str, path: str) -> list[Place]:
        return [
            place
            for place in {*self.planned, *self.dead}
            if place[0] == root
            and (not path or place[1] == path or place[1].startswith(path + "/"))
        ]

    # -- what happens ---------------------------------------------------------------------

    places = st.tuples(st.sampled_from(ROOTS), st.sampled_from(FACETS))

    def _on(self, place: Place, method: str, *args: Any, **kwargs: Any) -> Any:
        return self.run(self._call(place, method, *args, **kwargs))

    async def _call(self, place: Place, method: str, *args: Any, **kwargs: Any) -> Any:
        assert self.runtime is not None
        return await self.runtime.get(Root, place[0]).on(place[1], method, *args, **kwargs)

    opened = precondition(lambda self: self.runtime is not None)
    closed = precondition(lambda self: self.runtime is None)

    @opened
    @rule(
        place=places,
        seconds=st.integers(0, 40),
        fails=st.integers(0, 3),
        name=st.sampled_from([None, "x", "y"]),
    )
    def schedules(self, place: Place, seconds: int, fails: int, name: str | None) -> None:
        key, due = self._key(), self.clock.time() + seconds
        args = ("after", seconds, "ring", key, fails, 0)
        self._on(place, "do", *args, name=name, retry=RETRY)
        self._add(place, Planned(key, due, due, fails=fails, name=name))

    @opened
    @rule(place=places, seconds=st.integers(5, 40), fails=st.sampled_from([0, 0, 1, 3]))
    def schedules_again_and_again(self, place: Place, seconds: int, fails: int) -> None:
        key, due = self._key(), self.clock.time() + seconds
        name = f"every {place}"
        self._on(place, "do", "every", seconds, "ring", key, fails, 0, name=name, retry=RETRY)
        self._add(place, Planned(key, due, due, every=seconds, fails=fails, name=name))

    @opened
    @rule(place=places, seconds=st.integers(0, 10), chain=st.integers(1, 3))
    def schedules_what_schedules(self, place: Place, seconds: int, chain: int) -> None:
        key, due = self._key(), self.clock.time() + seconds
        self._on(place, "do", "at", EPOCH + due, "ring", key, 0, chain, retry=RETRY)
        self._add(place, Planned(key, due, due, chain=chain))

    @opened
    @rule(place=places, name=st.sampled_from(["x", "y"]))
    def cancels(self, place: Place, name: str) -> None:
        timers = self.planned.get(place, [])
        there = [one for one in timers if one.name == name]
        found = self._on(place, "do", "cancel", name)
        assert found or not there  # a dead one has its name, too
        timers[:] = [one for one in timers if one.name != name]
        if found and not there:
            self._recount(place)

    def _recount(self, place: Place) -> None:
        self.dead[place] = self._on(place, "given_up")

    @opened
    @rule(place=places)
    def fails_after_scheduling(self, place: Place) -> None:
        try:
            self._on(place, "do_and_fail", "after", 1, "ring", "never", 0, 0)
        except ZeroDivisionError:
            return
        raise AssertionError("it did not fail")

    @opened
    @rule(seconds=st.integers(0, 60))
    def time_passes(self, seconds: int) -> None:
        since = self.clock.time()
        self.run(self.clock.run(seconds))
        self._model(since)

    @opened
    @rule()
    def everybody_sleeps(self) -> None:
        assert self.runtime is not None
        since = self.clock.time()
        self.run(self.clock.run(200))
        self._model(since)

    @opened
    @rule()
    def closes(self) -> None:
        assert self.runtime is not None
        self.run(self.runtime.close())
        self.runtime = None

    @closed
    @rule(seconds=st.integers(0, 100))
    def time_passes_while_nothing_runs(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @closed
    @rule()
    def opens_again(self) -> None:
        self.run(self._open())

    @opened
    @rule(root=st.sampled_from(ROOTS), name=st.sampled_from(["f0", "f1"]))
    def deletes_a_facet(self, root: str, name: str) -> None:
        self._on((root, ""), "manage", "delete", name)
        for place in self._below(root, name):
            self.planned.pop(place, None)
            self.dead.pop(place, None)

    @opened
    @rule(root=st.sampled_from(ROOTS))
    def clones_a_facet(self, root: str) -> None:
        if not self._below(root, "f0"):
            return
        self._on((root, ""), "manage", "clone", "f0", "f1")
        for place in self._below(root, "f1"):
            self.planned.pop(place, None)
            self.dead.pop(place, None)
        for place in self._below(root, "f0"):
            there = root, place[1].replace("f0", "f1", 1)
            self.planned[there] = list(self.planned.get(place, []))
            self.dead[there] = list(self.dead.get(place, []))

    @opened
    @rule(root=st.sampled_from(ROOTS))
    def renames_a_facet(self, root: str) -> None:
        if self._on((root, ""), "manage", "exists", "f1") or not self._below(root, "f0"):
            return
        if not self._on((root, ""), "manage", "exists", "f0"):
            return
        self._on((root, ""), "manage", "rename", "f0", "f1")
        for place in self._below(root, "f0"):
            there = root, place[1].replace("f0", "f1", 1)
            self.planned[there] = self.planned.pop(place, [])
            self.dead[there] = self.dead.pop(place, [])

    @opened
    @rule()
    def remembers(self) -> None:
        assert self.runtime is not None
        state = copy.deepcopy((self.planned, self.dead))
        self.marks.append((self.run(self._bookmark()), *state))

    async def _bookmark(self) -> str:
        assert self.runtime is not None
        return self.runtime.bookmark()

    @opened
    @precondition(lambda self: self.marks)
    @rule(root=st.sampled_from(ROOTS), data=st.data())
    def goes_back(self, root: str, data: st.DataObject) -> None:
        assert self.runtime is not None
        mark, planned, dead = data.draw(st.sampled_from(self.marks))
        if not self._wrote(root, planned):
            return
        self.run(self.runtime.restore(Root, root, mark))
        for place in self._below(root, ""):
            self.planned.pop(place, None)
            self.dead.pop(place, None)
        for place, timers in copy.deepcopy(planned).items():
            if place[0] == root:
                self.planned[place] = timers
        for place, keys in copy.deepcopy(dead).items():
            if place[0] == root:
                self.dead[place] = keys
        self.run(self.clock.run(0))
        self._model()

    def _wrote(self, root: str, state: State) -> bool:
        return any(place[0] == root for place in state) and bool(self._below(root, ""))

    # -- what holds -----------------------------------------------------------------------

    @invariant()
    def what_was_delivered_is_what_was_to_be(self) -> None:
        if self.runtime is None:
            return
        self.run(self.clock.run(0))
        self._model()
        seen = Counter((key, who, planned, round(at, 3)) for key, who, planned, at in SEEN)
        assert seen == self.expected

    @opened
    @rule(place=places)
    def lists(self, place: Place) -> None:
        found = self._on(place, "waiting")
        known = [(one.key, one.due, one.attempt) for one in self.planned.get(place, [])]
        assert sorted((key, round(due, 3), n) for key, due, n in found) == sorted(known)
        assert sorted(self._on(place, "given_up")) == sorted(self.dead.get(place, []))


def _id(place: Place) -> str:
    return f"ModelRoot:{place[0]}" + (f"/{place[1]}" if place[1] else "")


TestTimers = Timers.TestCase
TestTimers.settings = settings(
    max_examples=15,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    derandomize=True,
)
