"""Errors, output and limits. Every promise in every guest language."""

from __future__ import annotations

import pickle

import pytest

from facets import capability
from facets.isolates.errors import (
    CallLimit,
    CpuLimit,
    GuestError,
    IsolateDead,
    LogLimit,
    OutputLimit,
    StackLimit,
    WallLimit,
)
from tests.isolates.conformance.conftest import Guest, until

# -- errors and output ----------------------------------------------------------------------------


async def test_an_error_is_what_it_was_and_shows_the_tools_own_line(language: Guest) -> None:
    session = await language.open()

    with pytest.raises(ValueError, match="no luck") as caught:
        await session.call("fail")

    error = caught.value
    assert isinstance(error, GuestError)
    assert error.type == language.pick(python="ValueError", javascript="RangeError")
    assert language.line('("no luck")') in error.traceback
    again = pickle.loads(pickle.dumps(error))
    assert isinstance(again, ValueError)
    assert again.traceback == error.traceback


async def test_an_error_of_the_tools_own_class_is_also_its_base(language: Guest) -> None:
    session = await language.open()

    with pytest.raises(ValueError, match="mine"):
        await session.call("own")


async def test_output_reaches_the_owner_by_stream(language: Guest) -> None:
    session = await language.open()

    await session.call("noisy")

    out = "".join(text for stream, text in language.owner.printed if stream == "stdout")
    err = "".join(text for stream, text in language.owner.printed if stream == "stderr")
    assert out == "one 2\n"
    assert err.startswith("careful ")
    assert err.endswith(" é\n")


async def test_chance_differs_between_isolates(language: Guest) -> None:
    one, other = await language.open(), await language.open()

    drawn = [await one.call("chance"), await one.call("chance"), await other.call("chance")]

    assert len(set(drawn)) == 3
    assert all(0 <= number < 1 for number in drawn)


# -- limits ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "limits", "error"),
    [
        ("spin", {"cpu": 0.05}, CpuLimit),
        ("flood", {}, LogLimit),
        ("large", {"output": 1 << 20}, OutputLimit),
        ("busy", {"calls": 50}, CallLimit),
        ("stubborn", {"wall": 0.05}, WallLimit),
    ],
)
async def test_a_limit_kills_with_its_own_error(
    language: Guest, method: str, limits: dict[str, float], error: type[IsolateDead]
) -> None:
    session = await language.open(limits=limits)

    with pytest.raises(error):
        await session.call(method)

    assert not session.alive
    assert [type(death) for death in language.owner.deaths] == [error]
    assert await (await language.open()).call("add", (1, 2)) == 3


@capability
async def nothing() -> None: ...


async def test_what_calls_leave_behind_has_the_time_of_a_stretch_in_all(language: Guest) -> None:
    if language.image:
        pytest.skip("it needs ten times the time, and its loop is Python's")
    session = await language.open(limits={"cpu": 0.2})
    await session.call("leave", (nothing,))
    before = session._runner.cpu
    await until(lambda: not session.alive)

    (death,) = language.owner.deaths
    assert isinstance(death, CpuLimit)
    assert "left behind" in str(death)
    assert session._runner.cpu - before > session.limits.cpu * 0.9
    assert await (await language.open()).call("add", (1, 2)) == 3


async def test_what_calls_leave_behind_has_its_time_again_with_each_call(language: Guest) -> None:
    if language.image:
        pytest.skip("it needs ten times the time, and its loop is Python's")
    session = await language.open(limits={"cpu": 0.2})
    await session.call("leave", (nothing,))
    for _ in range(3):
        await until(lambda: session._pump._left_behind > session.limits.cpu * 0.4)
        assert await session.call("add", (1, 2)) == 3

    assert session._runner.cpu > session.limits.cpu
    assert session.alive


async def test_memory_runs_out_inside_and_the_isolate_lives(language: Guest) -> None:
    session = await language.open()

    with pytest.raises(MemoryError) as caught:
        await session.call("eat")

    assert isinstance(caught.value, GuestError)
    assert await session.call("add", (1, 2)) == 3


async def test_deep_recursion_is_an_error_of_its_own(language: Guest) -> None:
    session = await language.open()

    with pytest.raises(RecursionError) as caught:
        await session.call("deep")

    assert session.alive or isinstance(caught.value, StackLimit)
    assert await (await language.open()).call("add", (1, 2)) == 3


async def test_a_call_that_waits_too_long_ends_alone(language: Guest) -> None:
    session = await language.open(limits={"wall": 0.05})

    with pytest.raises(WallLimit) as caught:
        await session.call("patient")

    assert caught.value.survived
    assert await session.call("add", (1, 2)) == 3
