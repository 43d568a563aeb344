"""Copying: equal, and nothing mutable shared."""

from __future__ import annotations

import datetime
import decimal
import uuid
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.errors import NotCopyable
from actors.values import copy

atoms = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
    | st.dates() | st.datetimes() | st.decimals(allow_nan=False) | st.uuids()
)  # fmt: skip
values = st.recursive(
    atoms,
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(st.text() | st.integers(), inner)
        | st.sets(st.integers())
        | st.binary().map(bytearray)
    ),
    max_leaves=20,
)
MUTABLE = (list, dict, set, bytearray)


def mutable_ids(value: Any) -> set[int]:
    found = {id(value)} if isinstance(value, MUTABLE) else set()
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for item in value:
            found |= mutable_ids(item)
    return found


@given(values)
def test_a_copy_is_equal_and_shares_nothing_mutable(value: Any) -> None:
    made = copy(value)
    assert made == value
    assert type(made) is type(value)
    assert not mutable_ids(made) & mutable_ids(value)


def test_immutable_values_pass_by_reference() -> None:
    for value in ("x" * 1000, 10**50, (1, ("a", b"b")), uuid.uuid4(), decimal.Decimal(1)):
        assert copy(value) is value


def test_shared_and_circular_references_survive() -> None:
    inner: list[Any] = []
    ring: dict[str, Any] = {"a": inner, "b": inner}
    ring["self"] = ring
    made = copy(ring)
    assert made["a"] is made["b"]
    assert made["self"] is made
    assert made["a"] is not inner


def test_a_value_that_doubles_at_each_level_is_copied_in_linear_time() -> None:
    value: list[Any] = []
    for _ in range(200):
        value = [value, value]
    made = copy(value)
    assert made[0] is made[1]


def test_an_instance_of_a_local_class_arrives_as_that_class() -> None:
    @dataclass
    class Point:
        x: int
        tags: list[str]

    point = Point(1, ["a"])
    made = copy([point])[0]
    assert made == point
    assert type(made) is Point
    assert made.tags is not point.tags


def test_nesting_beyond_the_stack_is_a_clear_error() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(NotCopyable, match="too deeply"):
        copy(deep)


def test_the_error_names_the_place() -> None:
    with pytest.raises(NotCopyable) as caught:
        copy({"a": [1, {"b": (x for x in ())}]}, "argument 2")
    assert caught.value.path == 'argument 2["a"][1]["b"]'
    assert copy(datetime.UTC) is datetime.UTC
