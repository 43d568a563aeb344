"""A facet is copied over another, with all below it."""

from __future__ import annotations

from typing import Any

from facets.errors import ActorBroken, NoState
from facets.testing.conformance.kit import Cell, Conformance, Player, Runtime, play, raising, same


class CopyConformance(Conformance):
    """Clone."""

    async def test_a_copy_has_what_the_source_and_all_below_it_have(self, runtime: Runtime) -> None:
        """The source keeps it."""
        await play(runtime, _set_up)
        await play(runtime, _copied)

    async def test_a_copy_and_its_source_go_their_own_ways(self, runtime: Runtime) -> None:
        """At every level."""
        await play(runtime, _set_up)
        await play(runtime, _diverged)

    async def test_a_copy_replaces_what_was_there_with_all_below(self, runtime: Runtime) -> None:
        """Also a facet that the source has none of; who held the old one is told."""
        await play(runtime, _set_up)
        await play(runtime, _replaced)

    async def test_the_source_runs_on_while_it_is_copied(self, runtime: Runtime) -> None:
        """Its memory shows that nothing ended it."""
        await play(runtime, _set_up)
        await play(runtime, _source_runs_on)

    async def test_a_copy_over_itself_changes_nothing(self, runtime: Runtime) -> None:
        """And ends nobody."""
        await play(runtime, _set_up)
        await play(runtime, _over_itself)

    async def test_a_copy_of_what_never_was_is_refused(self, runtime: Runtime) -> None:
        """The target keeps what it has: an error must not delete."""
        await play(runtime, _set_up)
        await play(runtime, _of_nothing)

    async def test_a_copy_is_there_after_a_restart(self, runtime: Runtime) -> None:
        """And after a crash."""
        await play(runtime, _set_up)
        await play(runtime, _copied)
        await self.restart(runtime)
        same(await play(runtime, _values, "copy"), [10, 100, 200])
        await self.crash(runtime)
        same(await play(runtime, _values, "copy"), [10, 100, 200])

    async def test_copies_of_copies_are_whole(self, runtime: Runtime) -> None:
        """Each from the one before."""
        await play(runtime, _set_up)
        same(await play(runtime, _copies_of_copies, 5), [10, 100, 200])

    async def test_a_root_is_copied_with_all_below_it(self, runtime: Runtime) -> None:
        """By the runtime; durable when it returns."""
        await play(runtime, _set_up, name="one")
        await runtime.clone(Player, "one", "two")
        await self.crash(runtime)
        same(await play(runtime, _values, "source", name="two"), [10, 100, 200])
        same(runtime.list(Player), ["one", "two"])


async def _set_up(player: Player) -> None:
    source = player.facets.get("source", Cell)
    await source.set(10)
    await source.below(["a"], "set", 100)
    await source.below(["b"], "set", 200)


async def _values(player: Player, name: str) -> list[Any]:
    cell = player.facets.get(name, Cell)
    return [await cell.get(), await cell.below(["a"], "get"), await cell.below(["b"], "get")]


async def _copied(player: Player) -> None:
    await player.facets.clone("source", "copy")
    same(await _values(player, "copy"), [10, 100, 200])
    same(await _values(player, "source"), [10, 100, 200])
    same(player.facets.list(), ["copy", "source"])


async def _diverged(player: Player) -> None:
    await player.facets.clone("source", "copy")
    copy, source = player.facets.get("copy", Cell), player.facets.get("source", Cell)
    await copy.set(999)
    await copy.below(["a"], "set", 888)
    await source.below(["b"], "set", 777)
    same(await _values(player, "source"), [10, 100, 777])
    same(await _values(player, "copy"), [999, 888, 200])


async def _replaced(player: Player) -> None:
    target = player.facets.get("target", Cell)
    await target.set(42)
    await target.below(["old"], "set", 77)
    await player.facets.clone("source", "target")
    with raising(ActorBroken):
        await target.get()
    same(await _values(player, "target"), [10, 100, 200])
    same(await player.facets.get("target", Cell).names(), ["a", "b"])
    same(await player.facets.get("target", Cell).below(["old"], "get"), None)


async def _source_runs_on(player: Player) -> None:
    source = player.facets.get("source", Cell)
    await source.remember("alive")
    await player.facets.clone("source", "copy")
    same(await source.recall(), "alive")
    same(await player.facets.get("copy", Cell).recall(), None)


async def _over_itself(player: Player) -> None:
    source = player.facets.get("source", Cell)
    await source.remember("alive")
    await player.facets.clone("source", "source")
    same(await source.recall(), "alive")
    same(await _values(player, "source"), [10, 100, 200])


async def _of_nothing(player: Player) -> None:
    with raising(NoState):
        await player.facets.clone("never was", "source")
    same(await _values(player, "source"), [10, 100, 200])


async def _copies_of_copies(player: Player, times: int) -> list[Any]:
    before = "source"
    for number in range(times):
        await player.facets.clone(before, f"copy {number}")
        before = f"copy {number}"
    return await _values(player, before)
