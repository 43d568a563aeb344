"""Capabilities. Every promise in every guest language."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from typing import Any

import pytest

from facets.capabilities.errors import CapabilityRevoked
from facets.capabilities.marked import capability
from facets.isolates.errors import CallLimit, GuestError, NotTransferable
from facets.isolates.session import Session
from storage.errors import NotStorable
from tests.isolates.conformance.conftest import Guest, until


@capability
async def double(x: int) -> int:
    return 2 * x


@capability
def plain(x: int = 1) -> int:
    return x + 1


@capability
async def numbers(n: int) -> AsyncIterator[int]:
    for i in range(n):
        yield i


@capability
class Shop:
    def __init__(self) -> None:
        self.sold: list[str] = []

    async def sell(self, what: str) -> int:
        self.sold.append(what)
        return len(self.sold)

    def stock(self) -> int:
        return 3

    async def list(self, n: int) -> AsyncIterator[str]:
        for i in range(n):
            yield f"item {i}"

    async def _secret(self) -> str:
        return "secret"


async def opened(language: Guest, **options: Any) -> Session:
    return await language.open(language.source("caps"), **options)


def held(session: Session) -> int:
    return len(session._grants)


async def test_functions_are_called_and_awaited(language: Guest) -> None:
    session = await opened(language)

    assert await session.call("call", (double, 4)) == 8
    assert await session.call("by_name", (double, 5)) == 10
    assert await session.call("call", (plain,)) == 2
    assert await session.call("many", (double, 50)) == [2 * i for i in range(50)]


async def test_objects_are_called_by_their_public_methods(language: Guest) -> None:
    session, shop = await opened(language), Shop()

    assert await session.call("sell", (shop, "pen")) == 1
    assert await session.call("listed", (shop, 20)) == [f"item {i}" for i in range(20)]
    with pytest.raises(GuestError):
        await session.call("secret", (shop,))
    assert shop.sold == ["pen"]


async def test_env_and_props_hold_capabilities(language: Guest) -> None:
    session = await opened(language, env={"f": double}, props=[Shop()])

    assert await session.call("granted") == [2, 3]


async def test_one_object_is_one_handle_inside(language: Guest) -> None:
    session = await opened(language)

    assert await session.call("same", (double, double)) is True
    assert await session.call("same", (double, plain)) is False
    assert await session.call("keep", (double,)) is double


async def test_what_the_guest_lets_go_of_is_freed(language: Guest) -> None:
    session = await opened(language)
    await session.call("keep", (double,))
    await session.call("keep", (double,))
    await session.call("many", (plain, 3))
    await session.call("same", (1, 1))
    assert held(session) == 1

    await session.call("let_go")
    await session.call("same", (1, 1))

    assert held(session) == 0
    assert await session.call("call", (double, 1)) == 2


async def test_a_grant_in_flight_survives_the_drop_of_an_earlier_one(language: Guest) -> None:
    session = await opened(language)
    await session.call("keep", (double,))

    await asyncio.gather(session.call("let_go"), session.call("keep", (double,)))
    await session.call("same", (1, 1))

    assert held(session) == 1
    assert await session.call("again", (2,)) == 4


async def test_a_stream_makes_no_more_items_than_the_guest_can_take(language: Guest) -> None:
    session = await opened(language)
    made = []

    @capability
    async def endless() -> AsyncIterator[int]:
        while True:
            made.append(len(made))
            yield made[-1]

    assert await session.call("items", (numbers, 100)) == list(range(100))
    assert await session.call("first", (endless, 3)) == [0, 1, 2]
    await until(lambda: not len(session._serving))

    assert len(made) <= 33


async def test_errors_arrive_by_their_names_and_as_what_they_were(language: Guest) -> None:
    class Missing(LookupError):
        pass

    @capability
    async def fails() -> None:
        raise Missing("not here")

    session = await opened(language)

    assert await session.call("caught", (fails,)) == ["Missing", True, "not here"]
    with pytest.raises(LookupError, match="not here"):
        await session.call("call", (fails,))


async def test_a_step_is_committed_before_the_call_it_made_runs(language: Guest) -> None:
    session = await opened(language)
    owner, seen = language.owner, []

    @capability
    async def look() -> None:
        seen.append((list(owner.events), owner.db.in_transaction))

    await session.call("write", (look,))

    assert seen == [(["sql", "commit", "use"], False)]
    assert owner.values("select n from t") == [1, 2]


async def test_a_cancelled_call_cancels_what_it_waits_for_outside(language: Guest) -> None:
    session = await opened(language)
    ended = asyncio.Event()

    @capability
    async def forever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    calling = asyncio.create_task(session.call("call", (forever,)))
    await until(lambda: len(session._serving) == 1)
    calling.cancel()

    await ended.wait()
    await until(lambda: session.pending == 0)
    assert session.alive


async def test_revoked_means_now_and_for_good(language: Guest) -> None:
    session = await opened(language)
    began = asyncio.Event()

    async def wait() -> None:
        began.set()
        await asyncio.Event().wait()

    revocable = capability(wait)
    await session.call("keep", (revocable,))
    calling = asyncio.create_task(session.call("again"))
    await began.wait()
    revocable.revoke()

    with pytest.raises(PermissionError) as caught:
        await calling
    assert caught.value.type == "CapabilityRevoked"  # type: ignore[attr-defined]
    with pytest.raises(CapabilityRevoked):
        await session.call("again")


async def test_a_capability_is_not_data_to_be_stored(language: Guest) -> None:
    session = await opened(language)

    with pytest.raises(NotStorable, match="store numbers"):
        await session.call("store", (double,))


async def test_guests_hand_out_functions_and_objects(language: Guest) -> None:
    session = await opened(language)

    counter = await session.call("counter")
    assert await counter.up() == 1
    assert await counter.up(by=2) == 3
    assert [item async for item in counter.each(4)] == [0, 1, 2, 3]
    assert await session.call("mine", (counter,)) is True
    assert await (await session.call("function"))(4) == 8
    for name in ("_hidden", "n", "nothing", "constructor"):
        with pytest.raises(AttributeError):
            getattr(counter, name)


async def test_guests_pass_callbacks_as_arguments(language: Guest) -> None:
    session = await opened(language)

    @capability
    async def calls_back(callback: Any) -> int:
        return 10 * await callback(1)

    assert await session.call("give", (calls_back,)) == 20


async def test_what_a_guest_handed_out_dies_with_it(language: Guest) -> None:
    session = await opened(language)
    counter = await session.call("counter")
    session.close()

    with pytest.raises(CapabilityRevoked, match="ended"):
        await counter.up()


async def test_what_nobody_outside_holds_may_be_handed_out_again(language: Guest) -> None:
    session = await opened(language)
    counter = await session.call("counter")
    assert await counter.up() == 1

    del counter
    gc.collect()
    await session.call("same", (1, 1))

    fresh = await session.call("counter")
    assert await fresh.up() == 1


async def test_only_what_is_marked_crosses(language: Guest) -> None:
    session = await opened(language)

    with pytest.raises(NotTransferable, match=r"argument 0"):
        await session.call("unmarked", (double,))
    await session.call("same", (1, 1))
    assert held(session) == 0


async def test_calls_out_are_counted_and_bounded(language: Guest) -> None:
    session = await opened(language, limits={"calls": 100})

    assert len(await session.call("many", (double, 100))) == 100
    with pytest.raises(CallLimit):
        await session.call("many", (double, 101))


async def test_an_honest_guest_holds_back_calls_over_the_bound(language: Guest) -> None:
    session = await opened(language)
    most = 0

    @capability
    async def slow(x: int) -> int:
        nonlocal most
        most = max(most, len(session._serving))
        await asyncio.sleep(0)
        return x

    assert await session.call("many", (slow, 2000)) == list(range(2000))
    assert most <= 1000
