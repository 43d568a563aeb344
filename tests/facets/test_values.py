"""Random values that go around: a parent, a trusted facet, a facet in an isolate, and back."""

from __future__ import annotations

import datetime as dt
import enum
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pydantic
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actors.errors import NotCopyable
from facets import Actor, LocalRuntime
from facets.errors import NotTransferable

TOOL = """
from dataclasses import dataclass
from facets import Actor

@dataclass
class Line:
    name: str
    count: int

class Tool(Actor):
    async def back(self, value): return value
    async def order(self): return {"id": 7, "lines": [Line("pen", 2)], "when": None}
    async def orders(self):
        yield {"id": 1, "lines": [], "when": None}
    async def plain(self, value): return value
    async def fields(self, value): return [value.name, value.inner.count, repr(value)]
    async def strange(self): return {"lines": [1, {"f": lambda: 1}]}
    async def lines(self): return [Line("pen", object())]
"""
scalars = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=[])) | st.binary() | st.dates() | st.datetimes()
    | st.decimals(allow_nan=False) | st.uuids() | st.timedeltas() | st.times()
)  # fmt: skip
keys = st.text() | st.integers() | st.binary() | st.tuples(st.integers(), st.text())
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(keys, inner, max_size=4)
        | st.sets(keys, max_size=4)
        | st.frozensets(keys, max_size=4)
        | st.binary().map(bytearray)
    ),
    max_leaves=12,
)
MUTABLE = (list, dict, set, bytearray)


def mutable(value: Any) -> dict[int, Any]:
    """What is mutable in a value, by its id."""
    found = {id(value): value} if isinstance(value, MUTABLE) else {}
    inside = value.values() if isinstance(value, dict) else value
    if isinstance(value, (dict, list, tuple)):
        for one in inside:
            found |= mutable(one)
    return found


class Facet(Actor):
    async def back(self, value: Any) -> Any:
        self.seen = value
        return value


class Parent(Actor):
    async def around(self, value: Any) -> Any:
        facet = self.facets.get("facet", Facet)
        tool = self.facets.get("tool", self.isolates.get(TOOL).actor("Tool"))
        copied = await facet.back(value)
        returned = await tool.back(copied)
        assert not mutable(value).keys() & mutable(copied).keys()
        assert not mutable(copied).keys() & mutable(returned).keys()
        assert copied == value
        return returned

    async def tool(self, method: str, *args: Any, interface: type | None = None) -> Any:
        self.facets.abort("tool")
        code = self.isolates.get(TOOL).actor("Tool", interface=interface)
        return await getattr(self.facets.get("tool", code), method)(*args)

    async def items(self, interface: type) -> list[Any]:
        self.facets.abort("tool")
        tool = self.facets.get("tool", self.isolates.get(TOOL).actor("Tool", interface=interface))
        return [item async for item in tool.orders()]


def test_random_values_come_back_equal_and_share_nothing(state: Path) -> None:
    with LocalRuntime(state).blocking() as runtime:
        parent: Any = runtime.get(Parent, "p")
        parent.around(None)

        @settings(
            max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow]
        )  # a call takes what the machine is doing besides
        @given(values)
        def around(value: Any) -> None:
            returned = parent.around(value)
            assert returned == value
            assert shape(returned) == shape(value)

        around()


def shape(value: Any) -> Any:
    """The types of a value, which `==` does not look at."""
    if isinstance(value, (list, tuple)):
        return type(value), [shape(one) for one in value]
    if isinstance(value, dict):
        return dict, [shape(one) for one in value.values()]
    return type(value)


# -- objects at the boundary of an isolate ---------------------------------------------------------


class Colour(enum.Enum):
    RED = "red"


class Pair(NamedTuple):
    a: int
    b: int


@dataclass
class Inner:
    count: int


@dataclass
class Outer:
    name: str
    inner: Inner = field(default_factory=lambda: Inner(3))


class OuterStruct(msgspec.Struct):
    name: str
    inner: Inner


class OuterModel(pydantic.BaseModel):
    name: str
    inner: Inner


class Empty(msgspec.Struct):
    pass


@dataclass
class Line:
    name: str
    count: int


@dataclass
class Order:
    id: int
    lines: list[Line]
    when: dt.date | None


class OrderModel(pydantic.BaseModel):
    id: int
    lines: list[Line]
    when: dt.date | None


class Orders:
    async def order(self) -> Order:
        raise NotImplementedError

    async def orders(self) -> AsyncIterator[Order]:
        yield Order(0, [], None)


class Models:
    async def order(self) -> OrderModel:
        raise NotImplementedError

    async def orders(self) -> AsyncIterator[OrderModel]:
        yield OrderModel(id=0, lines=[], when=None)


class Wrong:
    async def order(self) -> Line:
        raise NotImplementedError


@pytest.fixture
async def parent(runtime: LocalRuntime) -> Any:
    return runtime.get(Parent, "p")


@pytest.mark.parametrize(
    "value",
    [Outer("x"), OuterStruct("x", Inner(3)), OuterModel(name="x", inner=Inner(3))],
    ids=lambda value: type(value).__name__,
)
async def test_objects_go_in_as_records(parent: Any, value: Any) -> None:
    kind = type(value).__name__
    shown = f"{kind}(name='x', inner=Inner(count=3))"

    assert await parent.tool("fields", value) == ["x", 3, shown]
    record = await parent.tool("plain", value)
    assert repr(record) == shown
    assert record.inner.count == 3
    assert repr(await parent.tool("plain", Empty())) == "Empty()"


async def test_enums_and_named_tuples_go_in_as_what_they_are_made_of(parent: Any) -> None:
    assert await parent.tool("plain", [Colour.RED, Pair(1, 2)]) == ["red", (1, 2)]


async def test_an_interface_makes_records_what_it_declares(parent: Any) -> None:
    assert await parent.tool("order", interface=Orders) == Order(7, [Line("pen", 2)], None)
    made = await parent.tool("order", interface=Models)
    assert made == OrderModel(id=7, lines=[Line("pen", 2)], when=None)
    assert await parent.items(Orders) == [Order(1, [], None)]
    assert await parent.items(Models) == [OrderModel(id=1, lines=[], when=None)]
    with pytest.raises(NotTransferable, match=r"order\(\) returned something else"):
        await parent.tool("order", interface=Wrong)


async def test_paths_look_alike_on_both_sides_of_the_boundary(parent: Any) -> None:
    class Local:
        def __init__(self) -> None:
            self.lock = [1]

    for value, path in (
        ([1, {"x": Outer("y", Local())}], 'argument 0[1]["x"].inner'),  # type: ignore[arg-type]
        ({"k": Pair(1, Local())}, 'argument 0["k"].b'),  # type: ignore[arg-type]
        (OuterStruct("y", Local()), "argument 0.inner"),  # type: ignore[arg-type]
    ):
        with pytest.raises(NotCopyable) as caught:
            await parent.tool("plain", value)
        assert isinstance(caught.value, NotTransferable)
        assert caught.value.path == path
    for method, path in (("strange", 'result["lines"][1]["f"]'), ("lines", "result[0].count")):
        with pytest.raises(NotCopyable) as caught:
            await parent.tool(method)
        assert caught.value.path == path
    with pytest.raises(NotCopyable) as caught:
        parent.around({"a": [threading.Lock()]})
    assert caught.value.path == 'argument value["a"][0]'
