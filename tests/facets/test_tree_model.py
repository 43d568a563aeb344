"""A random life of trees beside a dict: every operation, with reopenings in between."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from facets import Actor, LocalRuntime
from facets.errors import BelowItself, NameTaken, NoState
from tests.storage.scratch import scratch

Place = tuple[str, ...]
State = dict[Place, int | None]
"""Values by place; None where only something below has one."""
NAMES = ["a", "b", "c/%"]
PLACES = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3).map(tuple)


class Node(Actor, kind="Node"):
    async def at(self, *path: str) -> Any:
        below = self.facets.get(path[0], Node)
        return await below.at(*path[1:]) if len(path) > 1 else below

    async def put(self, value: int) -> None:
        self.kv["x"] = value

    async def read(self) -> Any:
        return self.kv.get("x")

    async def do(self, method: str, *args: Any) -> Any:
        found = getattr(self.facets, method)(*args)
        return await found if asyncio.iscoroutine(found) else None

    async def promote(self, name: str, new_name: str) -> None:
        self.facets.promote(name, Node, new_name)


class World:
    """A runtime, and what it must hold."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.state: State = {}
        self.runtime: LocalRuntime

    async def open(self) -> None:
        self.runtime = await LocalRuntime(self.root).open()

    async def stub(self, place: Place) -> Any:
        root = self.runtime.get(Node, place[0])
        return await root.at(*place[1:]) if len(place) > 1 else root

    def grow(self, place: Place) -> None:
        for end in range(1, len(place)):
            self.state.setdefault(place[:end], None)

    def below(self, place: Place) -> State:
        return {one: value for one, value in self.state.items() if one[: len(place)] == place}

    def drop(self, place: Place) -> None:
        for one in self.below(place):
            del self.state[one]

    # -- operations -----------------------------------------------------------------------

    async def put(self, place: Place, _: Place, value: int) -> None:
        await (await self.stub(place)).put(value)
        self.grow(place)
        self.state[place] = value

    async def delete(self, place: Place, *_: Any) -> None:
        if len(place) == 1:
            await self.runtime.delete(Node, place[0])
        else:
            await (await self.stub(place[:-1])).do("delete", place[-1])
        self.drop(place)

    async def clone(self, place: Place, to: Place, _: int) -> None:
        """Beside itself."""
        to = (*place[:-1], to[-1])
        if to == place or place not in self.state:
            return
        if len(place) == 1:
            await self.runtime.clone(Node, place[0], to[0])
        else:
            await (await self.stub(place[:-1])).do("clone", place[-1], to[-1])
        copied = self.below(place)
        self.drop(to)
        self.state |= {to + one[len(place) :]: value for one, value in copied.items()}

    async def move(self, place: Place, to: Place, _: int) -> None:
        """With whichever operation leads there."""
        refused = place not in self.state or to[: len(place)] == place or to in self.state
        try:
            await self.go(place, to)
        except (NoState, BelowItself, NameTaken):
            assert refused or await self.runs(to)
            return
        assert not refused, f"{place} went to {to}"
        moved = self.below(place)
        self.drop(place)
        self.grow(to)
        self.state |= {to + one[len(place) :]: value for one, value in moved.items()}

    async def runs(self, place: Place) -> bool:
        """Whether there is somebody, who has never written: whoever leads below it was woken."""
        found = self.runtime.tree(Node, place[0])
        return any(one.path == place[1:] and one.state == "running" for one in found)

    async def go(self, place: Place, to: Place) -> None:
        if len(place) == 1 and len(to) == 1:
            await self.runtime.rename(Node, place[0], to[0])
        elif len(place) == 1:
            await self.runtime.demote(Node, place[0], await self.stub(to[:-1]), to[-1])
        elif len(to) == 1:
            await (await self.stub(place[:-1])).promote(place[-1], to[0])
        elif place[:-1] == to[:-1]:
            await (await self.stub(place[:-1])).do("rename", place[-1], to[-1])
        else:
            above = await self.stub(to[:-1])
            await (await self.stub(place[:-1])).do("move", place[-1], above, to[-1])

    async def reopen(self, *_: Any) -> None:
        await self.runtime.close()
        await self.open()

    async def check(self) -> None:
        roots = sorted({place[0] for place in self.state})
        assert self.runtime.list(Node) == roots
        found: State = {}
        for root in roots:
            for one in self.runtime.tree(Node, root):
                place = (root, *one.path)
                if one.size or place in self.state:
                    found[place] = await (await self.stub(place)).read()
        assert found == self.state


ACTS = st.tuples(
    st.sampled_from(["put", "put", "move", "move", "move", "clone", "delete", "reopen"]),
    PLACES,
    PLACES,
    st.integers(0, 99),
)


@settings(max_examples=25, deadline=None)
@given(acts=st.lists(ACTS, max_size=25))
def test_trees_are_what_was_done_to_them(acts: list[tuple[str, Place, Place, int]]) -> None:
    async def live(root: Path) -> None:
        world = World(root)
        await world.open()
        try:
            for act, place, to, value in acts:
                await getattr(world, act)(place, to, value)
            await world.check()
            await world.reopen()
            await world.check()
        finally:
            await world.runtime.close()

    with scratch() as directory:
        asyncio.run(live(Path(directory) / "state"))
