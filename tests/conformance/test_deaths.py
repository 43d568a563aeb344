"""Wherever the process dies in an operation on a tree, all of it happened or none."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from copy import deepcopy

import pytest

from facets.testing import MemoryRuntime, die_everywhere
from tests.conformance.tree_model import Branch, Place, World

Act = Callable[[World], Awaitable[object]]
ACTS: dict[str, Act] = {
    "delete": lambda world: world.delete(["x", "a"]),
    "delete a root": lambda world: world.delete(["x"]),
    "clone over another": lambda world: world.clone(["x", "a"], "b"),
    "clone a root": lambda world: world.clone(["x"], "y"),
    "rename": lambda world: world.rename(["x", "a"], "c"),
    "move to another tree": lambda world: world.move(["x", "a"], ["y", "deep"], "here"),
    "promote": lambda world: world.promote(["x", "a"], "z"),
    "demote": lambda world: world.move(["x"], ["y"], "below"),
    "restore": lambda world: world.restore(0),
    "transaction": lambda world: world.set_together(["x"], ["a", "b", "new"], 77, False),
    "timers": lambda world: world.run(60),
}


async def build(world: World) -> None:
    """Two roots, facets at three levels, a bookmark in between, timers."""
    for value, path in enumerate((["x"], ["x", "a"], ["x", "a", "a"], ["x", "b", "a"], ["y"])):
        await world.set(path, value)
    await world.mark("x")
    await world.set(["x", "a"], 50)
    await world.set(["x", "a", "late"], 51)
    await world.schedule(["x", "b", "a"], "one", 30, 1000)


@pytest.mark.parametrize("act", ACTS)
async def test_it_happened_as_a_whole_or_not_at_all(act: str) -> None:
    before, after = await outcomes(ACTS[act])
    worlds: dict[int, World] = {}
    seen: set[bool] = set()

    async def setup(runtime: MemoryRuntime) -> None:
        worlds[0] = World(runtime)
        runtime.register(Branch)
        await build(worlds[0])

    async def dying(runtime: MemoryRuntime) -> None:
        assert worlds[0].runtime is runtime
        await ACTS[act](worlds[0])

    async def check(runtime: MemoryRuntime) -> None:
        runtime.register(Branch)
        world = World(runtime)
        world.roots = deepcopy(before)
        try:
            await world.check(exact=True)
            seen.add(False)
        except AssertionError:
            world.roots = deepcopy(after)
            await world.check(exact=True)
            seen.add(True)
        await world.set(["x", "a"], 99)  # and it goes on from there

    assert await die_everywhere(setup, dying, check, every=7) > 0
    assert False in seen


async def outcomes(act: Act) -> tuple[dict[str, Place], dict[str, Place]]:
    """What there is before and after, where nobody dies."""
    world = World()
    async with world.runtime:
        world.runtime.register(Branch)
        await build(world)
        before = deepcopy(world.roots)
        await act(world)
        await world.check()
        return before, world.roots
