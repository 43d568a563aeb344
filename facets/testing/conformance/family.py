"""Parents and children know each other, and nothing else."""

from __future__ import annotations

import itertools
from typing import Any

from actors.code import Start
from facets.testing.conformance.kit import Cell, Conformance, Player, Runtime, play, raising, same


class FamilyConformance(Conformance):
    """Parents, ids, props, list and exists."""

    async def test_a_facet_calls_its_parent(self, runtime: Runtime) -> None:
        """The one that it belongs to, not the root."""
        player = runtime.get(Player, "root")
        same(await player.below(["a"], "ask_parent", "about"), await player.about())
        above = await player.below(["a"], "about")
        same(await player.below(["a", "b"], "ask_parent", "about"), above)

    async def test_a_facet_calls_up_several_levels(self, runtime: Runtime) -> None:
        """Parent by parent."""
        player = runtime.get(Player, "root")
        up = ("ask_parent", "ask_parent", "about")
        same(await player.below(["a", "b"], "ask_parent", *up[1:]), await player.about())

    async def test_a_root_has_no_parent(self, runtime: Runtime) -> None:
        """It says None."""
        same(await play(runtime, _has_parent), False)

    async def test_an_id_is_the_path_to_the_actor_and_stays(self, runtime: Runtime) -> None:
        """Through an abort, a restart, and a deletion."""
        first = await play(runtime, _path_ids)
        await self.restart(runtime)
        same(await play(runtime, _path_ids), first)
        same(len(set(first)), len(first))
        for above, below in itertools.pairwise(first):
            same(below.startswith(above), True)

    async def test_a_name_is_known_when_the_facet_is_made(self, runtime: Runtime) -> None:
        """Its `on_start` already sees it."""
        same(await play(runtime, _named_at_start), "newborn")

    async def test_an_id_can_be_given(self, runtime: Runtime) -> None:
        """The name stays what it is."""
        same(await play(runtime, _given_id), {"id": "abc", "name": "foo", "props": None})

    async def test_props_are_each_facets_own(self, runtime: Runtime) -> None:
        """Copied when they are given; None without any."""
        same(await play(runtime, _props), [None, {"a": [1]}, {"b": 2}])

    async def test_props_are_those_of_this_start(self, runtime: Runtime) -> None:
        """The next one may bring others."""
        same(await play(runtime, _next_props), ["first", "first", "second"])

    async def test_a_list_names_those_with_state_and_those_that_run(self, runtime: Runtime) -> None:
        """Not those that were only asked for."""
        await play(runtime, _lists)

    async def test_a_facet_exists_from_its_first_state_until_it_is_deleted(
        self, runtime: Runtime
    ) -> None:
        """Asleep or awake, also after a restart."""
        await play(runtime, _exists)
        await self.restart(runtime)
        same(await play(runtime, _exist), [True, False, False])

    async def test_a_parent_without_state_is_listed_for_what_is_below(
        self, runtime: Runtime
    ) -> None:
        """Or nobody would find it again."""
        await runtime.get(Player, "player").below(["empty", "full"], "set", 1)
        await self.restart(runtime)
        same(runtime.list(Player), ["player"])
        same(await play(runtime, _names), ["empty"])

    async def test_roots_are_listed_by_class(self, runtime: Runtime) -> None:
        """In order."""
        for name in ("b", "a", "c"):
            await runtime.get(Cell, name).set(1)
        await runtime.get(Cell, "only read").get()
        same(runtime.list(Cell), ["a", "b", "c"])
        same(runtime.list(Player), [])


class Newborn(Cell, kind="conformance-newborn"):
    """Remembers what it knew when it started."""

    async def on_start(self) -> None:
        """Keep the name."""
        self.memory = self.name


async def _has_parent(player: Player) -> bool:
    return player.parent is not None


async def _path_ids(player: Player) -> list[str]:
    found = [player.id]
    path: list[str] = []
    for name in ("a", "b", "c"):
        path.append(name)
        about = await player.below(path, "about")
        found.append(about["id"])
    player.facets.abort("a")
    same((await player.below(["a"], "about"))["id"], found[1])
    player.facets.delete("a")
    same((await player.below(["a"], "about"))["id"], found[1])
    return found


async def _named_at_start(player: Player) -> Any:
    return await player.facets.get("newborn", Newborn).recall()


async def _given_id(player: Player) -> Any:
    return await player.facets.get("foo", Start(Cell, id="abc")).about()


async def _props(player: Player) -> list[Any]:
    shared: dict[str, Any] = {"a": [1]}
    stubs = [
        player.facets.get("none", Cell),
        player.facets.get("one", Start(Cell, props=shared)),
        player.facets.get("two", Start(Cell, props={"b": 2})),
    ]
    shared["a"].append(2)
    return [(await one.about())["props"] for one in stubs]


async def _next_props(player: Player) -> list[Any]:
    found = []
    for props in ("first", "ignored while it runs"):
        stub = player.facets.get("foo", Start(Cell, props=props))
        found.append((await stub.about())["props"])
    player.facets.abort("foo")
    stub = player.facets.get("foo", Start(Cell, props="second"))
    return [*found, (await stub.about())["props"]]


async def _names(player: Player) -> list[str]:
    return player.facets.list()


async def _lists(player: Player) -> None:
    player.facets.get("asked for", Cell)
    same(player.facets.list(), [])
    await player.facets.get("runs", Cell).get()
    await player.facets.get("has state", Cell).set(1)
    await player.facets.get("above", Cell).below(["state"], "set", 1)
    same(player.facets.list(), ["above", "has state", "runs"])
    for name in ("runs", "has state", "above"):
        player.facets.abort(name)
    same(player.facets.list(), ["above", "has state"])
    player.facets.delete("above")
    same(player.facets.list(), ["has state"])


async def _exist(player: Player) -> list[bool]:
    return [player.facets.exists(name) for name in ("kept", "deleted", "never")]


async def _exists(player: Player) -> None:
    same(await _exist(player), [False, False, False])
    for name in ("kept", "deleted"):
        await player.facets.get(name, Cell).set(1)
    same(await _exist(player), [True, True, False])
    player.facets.delete("deleted")
    player.facets.abort("kept")
    same(await _exist(player), [True, False, False])
    with raising(LookupError):
        await player.facets.clone("never", "kept")
