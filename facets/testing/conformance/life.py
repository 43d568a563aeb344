"""A facet starts, ends, starts as something else, and goes."""

from __future__ import annotations

import asyncio
from typing import Any

from actors.code import Start
from facets.errors import (
    ActorBroken,
    FacetAborted,
    FacetDeleted,
    FacetRunsOtherCode,
    NoSuchMethod,
)
from facets.testing.conformance.kit import (
    Cell,
    Conformance,
    Player,
    Reader,
    Runtime,
    play,
    raising,
    same,
)


class LifeConformance(Conformance):
    """Start, restart, other code over the same data, abort, delete."""

    async def test_calls_under_one_name_reach_one_instance(self, runtime: Runtime) -> None:
        """What it has in memory stays in step with what it has stored."""
        same(await play(runtime, _count, "foo", 3), [1, 2, 3])
        same(await play(runtime, _count, "foo", 2), [4, 5])

    async def test_a_facet_answers_its_first_call(self, runtime: Runtime) -> None:
        """Nothing has to be set up first."""
        same(await play(runtime, _get, "new"), None)

    async def test_many_facets_start_at_once(self, runtime: Runtime) -> None:
        """Each is its own."""
        same(await play(runtime, _add_to_all, ["a", "b", "c"]), [1, 1, 1])

    async def test_a_start_is_not_asked_while_the_facet_runs(self, runtime: Runtime) -> None:
        """The first one's answer counts for all that come while it runs."""
        await play(runtime, _start_of_a_running_facet)

    async def test_concurrent_first_calls_share_one_start(self, runtime: Runtime) -> None:
        """However long it takes."""
        same(await play(runtime, _shared_start), 1)

    async def test_a_start_may_be_asynchronous(self, runtime: Runtime) -> None:
        """And use the parent's own data."""
        same(await play(runtime, _slow_start), "from the parent")

    async def test_a_start_that_raises_is_the_callers_error(self, runtime: Runtime) -> None:
        """The name is not poisoned by it."""
        await play(runtime, _failing_start)

    async def test_data_outlives_the_runtime_whatever_starts_first(self, runtime: Runtime) -> None:
        """The order in which names were first used means nothing later."""
        paths = [["foo"], ["bar", "foo"], ["bar", "bar"]]
        player = runtime.get(Player, "player")
        for value, path in enumerate(paths):
            await player.below(path, "set", value)
        await self.restart(runtime)
        player = runtime.get(Player, "player")
        for value, path in reversed(list(enumerate(paths))):
            same(await player.below(path, "get"), value)

    async def test_a_start_is_asked_again_after_a_restart(self, runtime: Runtime) -> None:
        """Once in every life."""
        same(await play(runtime, _asked, 2), 1)
        await self.restart(runtime)
        same(await play(runtime, _asked, 2), 1)

    async def test_what_was_acknowledged_outlives_a_crash(self, runtime: Runtime) -> None:
        """In the facet and in the one below it."""
        player = runtime.get(Player, "player")
        await player.below(["a"], "set", 1)
        await player.below(["a", "b"], "set", 2)
        await self.crash(runtime)
        player = runtime.get(Player, "player")
        same(await player.below(["a"], "get"), 1)
        same(await player.below(["a", "b"], "get"), 2)

    async def test_after_an_abort_other_code_may_read_what_was_left(self, runtime: Runtime) -> None:
        """This is how code is upgraded; the old stub answers with the reason."""
        await play(runtime, _upgrade)

    async def test_other_code_under_a_running_name_is_refused(self, runtime: Runtime) -> None:
        """Silently talking to the old code would be worse."""
        await play(runtime, _other_code)

    async def test_replacing_starts_the_new_code_on_the_same_data(self, runtime: Runtime) -> None:
        """In one move; the same code is left running."""
        await play(runtime, _replaced)

    async def test_an_aborted_facet_starts_again_with_its_data(self, runtime: Runtime) -> None:
        """And without what it had in memory."""
        await play(runtime, _aborted_and_back)

    async def test_an_abort_ends_calls_in_progress_with_its_reason(self, runtime: Runtime) -> None:
        """Whatever kind of exception that is."""
        await play(runtime, _abort_amid_a_call)

    async def test_an_abort_during_the_start_ends_those_who_wait(self, runtime: Runtime) -> None:
        """The start that was under way starts nothing any more."""
        await play(runtime, _abort_during_start)

    async def test_an_abort_takes_everything_below_along(self, runtime: Runtime) -> None:
        """A sibling goes on."""
        await play(runtime, _abort_a_subtree)

    async def test_aborting_what_does_not_run_does_nothing(self, runtime: Runtime) -> None:
        """Whether or not it ever ran."""
        await play(runtime, _abort_of_nothing)

    async def test_a_facet_that_raises_does_not_break(self, runtime: Runtime) -> None:
        """The error is the caller's, and the next call finds the same instance."""
        await play(runtime, _raises_and_goes_on)

    async def test_deleting_wipes_a_facet_and_all_below_it(self, runtime: Runtime) -> None:
        """Under the same names there is nothing then, also after a restart."""
        await play(runtime, _delete_a_subtree)
        await self.restart(runtime)
        same(await play(runtime, _left_of_the_deleted), ([], None, None))

    async def test_deleting_twice_and_what_never_was_is_no_error(self, runtime: Runtime) -> None:
        """What is wanted is that it is gone."""
        await play(runtime, _delete_twice)

    async def test_a_deleted_facet_begins_anew(self, runtime: Runtime) -> None:
        """As often as one likes."""
        same(await play(runtime, _delete_and_count), [1, 1, 1])

    async def test_a_facet_below_is_deleted_by_its_own_parent(self, runtime: Runtime) -> None:
        """At any depth."""
        await play(runtime, _delete_from_below)

    async def test_a_facet_can_have_itself_deleted_by_its_parent(self, runtime: Runtime) -> None:
        """Its own call ends with that, and does not wait for itself."""
        await play(runtime, _self_destruction)

    async def test_deleting_a_root_wipes_its_facets(self, runtime: Runtime) -> None:
        """Another root of that class keeps its own."""
        for name in ("one", "two"):
            await runtime.get(Player, name).below(["a", "b"], "set", name)
        await runtime.delete(Player, "one")
        same(runtime.list(Player), ["two"])
        same(await runtime.get(Player, "one").below(["a", "b"], "get"), None)
        same(await runtime.get(Player, "two").below(["a", "b"], "get"), "two")

    async def test_a_sleeping_facet_wakes_with_its_data(self, runtime: Runtime) -> None:
        """After its whole tree went to sleep, through the same stub of the root."""
        player = runtime.get(Player, "player")
        await player.below(["a", "b"], "set", 1)
        await self.sleep(runtime)
        same(runtime.stats().awake, 0)
        same(await player.below(["a", "b"], "get"), 1)

    async def sleep(self, runtime: Runtime) -> None:
        """Let everything go to sleep that is idle: one level of a tree after the other."""
        host = runtime.host
        for activation in sorted(host.awake, key=lambda one: -one.node.depth):
            activation.node.sleep()


async def _count(player: Player, name: str, times: int) -> list[int]:
    return [await player.facets.get(name, Cell).add() for _ in range(times)]


async def _get(player: Player, name: str) -> Any:
    return await player.facets.get(name, Cell).get()


async def _add_to_all(player: Player, names: list[str]) -> list[int]:
    return list(await asyncio.gather(*(player.facets.get(one, Cell).add() for one in names)))


def _never() -> type[Cell]:
    raise AssertionError("a start was asked while its facet ran")


async def _start_of_a_running_facet(player: Player) -> None:
    await player.facets.get("foo", Start(Cell, id="its id")).add()
    again = player.facets.get("foo", _never)
    same(await again.add(), 2)
    same((await again.about())["id"], "its id")


async def _shared_start(player: Player) -> int:
    asked = []

    async def start() -> type[Cell]:
        asked.append(1)
        await asyncio.sleep(0)
        return Cell

    calls = [player.facets.get("foo", start).add() for _ in range(5)]
    same(sorted(await asyncio.gather(*calls)), [1, 2, 3, 4, 5])
    return len(asked)


async def _slow_start(player: Player) -> Any:
    player.kv["greeting"] = "from the parent"

    async def start() -> Start:
        await asyncio.sleep(0)
        return Start(Cell, props=player.kv["greeting"])

    return (await player.facets.get("foo", start).about())["props"]


async def _failing_start(player: Player) -> None:
    def bad() -> type[Cell]:
        raise ConnectionError("no code today")

    with raising(ConnectionError, "no code today"):
        await player.facets.get("foo", bad).get()
    same(await player.facets.get("foo", Cell).add(), 1)


async def _asked(player: Player, calls: int) -> int:
    asked = []

    def start() -> type[Cell]:
        asked.append(1)
        return Cell

    for _ in range(calls):
        await player.facets.get("foo", start).add()
    return len(asked)


async def _upgrade(player: Player) -> None:
    cell = player.facets.get("foo", Cell)
    await cell.set("the secret")
    player.facets.abort("foo", "for the test")
    reader: Any = player.facets.get("foo", Reader)
    same(await reader.read(), {"value": "the secret"})
    with raising(FacetAborted, "for the test"):
        await cell.get()
    with raising(NoSuchMethod):
        await reader.set("no method of a reader")


async def _other_code(player: Player) -> None:
    await player.facets.get("foo", Cell).add()
    with raising(FacetRunsOtherCode, "Reader"):
        player.facets.get("foo", Reader)
    same(await player.facets.get("foo", Cell).add(), 2)


async def _replaced(player: Player) -> None:
    cell = player.facets.get("foo", Cell)
    await cell.set(7)
    await player.facets.replace("foo", Cell).remember("still the same")
    same(await cell.recall(), "still the same")
    same(await player.facets.replace("foo", Reader).read(), {"value": 7})
    with raising(ActorBroken):
        await cell.get()


async def _aborted_and_back(player: Player) -> None:
    cell = player.facets.get("foo", Cell)
    await cell.set(1)
    await cell.remember("alive")
    player.facets.abort("foo")
    again = player.facets.get("foo", Cell)
    same((await again.get(), await again.recall()), (1, None))
    same(await again.add(), 2)


async def _abort_amid_a_call(player: Player) -> None:
    cell = player.facets.get("foo", Cell)
    waiting = asyncio.ensure_future(cell.set_and_wait(1))
    while await cell.get() != 1:
        await asyncio.sleep(0)
    player.facets.abort("foo", KeyError("the very reason"))
    with raising(KeyError, "the very reason"):
        await waiting
    same(await player.facets.get("foo", Cell).get(), 1)


async def _abort_during_start(player: Player) -> None:
    go = asyncio.Event()
    started = []

    async def start() -> type[Cell]:
        await go.wait()
        started.append(1)
        return Cell

    call = asyncio.ensure_future(player.facets.get("foo", start).add())
    await asyncio.sleep(0)
    player.facets.abort("foo", RuntimeError("aborted during its start"))
    go.set()
    with raising(RuntimeError, "aborted during its start"):
        await call
    same(started, [])
    same(await player.facets.get("foo", Cell).add(), 1)


async def _abort_a_subtree(player: Player) -> None:
    top, sibling = player.facets.get("top", Cell), player.facets.get("sibling", Cell)
    await top.below(["a", "b"], "remember", "alive")
    await sibling.remember("alive")
    player.facets.abort("top")
    with raising(FacetAborted):
        await top.get()
    top = player.facets.get("top", Cell)
    same(await top.below(["a", "b"], "recall"), None)
    same(await sibling.recall(), "alive")


async def _abort_of_nothing(player: Player) -> None:
    player.facets.abort("never")
    cell = player.facets.get("later", Cell)
    player.facets.abort("later")
    same(await cell.add(), 1)


async def _raises_and_goes_on(player: Player) -> None:
    cell = player.facets.get("foo", Cell)
    await cell.remember("alive")
    with raising(ValueError, "on purpose"):
        await cell.fail("on purpose")
    same(await cell.recall(), "alive")


async def _delete_a_subtree(player: Player) -> None:
    top = player.facets.get("top", Cell)
    await top.set(1)
    await top.below(["a", "b"], "set", 2)
    player.facets.delete("top")
    with raising(FacetDeleted):
        await top.get()
    same(await _left_of_the_deleted(player), ([], None, None))
    player.facets.delete("top")


async def _left_of_the_deleted(player: Player) -> tuple[list[str], Any, Any]:
    listed = player.facets.list()
    top = player.facets.get("top", Cell)
    found = listed, await top.get(), await top.below(["a", "b"], "get")
    player.facets.abort("top")
    return found


async def _delete_twice(player: Player) -> None:
    player.facets.delete("never was")
    await player.facets.get("foo", Cell).add()
    for _ in range(2):
        player.facets.delete("foo")
        same(player.facets.exists("foo"), False)


async def _delete_and_count(player: Player) -> list[int]:
    found = []
    for _ in range(3):
        found.append(await player.facets.get("foo", Cell).add())
        player.facets.delete("foo")
    return found


class Gardener(Cell, kind="conformance-gardener"):
    """Deletes below itself, and asks to be deleted."""

    async def prune(self, name: str) -> None:
        """Delete a facet."""
        self.facets.delete(name)

    async def vanish(self) -> None:
        """Have itself deleted by its parent."""
        await self.parent.forget(self.name)


async def _delete_from_below(player: Player) -> None:
    gardener = player.facets.get("gardener", Gardener)
    await gardener.set("stays")
    await gardener.below(["a", "b"], "set", 1)
    await gardener.prune("a")
    same(await gardener.names(), [])
    same(await gardener.below(["a", "b"], "get"), None)
    same(await gardener.get(), "stays")


class Forgetful(Player, kind="conformance-forgetful"):
    """Deletes who asks for it."""

    async def forget(self, name: str) -> None:
        """Delete a facet."""
        self.facets.delete(name)


async def _self_destruction(player: Player) -> None:
    above = player.facets.get("above", Forgetful)
    await above.play(__name__, "_vanishing")


async def _vanishing(above: Forgetful) -> None:
    gardener = above.facets.get("gardener", Gardener)
    await gardener.set(1)
    with raising(FacetDeleted):
        await gardener.vanish()
    same(above.facets.list(), [])
    same(await above.facets.get("gardener", Gardener).get(), None)
