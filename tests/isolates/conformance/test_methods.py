"""What can be called; calls, streams and waits at the same time: in every guest language."""

from __future__ import annotations

import asyncio

import pytest

from actors.errors import ExclusiveReentered, NoSuchMethod, NotCallable
from facets.isolates.errors import (
    WallLimit,
)
from tests.isolates.conformance.conftest import Guest, until

# -- methods --------------------------------------------------------------------------------------


async def test_public_async_methods_are_open_and_nothing_else_is(language: Guest) -> None:
    session = await language.open()

    assert session.methods["add"].kind == "call"
    assert session.methods["numbers"].kind == "stream"
    assert session.methods["alone"].exclusive
    assert "helper" in session.plain
    assert {"helper", "_private", "onStart", "on_start"}.isdisjoint(session.methods)
    assert session.hooks == {"on_start"}
    assert len(session.migrations) == 2


@pytest.mark.parametrize(
    ("method", "error", "says"),
    [
        ("nothing", NoSuchMethod, "does not exist"),
        ("helper", NotCallable, "plain"),
        ("_private", NotCallable, "underscore"),
        ("numbers", NotCallable, "async for"),
        ("constructor", NoSuchMethod, "does not exist"),
        ("__proto__", NotCallable, "underscore"),
        ("on_stop", NoSuchMethod, "does not exist"),
    ],
)
async def test_what_is_not_a_method_is_refused_with_the_reason(
    language: Guest, method: str, error: type[Exception], says: str
) -> None:
    session = await language.open()

    with pytest.raises(error, match=says):
        await session.call(method)


async def test_arguments_come_in_order_and_by_name(language: Guest) -> None:
    session = await language.open()

    assert await session.call("add", (1, 2)) == 3
    assert await session.call("add", ("a",), {"b": "b"}) == "ab"


async def test_the_actor_knows_who_it_is(language: Guest) -> None:
    session = await language.open(
        identity={"id": "7", "name": "t"}, props={"a": [1]}, env={"mode": "x"}
    )

    assert await session.call("who") == ["7", "t", {"a": [1]}, {"mode": "x"}]


async def test_hooks_are_called_by_the_owner(language: Guest) -> None:
    session = await language.open()

    await session.call("on_start")

    assert await session.call("has_started") is True


async def test_what_an_object_keeps_in_memory_lasts_between_calls(language: Guest) -> None:
    session = await language.open()

    assert [await session.call("count") for _ in range(3)] == [1, 2, 3]


# -- streams --------------------------------------------------------------------------------------


async def test_a_stream_yields_in_order(language: Guest) -> None:
    session = await language.open()

    assert [item async for item in session.stream("numbers", (50,))] == list(range(50))
    assert session.pending == 0


async def test_a_stream_runs_only_as_far_as_it_is_read(language: Guest) -> None:
    session = await language.open()
    stream = session.stream("items_then_fail")

    assert await anext(stream) == 1
    await session.call("store", (9,))
    await stream.aclose()

    assert language.owner.values("select n from t") == [1, 9]


async def test_a_stream_that_is_closed_early_closes_the_generator(language: Guest) -> None:
    session = await language.open()
    stream = session.stream("forever")

    assert await anext(stream) == 0
    await stream.aclose()
    await until(lambda: session.pending == 0)

    assert language.owner.text == "closed\n"


# -- concurrency ----------------------------------------------------------------------------------


async def test_calls_interleave_where_they_wait(language: Guest) -> None:
    session = await language.open()

    await asyncio.gather(session.call("first"), session.call("second"))

    assert await session.call("said") == ["first waits", "second", "first goes on"]


@pytest.mark.parametrize("method", ["alone", "section"])
async def test_exclusive_sections_run_one_at_a_time(language: Guest, method: str) -> None:
    session = await language.open()

    await asyncio.gather(*[session.call(method) for _ in range(5)])

    assert language.owner.values("select n from t") == [0, 1, 2, 3, 4]


async def test_entering_an_exclusive_section_again_fails_at_once(language: Guest) -> None:
    session = await language.open()

    with pytest.raises(ExclusiveReentered):
        await session.call("section_twice")
    assert await session.call("alone") is None


async def test_a_cancelled_call_gives_up_its_place_in_line(language: Guest) -> None:
    session = await language.open()
    held = asyncio.create_task(session.call("hold"))
    waiting = [asyncio.create_task(session.call("section")) for _ in range(2)]
    assert await session.call("add", (1, 2)) == 3  # so they wait by now

    waiting[0].cancel()
    await session.call("second")
    await asyncio.wait([held, *waiting])

    assert waiting[0].cancelled()
    assert language.owner.values("select n from t") == [0]


async def test_waits_go_on_together_by_the_hosts_clock(language: Guest) -> None:
    session = await language.open()

    assert await session.call("naps") == [1, 2, 3]


async def test_cancelling_the_caller_ends_the_call_inside(language: Guest) -> None:
    session = await language.open()
    owner = language.owner
    task = asyncio.create_task(session.call("hang"))
    await until(lambda: owner.events.count("commit") == 2)

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    await until(lambda: session.pending == 0)
    assert session.alive
    assert owner.values("select n from t") == [1, 2]


async def test_a_cancelled_call_cleans_up_and_that_is_kept(language: Guest) -> None:
    session = await language.open(limits={"wall": 0.05})

    with pytest.raises(WallLimit) as caught:
        await session.call("hang_and_clean")

    assert caught.value.survived
    assert session.alive
