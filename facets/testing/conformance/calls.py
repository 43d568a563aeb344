"""What is handed over, what comes back, and what comes in pieces."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from facets.actor import Actor
from facets.errors import NoSuchMethod, NotCallable
from facets.testing.conformance.kit import Cell, Conformance, Player, Runtime, play, raising, same


class CallConformance(Conformance):
    """Arguments, results, errors, streams, callbacks."""

    async def test_values_are_copied_both_ways(self, runtime: Runtime) -> None:
        """Nobody can change what another one has."""
        await play(runtime, _copied_values)

    async def test_an_error_arrives_as_it_was_raised(self, runtime: Runtime) -> None:
        """Through every actor on the way, and at the outside."""
        player = runtime.get(Player, "player")
        with raising(ValueError, "on purpose"):
            await player.below(["a", "b", "c"], "fail", "on purpose")

    async def test_only_public_methods_can_be_called(self, runtime: Runtime) -> None:
        """Not attributes, not the runtime's own, not what has no such name."""
        await play(runtime, _closed_names)

    async def test_a_stream_arrives_item_by_item(self, runtime: Runtime) -> None:
        """From a facet, and through its parent to the outside."""
        same([item async for item in runtime.get(Teller, "teller").count(4)], [0, 1, 2, 3])
        same(await play(runtime, _streamed), [0, 1, 2, 3])

    async def test_a_stream_that_is_left_ends_at_its_source(self, runtime: Runtime) -> None:
        """Its `finally` runs, and what it wrote until then is kept."""
        same(await play(runtime, _left_stream), ("closed", 1))

    async def test_a_facet_calls_back_with_what_it_has_so_far(self, runtime: Runtime) -> None:
        """A stub's method is a value that can be handed over, and stays live."""
        same(await play(runtime, _told, ["Hel", "lo", "!"]), ["Hel", "Hello", "Hello!"])

    async def test_callbacks_of_several_facets_do_not_mix(self, runtime: Runtime) -> None:
        """Each goes where it was meant to."""
        same(await play(runtime, _told_apart), [["x", "xy"], ["1", "12"]])

    async def test_what_a_facet_wrote_while_calling_back_is_kept(self, runtime: Runtime) -> None:
        """Also when the one that is called back raises."""
        await play(runtime, _failing_callback)

    async def test_a_stub_can_be_handed_on(self, runtime: Runtime) -> None:
        """Between siblings, and to the outside."""
        stub = await play(runtime, _handed_on)
        same(await stub.get(), "shared")

    async def test_a_cancelled_call_is_cancelled_where_it_runs(self, runtime: Runtime) -> None:
        """What it committed is kept."""
        await play(runtime, _cancelled)

    async def test_calls_in_a_circle_find_their_way(self, runtime: Runtime) -> None:
        """A parent may be called back while it waits for its child."""
        player = runtime.get(Player, "player")
        await player.set("from above")
        same(await player.below(["a"], "ask_parent", "get"), "from above")


class Teller(Cell, kind="conformance-teller"):
    """Tells what it has bit by bit."""

    async def count(self, n: int) -> AsyncIterator[int]:
        """Yield, and keep how far it came."""
        try:
            for i in range(n):
                self.kv["value"] = i
                yield i
        finally:
            self.memory = "closed"

    async def tell(self, parts: list[str], to: Any) -> str:
        """Call back with all so far."""
        text = ""
        for part in parts:
            text += part
            self.kv["value"] = text
            await to(text)
        return text


class Listener(Actor, kind="conformance-listener"):
    """Hears what it is told."""

    heard: list[str]

    def __init__(self) -> None:
        self.heard = []

    async def hear(self, text: str) -> None:
        """Remember."""
        if text == "forbidden":
            raise ValueError("that is not to be heard")
        self.heard.append(text)

    async def all(self) -> list[str]:
        """Everything heard."""
        return self.heard


async def _copied_values(player: Player) -> None:
    cell = player.facets.get("a", Cell)
    value = {"list": [1], "tuple": ({2},)}
    await cell.remember(value)
    value["list"] = "changed by the caller"
    found = await cell.recall()
    same(found, {"list": [1], "tuple": ({2},)})
    found["list"].append("changed by who asked")
    same(await cell.recall(), {"list": [1], "tuple": ({2},)})


async def _closed_names(player: Player) -> None:
    cell: Any = player.facets.get("a", Cell)
    for name in ("facets", "sql", "kv", "memory", "on_start"):
        with raising(AttributeError):
            await getattr(cell, name)()
    with raising(NoSuchMethod):
        await cell.no_such_method()
    for name in ("_active", "__init__"):
        with raising((NotCallable, NoSuchMethod, AttributeError, TypeError)):  # type: ignore[arg-type]
            await getattr(cell, name)("argument")


async def _streamed(player: Player) -> list[int]:
    return [item async for item in player.facets.get("teller", Teller).count(4)]


async def _left_stream(player: Player) -> tuple[Any, Any]:
    teller = player.facets.get("teller", Teller)
    items = teller.count(10)
    stream = aiter(items)
    for _ in range(2):
        await anext(stream)
    await stream.aclose()  # type: ignore[attr-defined]
    return await teller.recall(), await teller.get()


async def _told(player: Player, parts: list[str]) -> Any:
    listener = player.facets.get("listener", Listener)
    same(await player.facets.get("teller", Teller).tell(parts, listener.hear), "".join(parts))
    return await listener.all()


async def _told_apart(player: Player) -> list[Any]:
    listeners = [player.facets.get(f"listener {n}", Listener) for n in range(2)]
    tellers = [player.facets.get(f"teller {n}", Teller) for n in range(2)]
    parts = (["x", "y"], ["1", "2"])
    told = zip(tellers, parts, listeners, strict=True)
    await asyncio.gather(*(one.tell(what, to.hear) for one, what, to in told))
    return [await one.all() for one in listeners]


async def _failing_callback(player: Player) -> None:
    listener = player.facets.get("listener", Listener)
    teller = player.facets.get("teller", Teller)
    with raising(ValueError, "not to be heard"):
        await teller.tell(["for", "bidden"], listener.hear)
    same(await teller.get(), "forbidden")
    same(await listener.all(), ["for"])


async def _handed_on(player: Player) -> Any:
    shared = player.facets.get("shared", Cell)
    holder = player.facets.get("holder", Cell)
    await holder.remember(shared)
    await (await holder.recall()).set("shared")
    return shared


async def _cancelled(player: Player) -> None:
    cell = player.facets.get("a", Cell)
    call = asyncio.ensure_future(cell.set_and_wait("before the wait"))
    while await cell.get() is None:
        await asyncio.sleep(0)
    call.cancel()
    with raising(asyncio.CancelledError):
        await call
    same(await cell.get(), "before the wait")
    same(player.facets.stat("a").calls, 0)
