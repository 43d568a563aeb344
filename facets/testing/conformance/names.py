"""Which names there are, and that no name reaches another's data."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import Any

from actors.names import MAX_DEPTH, MAX_NAME
from facets.errors import BadName, DepthExceeded
from facets.testing.conformance.kit import Cell, Conformance, Player, Runtime, play, raising, same

ODD = (
    "slash", "slash/below", "slash/below/it", "/", "//", "a/", "/a", ".", "..", "../up", "a\\b",
    "wild%card", "wildXcard", "wild_card", "%", "_", "*", "?", "[a]", "'", "''", '"', ";--", "a'b",
    "a b", " ", "  ", "a ", " a", "\t", "\n", "a\nb", "\x01", "null\x00", "null", "\x00",
    "Case", "case", "CASE", "é", "e\u0301", "ß", "ss", "\u0131", "i", "日本語", "🐙", "🐙🐙",
    "\u202e", "\ufeff",
    "0", "-1", "1e3", "None", "sub", "Sub", "con", "nul.db", "a:b", "a%2Fb", "a%252Fb", "%00",
)  # fmt: skip
"""Names that some layer below might take for another, for a path, or for a pattern."""
LONGEST = ("x" * MAX_NAME, "x" * (MAX_NAME - 1), "é" * (MAX_NAME // 2), "🐙" * (MAX_NAME // 4))
BAD: tuple[Any, ...] = (
    "", "x" * (MAX_NAME + 1), "é" * (MAX_NAME // 2) + "x", "\ud800", None, 1, b"bytes", ("a",),
)  # fmt: skip


class NameConformance(Conformance):
    """Names, limits, and isolation."""

    async def test_every_name_has_data_of_its_own(self, runtime: Runtime) -> None:
        """However odd, however long; read back after a restart."""
        await play(runtime, _set_all)
        await self.restart(runtime)
        await play(runtime, _get_all)
        same(await play(runtime, _listed), sorted(ODD + LONGEST))

    async def test_roots_of_every_name_have_data_of_their_own(self, runtime: Runtime) -> None:
        """A root may be called what a facet may."""
        for value, name in enumerate(ODD + LONGEST):
            await runtime.get(Cell, name).set(value)
        await self.restart(runtime)
        for value, name in enumerate(ODD + LONGEST):
            same(await runtime.get(Cell, name).get(), value)
        same(runtime.list(Cell), sorted(ODD + LONGEST))

    async def test_deleting_one_name_leaves_those_that_look_like_it(self, runtime: Runtime) -> None:
        """A slash is no path, a percent sign and an underscore are no patterns."""
        await play(runtime, _set_all)
        await play(runtime, _delete_look_alikes)

    async def test_a_copy_under_an_odd_name_is_that_ones_own(self, runtime: Runtime) -> None:
        """From every name to the next."""
        await play(runtime, _copy_odd_names)

    async def test_every_name_has_an_id_of_its_own(self, runtime: Runtime) -> None:
        """Paths that read alike when they are joined are not the same."""
        ids = await play(runtime, _ids)
        same(len(set(ids)), len(ids))

    async def test_a_name_is_what_the_facet_sees(self, runtime: Runtime) -> None:
        """As it was given, not as it is quoted somewhere."""
        same(await play(runtime, _seen_names), list(ODD + LONGEST))

    async def test_what_is_no_name_is_refused_by_every_method(self, runtime: Runtime) -> None:
        """At once, before anything happens."""
        await play(runtime, _refused)
        same(await play(runtime, _listed), [])

    async def test_a_root_of_a_bad_name_is_refused(self, runtime: Runtime) -> None:
        """Like a facet."""
        for name in BAD:
            with raising(BadName):
                runtime.get(Cell, name)

    async def test_same_names_at_different_places_are_different_facets(
        self, runtime: Runtime
    ) -> None:
        """Under siblings, under a child of the same name, in another root."""
        paths = [["a"], ["a", "a"], ["a", "a", "a"], ["b", "a"], ["b"], ["a/a"], ["b", "a/a"]]
        roots = [runtime.get(Player, name) for name in ("one", "two")]
        for number, root in enumerate(roots):
            for value, path in enumerate(paths):
                await root.below(path, "set", [number, value])
        for number, root in enumerate(roots):
            for value, path in enumerate(paths):
                same(await root.below(path, "get"), [number, value])

    async def test_databases_of_parent_and_child_are_apart(self, runtime: Runtime) -> None:
        """Tables and keys of the one are not there for the other."""
        player = runtime.get(Player, "player")
        await player.make_table("mine_above")
        await player.below(["child"], "make_table", "mine_below")
        await player.set("red")
        same(await player.below(["child"], "get"), None)
        same(await player.tables(), ["mine_above"])
        same(await player.below(["child"], "tables"), ["mine_below"])

    async def test_classes_of_roots_have_names_of_their_own(self, runtime: Runtime) -> None:
        """One name of two kinds is two actors."""
        await runtime.get(Cell, "same").set(1)
        same(await runtime.get(Player, "same").get(), None)
        same((runtime.list(Cell), runtime.list(Player)), (["same"], []))

    async def test_facets_nest_to_the_documented_depth(self, runtime: Runtime) -> None:
        """And one more is refused by `get`, whoever asks for it."""
        player = runtime.get(Player, "player")
        deepest = [str(level) for level in range(MAX_DEPTH)]
        await player.below(deepest, "set", "down here")
        await self.restart(runtime)
        player = runtime.get(Player, "player")
        same(await player.below(deepest, "get"), "down here")
        with raising(DepthExceeded):
            await player.below([*deepest, "too deep"], "get")


async def _set_all(player: Player) -> None:
    for value, name in enumerate(ODD + LONGEST):
        await player.facets.get(name, Cell).set(value)


async def _get_all(player: Player) -> None:
    for value, name in enumerate(ODD + LONGEST):
        same(await player.facets.get(name, Cell).get(), value)


async def _listed(player: Player) -> list[str]:
    return player.facets.list()


async def _delete_look_alikes(player: Player) -> None:
    gone = {"slash", "wild%card", "_", "%", "case", "e\u0301", "null", "a", "x" * MAX_NAME}
    for name in gone:
        player.facets.delete(name)
    for value, name in enumerate(ODD + LONGEST):
        same(await player.facets.get(name, Cell).get(), None if name in gone else value)


async def _copy_odd_names(player: Player) -> None:
    await player.facets.get(ODD[0], Cell).below(["a/b"], "set", "below the first")
    for source, target in pairwise(ODD[:12]):
        await player.facets.clone(source, target)
    for name in ODD[:12]:
        same(await player.facets.get(name, Cell).below(["a/b"], "get"), "below the first")
    same(player.facets.list(), sorted(ODD[:12]))


async def _ids(player: Player) -> list[str]:
    deeper = [["slash", "below"], ["slash", "below", "it"], ["a%2Fb", "c"]]
    paths = [[], *([name] for name in ODD), *deeper]
    return [(await player.below(path, "about"))["id"] for path in paths]


async def _seen_names(player: Player) -> list[str]:
    return [(await player.facets.get(name, Cell).about())["name"] for name in ODD + LONGEST]


async def _refused(player: Player) -> None:
    facets = player.facets
    acts = (
        lambda name: facets.get(name, Cell),
        lambda name: facets.replace(name, Cell),
        facets.abort,
        facets.delete,
        facets.exists,
        facets.stat,
    )
    for name in BAD:
        for act in acts:
            with raising(BadName):
                act(name)
        for copy in (partial(facets.clone, name, "fine"), partial(facets.clone, "fine", name)):
            with raising(BadName):
                await copy()
