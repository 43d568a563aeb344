"""A runtime beside a tree of plain objects that says what it must hold.

Timers add to the value of their actor, so that the order in which those that are due at once are
delivered does not matter. What was acknowledged survives every crash, so a crash changes the
model only where something was under way: there it may hold any prefix of what was being done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from facets import Actor
from facets.errors import FacetAborted
from facets.testing import MemoryRuntime
from storage.errors import StorageError

Path = list[str]
"""The name of a root, and those of the facets below it."""


@dataclass
class Place:
    """What one actor must hold."""

    value: int | None = None
    timers: dict[str, tuple[float, int]] = field(default_factory=dict)
    """By name: when it is due, and what it adds."""
    below: dict[str, Place] = field(default_factory=dict)

    def walk(self, path: Path) -> Iterator[tuple[Path, Place]]:
        """It and all below it, each with its path."""
        yield path, self
        for name, one in self.below.items():
            yield from one.walk([*path, name])


class Branch(Actor, kind="model-branch"):
    """One actor of the tree; its memory must never differ from what it has stored."""

    memory: int | None = None

    async def at(self, path: Path, method: str, *args: Any) -> Any:
        """Call a method at the end of a path."""
        if not path:
            return await getattr(self, method)(*args)
        return await self.facets.get(path[0], Branch).at(path[1:], method, *args)

    async def set(self, value: int) -> None:
        self.memory = self.kv["value"] = value

    async def add(self, n: int) -> None:
        self.memory = self.kv["value"] = self.kv.get("value", 0) + n

    async def get(self) -> int | None:
        stored = self.kv.get("value")
        assert self.memory in (None, stored), "memory and database are apart"
        return stored

    async def set_twice_and_raise(self, first: int, second: int) -> None:
        self.kv["value"] = first
        await asyncio.sleep(0)
        self.memory = first
        self.kv["value"] = second
        raise KeyError("as wanted")

    async def set_and_be_aborted(self, value: int, how: str) -> None:
        """What its parent left in `AMID` is called while the step that sets is open."""
        abort = AMID.pop()
        if how == "method":
            self.memory = self.kv["value"] = value
            abort()
            self.kv["value"] = value
            return
        loop = asyncio.get_running_loop()
        loop.call_soon(self.kv.update, {"value": value})
        loop.call_soon(abort)
        await asyncio.Event().wait()

    async def abort_amid_a_step(self, name: str, value: int, how: str) -> bool:
        AMID.append(partial(self.facets.abort, name, "amid a step"))
        try:
            await self.facets.get(name, Branch).set_and_be_aborted(value, how)
        except FacetAborted as error:
            return error.reason == "amid a step"
        return False

    async def set_all(self, values: list[int]) -> None:
        """One step each."""
        for value in values:
            await self.set(value)
            await asyncio.sleep(0)

    async def set_below(self, names: list[str], value: int) -> None:
        """One facet after the other."""
        for name in names:
            await self.facets.get(name, Branch).set(value)

    async def set_together(self, names: list[str], value: int, fail: bool) -> None:
        """Itself and facets, as one."""
        before = self.memory
        try:
            async with self.facets.transaction():
                self.kv["value"] = value
                await self.set_below(names, value)
                if fail:
                    raise KeyError("as wanted")
            self.memory = value
        except KeyError:
            self.memory = before
            for name in names:  # their memory kept what was undone
                self.facets.abort(name)

    async def schedule(self, name: str, seconds: float, n: int) -> None:
        self.timers.after(seconds, self.add, n, name=name)

    async def cancel(self, name: str) -> bool:
        return self.timers.cancel(name)

    async def look(self) -> tuple[int | None, list[str], dict[str, tuple[float, int]]]:
        """Everything that can be seen of it from inside."""
        timers = {one.name or "": (one.due or 0.0, one.args[0]) for one in self.timers.list()}
        return await self.get(), self.facets.list(), timers

    async def sizes(self, names: list[str]) -> list[int]:
        return [self.facets.stat(name).size for name in names]

    async def abort(self, name: str) -> None:
        self.facets.abort(name)

    async def delete(self, name: str) -> None:
        self.facets.delete(name)

    async def clone(self, source: str, target: str) -> None:
        await self.facets.clone(source, target)

    async def rename(self, name: str, new_name: str) -> None:
        self.facets.rename(name, new_name)

    async def child(self, name: str) -> Any:
        return self.facets.get(name, Branch)

    async def move(self, name: str, to: Any, new_name: str) -> None:
        self.facets.move(name, to, new_name)

    async def promote(self, name: str, new_name: str) -> None:
        self.facets.promote(name, Branch, new_name)

    async def on_facet_due(self, name: str) -> None:
        self.facets.get(name, Branch)


AMID: list[Callable[[], None]] = []
"""Aborts that facets make happen to themselves."""


class World:
    """The runtime and the model, moved together."""

    def __init__(self, runtime: MemoryRuntime | None = None) -> None:
        self.runtime = runtime or MemoryRuntime()
        self.roots: dict[str, Place] = {}
        self.marks: list[tuple[str, str, Place]] = []
        """Bookmarks: of which root, and what it held then."""

    async def open(self) -> None:
        await self.runtime.open()
        self.runtime.register(Branch)

    # -- the model --------------------------------------------------------------------------

    def find(self, path: Path) -> Place | None:
        """What must be there, if anything."""
        one = self.roots.get(path[0])
        for name in path[1:]:
            one = one and one.below.get(name)
        return one

    def make(self, path: Path) -> Place:
        """What is there from the first write on, of it or of one below."""
        one = self.roots.setdefault(path[0], Place())
        for name in path[1:]:
            one = one.below.setdefault(name, Place())
        return one

    def _siblings(self, path: Path) -> dict[str, Place]:
        return self.roots if len(path) == 1 else self.make(path[:-1]).below

    def _fire(self) -> None:
        """What is due by now has been delivered."""
        now = self.runtime.clock.now()
        for name, root in self.roots.items():
            for _, place in root.walk([name]):
                for timer, (due, n) in list(place.timers.items()):
                    if due <= now + 1e-6:
                        del place.timers[timer]
                        place.value = (place.value or 0) + n

    # -- both -------------------------------------------------------------------------------

    async def call(self, path: Path, method: str, *args: Any) -> Any:
        """A call from outside."""
        return await self.runtime.get(Branch, path[0]).at(path[1:], method, *args)

    async def run(self, seconds: float) -> None:
        """Time goes by."""
        await self.runtime.clock.run(seconds)
        self._fire()

    async def set(self, path: Path, value: int) -> None:
        await self.call(path, "set", value)
        self.make(path).value = value

    async def fail(self, path: Path, first: int, second: int) -> None:
        try:
            await self.call(path, "set_twice_and_raise", first, second)
        except KeyError:
            self.make(path).value = first
        else:
            raise AssertionError("it did not raise")

    async def set_together(self, path: Path, names: list[str], value: int, fail: bool) -> None:
        await self.call(path, "set_together", names, value, fail)
        if not fail:
            self.make(path).value = value
            for name in names:
                self.make([*path, name]).value = value

    async def schedule(self, path: Path, name: str, seconds: float, n: int) -> None:
        await self.call(path, "schedule", name, seconds, n)
        self.make(path).timers[name] = (self.runtime.clock.now() + seconds, n)

    async def cancel(self, path: Path, name: str) -> None:
        place = self.find(path)
        there = place is not None and name in place.timers
        assert await self.call(path, "cancel", name) == there
        if place is not None:
            place.timers.pop(name, None)

    async def abort_amid_a_step(self, path: Path, value: int, how: str) -> None:
        """The open step is undone: nothing is to be seen of it."""
        assert await self.call(path[:-1], "abort_amid_a_step", path[-1], value, how)

    async def abort(self, path: Path) -> None:
        await self.call(path[:-1], "abort", path[-1])

    async def delete(self, path: Path) -> None:
        if len(path) == 1:
            await self.runtime.delete(Branch, path[0])
            self._unmark(path[0])
        else:
            await self.call(path[:-1], "delete", path[-1])
        if self.find(path) is not None:
            del self._siblings(path)[path[-1]]

    async def clone(self, source: Path, name: str) -> None:
        """Over a sibling."""
        if len(source) == 1:
            work = self.runtime.clone(Branch, source[0], name)
        else:
            work = self.call(source[:-1], "clone", source[-1], name)
        place = self.find(source)
        if await self._refused(work, place is None and source[-1] != name):
            return
        if place is not None and source[-1] != name:
            self._siblings(source)[name] = deepcopy(place)
            if len(source) == 1:
                self._unmark(name)

    async def rename(self, path: Path, name: str) -> None:
        if len(path) == 1:
            work = self.runtime.rename(Branch, path[0], name)
        else:
            work = self.call(path[:-1], "rename", path[-1], name)
        await self._move(work, path, [*path[:-1], name])

    async def move(self, path: Path, to: Path, name: str) -> None:
        """Below another parent, which may be in another tree."""
        above = self.runtime.get(Branch, to[0])
        if len(to) > 1:
            above = await self.call(to[:-1], "child", to[-1])
        if len(path) == 1:
            work = self.runtime.demote(Branch, path[0], above, name)
        else:
            work = self.call(path[:-1], "move", path[-1], above, name)
        await self._move(work, path, [*to, name])

    async def promote(self, path: Path, name: str) -> None:
        await self._move(self.call(path[:-1], "promote", path[-1], name), path, [name])

    async def _move(self, work: Any, path: Path, target: Path) -> None:
        if path == target:
            await self._refused(work, None)
            return
        inside = target[: len(path)] == path
        taken = self.find(target) is not None
        must = self.find(path) is None or inside or taken
        if await self._refused(work, True if must else None):
            return
        place = self._siblings(path).pop(path[-1])
        self._siblings(target)[target[-1]] = place
        if path[0] != target[0] or len(path) == 1:
            self._unmark(path[0])
            self._unmark(target[0])

    async def _refused(self, work: Any, must: bool | None) -> bool:
        """Whether the runtime refused; `must` says whether it has to, None that it may: something
        that has no state may be running under the name."""
        try:
            await work
        except StorageError as error:
            assert must is not False, f"refused: {error!r}"
            return True
        assert must is not True, "it was not refused"
        return False

    def _unmark(self, root: str) -> None:
        """What a restore of a root gives that was moved is the storage's model to say."""
        self.marks = [mark for mark in self.marks if mark[0] != root]

    async def mark(self, root: str) -> None:
        place = self.roots.get(root)
        if place is not None:
            self.marks.append((root, self.runtime.bookmark(), deepcopy(place)))

    async def restore(self, number: int) -> None:
        if not self.marks:
            return
        root, bookmark, place = self.marks[number % len(self.marks)]
        await self.runtime.restore(Branch, root, bookmark)
        self.roots[root] = deepcopy(place)
        await self.run(0)

    # -- lives ------------------------------------------------------------------------------

    async def restart(self) -> None:
        await self.runtime.close()
        await self.open()
        await self.check(exact=True)

    async def crash(self) -> None:
        await self.runtime.crash()
        self.runtime.register(Branch)
        await self.check(exact=True)

    async def crash_amid_writes(self, path: Path, values: list[int], turns: int) -> None:
        """It holds one of them, or what it held."""
        await self._crash_amid(self.call(path, "set_all", values), turns)
        place = self.find(path)
        found = await self.call(path, "get")
        before = None if place is None else place.value
        assert found in (before, *values)
        if found != before:
            self.make(path).value = found

    async def crash_amid_a_walk(self, path: Path, names: list[str], value: int, turns: int) -> None:
        """The first of them have it, the others do not."""
        await self._crash_amid(self.call(path, "set_below", names, value), turns)
        found = [await self.call([*path, name], "get") == value for name in names]
        assert found == sorted(found, reverse=True), "a later write is there without an earlier one"
        for name, there in zip(names, found, strict=True):
            if there:
                self.make([*path, name]).value = value

    async def _crash_amid(self, work: Any, turns: int) -> None:
        task = asyncio.ensure_future(work)
        for _ in range(turns):
            await asyncio.sleep(0)
        await self.runtime.crash()
        await asyncio.gather(task, return_exceptions=True)
        self.runtime.register(Branch)

    # -- looking ----------------------------------------------------------------------------

    async def check(self, *, exact: bool = False) -> None:
        """All of it; `exact` where nothing runs that has no state."""
        listed = set(self.runtime.list(Branch))
        assert listed == set(self.roots)
        for name, root in list(self.roots.items()):
            for path, place in root.walk([name]):
                await self._check_one(path, place, exact=exact)

    async def _check_one(self, path: Path, place: Place, *, exact: bool) -> None:
        value, names, timers = await self.call(path, "look")
        assert value == place.value, path
        assert timers == _near(place.timers), path
        missing, extra = set(place.below) - set(names), set(names) - set(place.below)
        assert not missing, (path, missing)
        assert not (extra and exact), (path, extra)
        assert not any(await self.call(path, "sizes", sorted(extra))), (path, extra)


def _near(timers: dict[str, tuple[float, int]]) -> dict[str, Any]:
    """Times are kept in microseconds."""
    return {name: (_Near(due), n) for name, (due, n) in timers.items()}


class _Near(float):
    def __eq__(self, other: object) -> bool:
        return isinstance(other, float) and abs(float(self) - other) < 1e-3

    __hash__ = float.__hash__
