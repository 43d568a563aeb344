"""What crosses the boundary arrives as what it was, or is refused by name; lies never get in."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import enum
import json
import math
import pickle
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from facets.isolates.codec import MAX_DEPTH, Blob, Record, lift, lower, pack, unpack
from facets.isolates.errors import NotTransferable
from facets.isolates.session import Session
from storage.rows import Rows, row_type
from tests.isolates.conftest import Open

KEYS = st.one_of(
    st.text(), st.integers(), st.booleans(), st.none(), st.tuples(st.integers(), st.text())
)
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(),
    st.text(alphabet=st.characters(), max_size=20),
    st.sampled_from(["$", '"$"', "\ud800", "a\0b", "x" * 5000, "é" * 5000, "\n", "\udfff" * 5000]),
    st.binary(),
    st.binary().map(bytearray),
    st.decimals(allow_nan=False),
    st.uuids(),
    st.dates(),
    st.datetimes(timezones=st.one_of(st.none(), st.just(dt.UTC))),
    st.times(),
    st.timedeltas(),
    st.complex_numbers(allow_nan=False),
    st.sets(st.integers()),
    st.frozensets(st.text()),
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=5),
        st.lists(inner, max_size=5).map(tuple),
        st.dictionaries(st.text(), inner, max_size=5),
        st.dictionaries(st.sampled_from(["$", "a"]), inner, max_size=2),
        st.dictionaries(KEYS, inner, max_size=5),
    ),
    max_leaves=20,
)


def there_and_back(value: object) -> Any:
    blob = Blob()
    header, tail = unpack(pack([lower(value, blob)], blob))
    return lift(header[0], tail)


def read(header: object, tail: str = "") -> Any:
    return lift(*unpack(json.dumps(header).encode() + b"\n" + tail.encode()))


def same(a: object, b: object) -> bool:
    """Equal, and of the same types all the way down."""
    if type(a) is not type(b):
        return False
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))  # type: ignore[arg-type]
    if isinstance(a, dict):
        return len(a) == len(b) and all(map(same, a.items(), b.items()))  # type: ignore[attr-defined]
    return a == b


@given(VALUES)
def test_every_value_arrives_as_what_it_was(value: object) -> None:
    assert same(there_and_back(value), value)


@pytest.fixture
async def echo(start: Open) -> Session:
    return await start("async def echo(x): return x", "echo", actor=False)


@settings(
    max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(value=VALUES)
async def test_every_value_survives_the_guest(echo: Session, value: object) -> None:
    assert same(await echo.call("", (value,)), value)


def test_what_is_not_a_number_stays_so() -> None:
    assert math.isnan(there_and_back(float("nan")))
    assert there_and_back([math.inf, -math.inf, -0.0]) == [math.inf, -math.inf, 0.0]
    assert there_and_back(Decimal("NaN")).is_nan()


class Color(enum.Enum):
    RED = "red"


class Number(enum.IntEnum):
    ONE = 1


@dataclasses.dataclass
class Point:
    x: int
    y: Any = None


class Struct(msgspec.Struct):
    x: int


Pair = namedtuple("Pair", "a b")


@pytest.mark.parametrize(
    ("value", "arrives"),
    [
        (Color.RED, "red"),
        (Number.ONE, 1),
        (Counter("aab"), {"a": 2, "b": 1}),
        (OrderedDict(a=1), {"a": 1}),
        (defaultdict(list, {1: [2]}), {1: [2]}),
        (deque([1, (2,)]), [1, (2,)]),
        (Pair(1, 2), (1, 2)),
        (memoryview(b"abc"), b"abc"),
        (
            Point(1, {"p": Point(2)}),
            Record("Point", {"x": 1, "y": {"p": Record("Point", {"x": 2, "y": None})}}),
        ),
        (Struct(1), Record("Struct", {"x": 1})),
        (row_type(("a",))([1]), (1,)),
    ],
)
async def test_kin_of_plain_values_arrive_as_their_plain_kin(
    echo: Session, value: object, arrives: object
) -> None:
    assert there_and_back(value) == arrives
    assert await echo.call("", (value,)) == arrives


async def test_rows_keep_their_columns(echo: Session) -> None:
    rows = Rows(("a", "b"), [(1, b"x"), (2, None)], 3)

    back = await echo.call("", (rows,))

    assert back == rows
    assert (back.changes, back[1].a, back.first()) == (3, 2, row_type(("a", "b"))((1, b"x")))


async def test_a_dataclass_of_the_guest_arrives_as_a_record(start: Open) -> None:
    session = await start(
        """
        import dataclasses, enum
        class E(enum.Enum):
            A = (1, 2)
        @dataclasses.dataclass
        class Point:
            x: int
            y: object
        def main(): return Point(1, [E.A, {b"k": Point(2, None)}])
        """,
        "main",
        actor=False,
    )

    point = await session.call("")

    assert (point.x, point.y[0], point.y[1][b"k"].x) == (1, (1, 2), 2)
    assert repr(point).startswith("Point(x=1")
    assert pickle.loads(pickle.dumps(point)) == point
    with pytest.raises(AttributeError, match="read-only"):
        point.x = 2
    with pytest.raises(AttributeError, match="no field 'z'"):
        _ = point.z


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (object(), "value"),
        ([1, {"a": (print,)}], 'value[1]["a"][0]'),
        ({print: 1}, "value[key <built-in function print>]"),
        (Point(1, [Color]), "value.y[0]"),
        ({1: {2: iter(())}}, "value[1][2]"),
    ],
)
def test_what_cannot_cross_is_named(value: object, path: str) -> None:
    with pytest.raises(NotTransferable) as caught:
        lower(value, Blob())

    assert caught.value.path == path
    assert path in str(caught.value)


def test_depth_is_limited() -> None:
    value: list[Any] = []
    for _ in range(MAX_DEPTH - 1):
        value = [value]
    assert there_and_back(value) == value

    for _ in range(10_000):
        value = [value]
    with pytest.raises(NotTransferable, match="deeper than"):
        lower(value, Blob())


TAGS = "t e f d i n b B s dt da ti td D u c o R w x".split()  # noqa: SIM905
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.sampled_from(["$", "a"]), inner, max_size=2),
        st.tuples(st.sampled_from(TAGS), inner, inner).map(lambda parts: {"$": list(parts)}),
    ),
    max_leaves=12,
)


@settings(max_examples=500)
@given(JSON, st.text(max_size=10))
def test_no_lie_raises_anything_but_a_value_error(header: object, tail: str) -> None:
    with contextlib.suppress(ValueError):
        read(header, tail)


@given(st.binary(max_size=40))
def test_no_bytes_raise_anything_but_a_value_error(frame: bytes) -> None:
    with contextlib.suppress(ValueError):
        unpack(frame)


def test_uuid_and_decimal_lies_are_value_errors() -> None:
    for tagged in (
        ["u", "x"],
        ["D", "x"],
        ["D", [1]],
        ["dt", 3],
        ["td", [10**30, 0, 0]],
        ["i", "zz"],
        ["c", ["x", 1]],
    ):
        with pytest.raises(ValueError):  # noqa: PT011 - the promise is the class
            read({"$": tagged})
    assert read({"$": ["u", str(UUID(int=1))]}) == UUID(int=1)
