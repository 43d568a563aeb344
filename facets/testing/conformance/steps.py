"""What of a call is kept, when it counts, and who waits for whom."""

from __future__ import annotations

import asyncio
from typing import Any

from actors.exclusive import exclusive
from facets.errors import ExclusiveReentered, TransactionAcrossAwait
from facets.testing.conformance.kit import Cell, Conformance, Player, Runtime, play, raising, same


class StepConformance(Conformance):
    """Steps, transactions, exclusive sections, durability."""

    async def test_writes_without_an_await_are_kept_together_or_not_at_all(
        self, runtime: Runtime
    ) -> None:
        """The step that raises is undone, the ones before it stay."""
        player = runtime.get(Player, "player")
        with raising(KeyError, "as wanted"):
            await player.set_and_raise("kept", "undone")
        same(await player.get(), "kept")
        with raising(KeyError, "as wanted"):
            await player.below(["a"], "set_and_raise", "kept", "undone")
        same(await player.below(["a"], "get"), "kept")

    async def test_a_step_ends_where_another_actor_is_called(self, runtime: Runtime) -> None:
        """What was written before the call is kept when what follows raises."""
        same(await play(runtime, _write_call_raise), "before the call")

    async def test_a_part_of_a_step_is_undone_alone(self, runtime: Runtime) -> None:
        """Parts nest, and each is its own."""
        same(await play(runtime, _nested_parts), {"outer": 1, "after": 1})

    async def test_a_part_may_not_span_an_await(self, runtime: Runtime) -> None:
        """It is undone, and the caller is told."""
        await play(runtime, _part_across_await)

    async def test_parent_and_facets_commit_as_one_in_a_transaction(self, runtime: Runtime) -> None:
        """Or none of them does."""
        await play(runtime, _transaction)

    async def test_calls_of_one_actor_meet_only_at_awaits(self, runtime: Runtime) -> None:
        """Between two of them nobody else's writes appear."""
        same(await play(runtime, _interleaved, 8), 8)

    async def test_exclusive_sections_do_not_overlap(self, runtime: Runtime) -> None:
        """They are entered in the order in which they were asked for."""
        same(await play(runtime, _in_turns, 5), list("aabbccddee"))

    async def test_other_calls_go_on_during_an_exclusive_section(self, runtime: Runtime) -> None:
        """Only sections wait for each other."""
        await play(runtime, _open_beside_exclusive)

    async def test_a_section_that_raises_lets_the_next_one_in(self, runtime: Runtime) -> None:
        """And breaks nobody."""
        await play(runtime, _failing_section)

    async def test_who_waits_for_a_section_may_be_cancelled(self, runtime: Runtime) -> None:
        """Those behind it come in."""
        await play(runtime, _cancelled_waiter)

    async def test_a_chain_that_waits_for_itself_is_told_so(self, runtime: Runtime) -> None:
        """At once, and not after a timeout."""
        await play(runtime, _reentered)

    async def test_an_abort_lets_nobody_hang_in_a_section(self, runtime: Runtime) -> None:
        """Those inside and those that wait get its reason."""
        await play(runtime, _aborted_section)

    async def test_what_was_answered_survives_a_crash(self, runtime: Runtime) -> None:
        """All of it, whatever else was going on."""
        names = [f"cell {number}" for number in range(10)]
        cells = [runtime.get(Cell, name) for name in names]
        running = [asyncio.ensure_future(one.set_and_wait("not answered")) for one in cells[5:]]
        await asyncio.gather(*(one.set("answered") for one in cells[:5]))
        await self.crash(runtime)
        await asyncio.gather(*running, return_exceptions=True)
        found = [await runtime.get(Cell, name).get() for name in names]
        same(found[:5], ["answered"] * 5)
        same(set(found[5:]) <= {None, "not answered"}, True)

    async def test_an_error_that_was_told_is_durable_in_what_led_to_it(
        self, runtime: Runtime
    ) -> None:
        """It says that the step before it was kept."""
        with raising(KeyError):
            await runtime.get(Cell, "a").set_and_raise("kept", "undone")
        await self.crash(runtime)
        same(await runtime.get(Cell, "a").get(), "kept")

    async def test_a_child_is_never_ahead_of_its_parent_after_a_crash(
        self, runtime: Runtime
    ) -> None:
        """What the parent wrote first is there if what the child wrote later is."""
        player = runtime.get(Player, "player")
        for n in range(5):
            running = asyncio.ensure_future(player.play(__name__, "_parent_then_child", n))
            for _ in range(n * 3):
                await asyncio.sleep(0)
            await self.crash(runtime)
            await asyncio.gather(running, return_exceptions=True)
            player = runtime.get(Player, "player")
            above, below = await player.get(), await player.below(["child"], "get")
            same(below is None or (above is not None and above >= below), True)


async def _write_call_raise(player: Player) -> Any:
    acting = player.facets.get("actor", Acting)
    with raising(KeyError):
        await acting.write_call_raise()
    return await acting.get()


class Acting(Cell, kind="conformance-acting"):
    """Does what scenes need done inside one call."""

    entered: list[str]

    def __init__(self) -> None:
        self.entered = []
        self.go = asyncio.Event()

    async def write_call_raise(self) -> None:
        """Write, call another actor, write again and raise."""
        self.kv["value"] = "before the call"
        await self.facets.get("child", Cell).get()
        self.kv["value"] = "after the call"
        raise KeyError("as wanted")

    async def parts(self) -> dict[str, Any]:
        """Parts of a step, some undone."""
        with self.transaction():
            self.kv["outer"] = 1
            with raising(KeyError), self.transaction():
                self.kv["inner"] = 1
                with self.transaction():
                    self.kv["innermost"] = 1
                raise KeyError("as wanted")
        self.kv["after"] = 1
        return dict(self.kv)

    async def part_across_await(self) -> None:
        """What is not allowed."""
        with self.transaction():
            self.kv["value"] = "never"
            await asyncio.sleep(0)

    async def read_wait_write(self) -> None:
        """Two steps; what is read in one is written in it."""
        await asyncio.sleep(0)
        self.kv["value"] = self.kv.get("value", 0) + 1
        await asyncio.sleep(0)

    @exclusive
    async def twice(self, letter: str) -> None:
        """A section with an await in it."""
        self.entered.append(letter)
        await asyncio.sleep(0)
        self.entered.append(letter)

    @exclusive
    async def hold(self) -> None:
        """A section until `release`."""
        self.entered.append("hold")
        await self.go.wait()

    @exclusive
    async def fail_inside(self) -> None:
        """A section that raises."""
        await asyncio.sleep(0)
        raise KeyError("as wanted")

    @exclusive
    async def call_back(self) -> None:
        """A section that comes back to itself."""
        await self.parent.play(__name__, "_come_back")

    async def release(self) -> None:
        """End `hold`."""
        self.go.set()

    async def order(self) -> list[str]:
        """Who was inside, in order."""
        return list(self.entered)


async def _nested_parts(player: Player) -> Any:
    return await player.facets.get("actor", Acting).parts()


async def _part_across_await(player: Player) -> None:
    acting = player.facets.get("actor", Acting)
    with raising(TransactionAcrossAwait):
        await acting.part_across_await()
    same(await acting.get(), None)


async def _transaction(player: Player) -> None:
    cells = [player.facets.get(name, Cell) for name in "ab"]
    async with player.facets.transaction():
        player.kv["value"] = 1
        for one in cells:
            await one.set(1)
    with raising(KeyError):
        async with player.facets.transaction():
            player.kv["value"] = 2
            for one in cells:
                await one.set(2)
            raise KeyError("as wanted")
    same([player.kv["value"], *[await one.get() for one in cells]], [1, 1, 1])


async def _interleaved(player: Player, calls: int) -> Any:
    acting = player.facets.get("actor", Acting)
    await asyncio.gather(*(acting.read_wait_write() for _ in range(calls)))
    return await acting.get()


async def _in_turns(player: Player, calls: int) -> Any:
    acting = player.facets.get("actor", Acting)
    await asyncio.gather(*(acting.twice("abcdefgh"[n]) for n in range(calls)))
    return await acting.order()


async def _held(acting: Any) -> asyncio.Future[None]:
    holding: asyncio.Future[None] = asyncio.ensure_future(acting.hold())
    while "hold" not in await acting.order():
        await asyncio.sleep(0)
    return holding


async def _open_beside_exclusive(player: Player) -> None:
    acting = player.facets.get("actor", Acting)
    holding = await _held(acting)
    await acting.set("meanwhile")
    same(await acting.get(), "meanwhile")
    same(holding.done(), False)
    await acting.release()
    await holding


async def _failing_section(player: Player) -> None:
    acting = player.facets.get("actor", Acting)
    first = asyncio.ensure_future(acting.fail_inside())
    second = asyncio.ensure_future(acting.twice("a"))
    with raising(KeyError):
        await first
    await second
    same(await acting.order(), ["a", "a"])


async def _cancelled_waiter(player: Player) -> None:
    acting = player.facets.get("actor", Acting)
    holding = await _held(acting)
    first, second = (asyncio.ensure_future(acting.twice(letter)) for letter in "ab")
    await asyncio.sleep(0)
    first.cancel()
    await acting.release()
    await asyncio.gather(holding, second)
    same(await acting.order(), ["hold", "b", "b"])


async def _reentered(player: Player) -> None:
    with raising(ExclusiveReentered):
        await player.facets.get("actor", Acting).call_back()
    await player.facets.get("actor", Acting).twice("a")


async def _come_back(player: Player) -> None:
    await player.facets.get("actor", Acting).twice("never")


async def _aborted_section(player: Player) -> None:
    acting = player.facets.get("actor", Acting)
    inside = await _held(acting)
    waiting = asyncio.ensure_future(acting.twice("never"))
    await asyncio.sleep(0)
    player.facets.abort("actor", RuntimeError("the reason"))
    for one in (inside, waiting):
        with raising(RuntimeError, "the reason"):
            await one


async def _parent_then_child(player: Player, n: int) -> None:
    for m in range(n * 10, n * 10 + 10):
        player.kv["value"] = m
        await player.facets.get("child", Cell).set(m)
