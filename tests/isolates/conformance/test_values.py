"""Values on their way in and out. Every promise in every guest language."""

from __future__ import annotations

import pytest

from actors.errors import NotCopyable
from facets.isolates.errors import NotTransferable
from tests.isolates.conformance.conftest import Guest

BYTES = bytes(range(256)) * 100


@pytest.mark.parametrize(
    "value",
    [
        None, True, 0, -1, 2**31, 2**53 - 1, 2**53, -(2**53), 2**63, 2**100, -(2**100), 1.5,
        1e300, -1e-300, float("inf"), float("-inf"), "", "é\0\n\"\\", "\U0001f600" * 3000,
        "\ud800 alone", "\ud800" * 5000, "x" * 5000, b"", b"\x00\xff", BYTES, [], [1, [2, [3]]],
        {}, {"a": {"b": None}}, {"$": 1}, {"__proto__": 1, "constructor": 2}, {1: "a", 2: "b"},
        {"a", "b"}, ["x" * 5000, BYTES, "é" * 5000],
    ],
    ids=lambda value: ascii(value)[:24],
)  # fmt: skip
async def test_a_value_comes_back_as_it_went_in(language: Guest, value: object) -> None:
    session = await language.open()

    got = await session.call("echo", (value,))

    assert got == value
    assert type(got) is type(value)


async def test_values_that_the_language_makes_have_their_types_outside(language: Guest) -> None:
    session = await language.open()

    assert await session.call("kinds") == [
        2**70, {"a", "b"}, {1: "x"}, b"\x00\xff", float("inf"), "é" * 3000 + "\U0001f600", None,
    ]  # fmt: skip


async def test_values_without_a_type_inside_come_back_unchanged(language: Guest) -> None:
    import datetime as dt
    from decimal import Decimal
    from uuid import UUID

    session = await language.open()
    values = [
        Decimal("1.10"), UUID(int=7), dt.date(2024, 2, 29), dt.time(1, 2, 3), dt.timedelta(days=-1),
        complex(1, -2), dt.datetime(2024, 2, 29, 1, 2, 3, 4000, dt.UTC),
    ]  # fmt: skip

    assert await session.call("echo", (values,)) == values


async def test_deep_nesting_is_refused_and_does_not_kill(language: Guest) -> None:
    session = await language.open()
    deep: list[object] = []
    for _ in range(100):
        deep = [deep]

    assert await session.call("echo", (deep,)) == deep


async def test_what_cannot_cross_says_where_it_stands(language: Guest) -> None:
    session = await language.open()

    with pytest.raises(NotTransferable, match=r'result\[0\]\["x"\]') as caught:
        await session.call("strange")
    assert caught.value.path.startswith('result[0]["x"]')
    assert isinstance(caught.value, NotCopyable)
    with pytest.raises(NotTransferable, match=r"argument 0"):
        await session.call("echo", (object(),))
