"""Copying instances of classes: what arrives is what was sent, and shares nothing with it."""

from __future__ import annotations

import array
import asyncio
import collections
import dataclasses
import datetime as dt
import enum
import ipaddress
import operator
import pathlib
import re
import threading
import traceback
import types
import zoneinfo
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any, Generic, NamedTuple, TypeVar
from uuid import UUID

import msgspec
import numpy as np
import pydantic
import pytest

from actors import Actor, LocalRuntime
from actors.errors import NotCopyable
from actors.values import copy

T = TypeVar("T")


@dataclasses.dataclass
class Plain:
    x: int
    tags: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class Frozen:
    x: int
    inner: Plain


@dataclasses.dataclass(slots=True)
class Slotted:
    x: int
    tags: list[str]


@dataclasses.dataclass(frozen=True, slots=True)
class FrozenSlotted:
    x: int
    tags: list[str]


@dataclasses.dataclass
class Child(Plain, Generic[T]):
    value: T | None = None
    total: int = dataclasses.field(init=False, default=0)

    def __post_init__(self) -> None:
        self.total = self.x + 100


class Struct(msgspec.Struct, frozen=True, kw_only=True):
    x: int
    tags: list[str]


class Model(pydantic.BaseModel):
    x: int
    tags: list[str]
    inner: Plain | None = None


class Point(NamedTuple):
    x: int
    tags: list[str]


class Colour(enum.Enum):
    RED = enum.auto()


class Rights(enum.Flag):
    READ = 1
    WRITE = 2


class Node:
    __slots__ = ("_Node__hidden", "__weakref__", "below")

    def __init__(self, hidden: list[int]) -> None:
        self.__hidden = hidden
        self.below: Node | None = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Node) and self.__hidden == other.__hidden

    __hash__ = None  # type: ignore[assignment]


class Spelled(str):
    note: list[str]


class Own:
    """Says itself how it is made again."""

    def __init__(self, x: list[int]) -> None:
        self.x = x

    def __reduce__(self) -> Any:
        return Own, (self.x,)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Own) and self.x == other.x

    __hash__ = None  # type: ignore[assignment]


class Strange(Exception):
    """A constructor that does not take what it keeps."""

    def __init__(self, code: int, *, where: list[str]) -> None:
        super().__init__(f"code {code}")
        self.code = code
        self.where = where


class Missing(OSError):
    def __init__(self, path: str) -> None:
        super().__init__(2, "not there", path)


def make_spelled() -> Spelled:
    made = Spelled("a")
    made.note = ["b"]
    return made


MUTABLE: list[Callable[[], Any]] = [
    lambda: Plain(1, ["a"]),
    lambda: Frozen(1, Plain(2, ["a"])),
    lambda: Slotted(1, ["a"]),
    lambda: FrozenSlotted(1, ["a"]),
    lambda: Child(1, ["a"], value=[1]),
    lambda: Struct(x=1, tags=["a"]),
    lambda: Model(x=1, tags=["a"], inner=Plain(1, ["b"])),
    lambda: Point(1, ["a"]),
    lambda: Node([1]),
    lambda: Own([1]),
    lambda: make_spelled(),
    lambda: collections.OrderedDict(b=[1], a=2),
    lambda: collections.defaultdict(list, a=[1]),
    lambda: collections.Counter("aab"),
    lambda: collections.deque([1, [2]], maxlen=5),
    lambda: bytearray(b"ab"),
    lambda: array.array("d", [1.0, 2.0]),
    lambda: types.SimpleNamespace(a=[1]),
    lambda: types.MappingProxyType({"a": [1]}),
    lambda: memoryview(bytearray(b"abcdef")),
]
SHARED: list[Any] = [
    Colour.RED, Rights.READ | Rights.WRITE, Point(1, ()), frozenset({1, (2,)}),  # type: ignore[arg-type]
    dt.datetime(2024, 2, 29, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin")), dt.date(2024, 2, 29),
    dt.time(1, 2, tzinfo=dt.UTC), dt.timedelta(days=-1), zoneinfo.ZoneInfo("Europe/Berlin"),
    Decimal("1.10"), Fraction(1, 3), UUID(int=7), ipaddress.ip_address("::1"),
    ipaddress.ip_network("10.0.0.0/8"), pathlib.Path("/a/b"), pathlib.PurePath("c"),
    pathlib.PureWindowsPath("c:/x"), re.compile("a+"), ..., NotImplemented, Plain, operator.add,
    dataclasses.replace, memoryview(b"abc"), range(3), b"x" * 1000,
]  # fmt: skip


def parts(value: Any) -> list[Any]:
    """What is mutable in a value that the tests above make."""
    if value is None or (isinstance(value, (int, str)) and not isinstance(value, Spelled)):
        return []
    inner = [getattr(value, name, None) for name in ("x", "tags", "inner", "value", "note", "a")]
    inner += [getattr(value, "_Node__hidden", None)]
    if isinstance(value, dict):
        inner += value.values()
    elif isinstance(value, (list, tuple, set, collections.deque)):
        inner += value
    own = [] if isinstance(value, tuple) else [value]
    return own + [found for one in inner for found in parts(one)]


@pytest.mark.parametrize("make", MUTABLE, ids=lambda make: type(make()).__name__)
def test_an_object_arrives_as_what_it_was_and_shares_nothing(make: Callable[[], Any]) -> None:
    value = make()
    for made in (copy(value), copy([value])[0], copy({"k": (value,)})["k"][0]):
        assert made == value
        assert type(made) is type(value)
        assert not {id(one) for one in parts(made)} & {id(one) for one in parts(value)}


@pytest.mark.parametrize("value", SHARED, ids=lambda value: f"{type(value).__name__} {value}"[:40])
def test_what_cannot_change_passes_by_reference(value: Any) -> None:
    assert copy(value) is value
    assert copy([value])[0] is value


def test_what_an_object_is_besides_its_fields_survives() -> None:
    child = copy(Child(1, ["a"], value=2))
    assert child.total == 101
    assert copy(make_spelled()).note == ["b"]
    assert copy(collections.deque([1], maxlen=3)).maxlen == 3
    assert copy(collections.defaultdict(list)).default_factory is list
    assert list(copy(collections.OrderedDict(b=1, a=2))) == ["b", "a"]
    assert copy(Model.model_construct({"x"}, x=1, tags=[])).model_fields_set == {"x"}
    assert copy(memoryview(bytearray(8)).cast("I")).tolist() == [0, 0]


def test_nothing_of_a_class_runs_when_its_object_is_copied() -> None:
    ran: list[str] = []

    @dataclasses.dataclass
    class Loud:
        x: list[int]

        def __post_init__(self) -> None:
            ran.append("made")

        def __setattr__(self, name: str, value: object) -> None:
            ran.append(name)
            object.__setattr__(self, name, value)

    value = Loud([1])
    ran.clear()
    assert copy(value) == value
    assert ran == []


def test_arrays_arrive_as_arrays() -> None:
    value = np.arange(6, dtype="f4").reshape(2, 3).T
    made = copy({"a": value, "n": np.float32(1.5), "d": value.dtype})
    assert made["a"].tolist() == value.tolist()
    assert made["a"].dtype == value.dtype
    assert not np.shares_memory(made["a"], value)
    assert made["n"] == 1.5
    assert made["d"] == value.dtype
    with_objects = np.array([[1], {"a": [2]}], dtype=object)
    made = copy(with_objects)
    assert made[1] == {"a": [2]}
    assert made[1] is not with_objects[1]


def test_shared_and_circular_objects_stay_so() -> None:
    node, shared = Node([1]), [1]
    node.below = node
    made = copy([node, node, (shared,), {"a": shared}, Own(shared)])
    assert made[0] is made[1]
    assert made[0].below is made[0]
    assert made[2][0] is made[3]["a"]
    assert made[4].x is made[3]["a"]
    ring: list[Any] = []
    ring.append((ring,))
    made = copy(ring)
    assert made[0][0] is made


def test_tuples_that_double_at_each_level_are_copied_in_linear_time() -> None:
    value: Any = ()
    for _ in range(100):
        value = (value, value)
    assert copy(value) is value


# -- exceptions ------------------------------------------------------------------------------------


def raised(error: BaseException) -> BaseException:
    try:
        try:
            raise KeyError("first")
        except KeyError as cause:
            raise error from cause
    except BaseException as caught:
        caught.add_note("a note")
        return caught


@pytest.mark.parametrize(
    "make",
    [
        lambda: Strange(3, where=["here"]), lambda: Missing("/x"), lambda: ValueError("a", [1]),
        lambda: UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"), lambda: StopIteration(5),
        lambda: ImportError("no", name="m", path="/m"), lambda: asyncio.CancelledError("why"),
        lambda: ExceptionGroup("several", [ValueError(1), Strange(1, where=[])]),
        lambda: NotCopyable("x", hint="y", path="z"), lambda: SyntaxError("s", ("f", 1, 2, "t")),
    ],
    ids=lambda make: type(make()).__name__,
)  # fmt: skip
def test_exceptions_survive_whatever_their_constructors_take(
    make: Callable[[], BaseException],
) -> None:
    value = raised(make())
    made = copy([value])[0]

    assert type(made) is type(value)
    assert made is not value
    assert str(made) == str(value)
    for name in set(dir(value)) - set(dir(BaseException)) - {"exceptions"}:
        if not callable(getattr(value, name, print)):
            assert getattr(made, name) == getattr(value, name), name
    assert made.__notes__ == ["a note"]
    assert made.__notes__ is not value.__notes__
    assert type(made.__cause__) is KeyError
    assert made.__suppress_context__
    assert traceback.format_exception(made) == traceback.format_exception(value)


class Raiser(Actor):
    async def fail(self) -> None:
        raise raised(Strange(3, where=["here"]))

    async def failed(self) -> dict[str, BaseException]:
        return {"error": raised(Strange(3, where=["here"]))}


async def test_an_error_of_an_actor_arrives_as_what_it_was(runtime: LocalRuntime) -> None:
    stub = runtime.get(Raiser, "r")

    with pytest.raises(Strange, match="code 3") as caught:
        await stub.fail()
    returned = (await stub.failed())["error"]

    for error in (caught.value, returned):
        assert isinstance(error, Strange)
        assert error.where == ["here"]
        assert error.__notes__ == ["a note"]
        assert isinstance(error.__cause__, KeyError)
        assert "raise error from cause" in "".join(traceback.format_exception(error))


# -- what cannot be copied -------------------------------------------------------------------------


class Order:
    def __init__(self, lines: list[Any]) -> None:
        self.lines = lines


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"lines": [1, 2, 3, Order([threading.Lock()])]}, 'x["lines"][3].lines[0]'),
        (Plain(1, [lambda: 1]), "x.tags[0]"),  # type: ignore[list-item]
        (FrozenSlotted(1, [threading.Lock()]), "x.tags[0]"),  # type: ignore[list-item]
        (Struct(x=1, tags=[(i for i in ())]), "x.tags[0]"),  # type: ignore[list-item]
        (Model.model_construct(x=1, tags=[threading.Lock()]), "x.tags[0]"),  # type: ignore[list-item]
        (Point(1, [threading.Lock()]), "x.tags[0]"),  # type: ignore[list-item]
        (ValueError("a", threading.Lock()), "x.args[1]"),
        (Strange(1, where=[threading.Lock()]), "x.where[0]"),  # type: ignore[list-item]
        ({(1, threading.current_thread): 1}, None),
        ({Frozen(1, threading.Lock()): 1}, "x[key Frozen(x=1, inner=<unlocked _thread.lock object"),  # type: ignore[arg-type]
        (collections.deque([threading.Lock()]), "x[0]"),
        (collections.defaultdict(lambda: 1), "x.default_factory"),
        (collections.OrderedDict(a=threading.Lock()), 'x["a"]'),
        (types.SimpleNamespace(a=[threading.Lock()]), "x.a[0]"),
        (Order([]).__init__, None),  # type: ignore[misc]
        (Order([threading.Lock()]).__init__, "x.__self__.lines[0]"),  # type: ignore[misc]
        ((i for i in ()), "x"),
        (asyncio, "x"),
    ],
    ids=str,
)  # fmt: skip
def test_the_error_names_the_path_to_what_cannot_be_copied(value: Any, path: str | None) -> None:
    if path is None:
        copy(value)
        return
    with pytest.raises(NotCopyable) as caught:
        copy(value, "x")
    assert caught.value.path.startswith(path)
    assert "[key" in path or caught.value.path == path


async def test_what_belongs_to_the_runtime_is_refused_by_name(runtime: LocalRuntime) -> None:
    with pytest.raises(NotCopyable, match="belongs to the runtime"):
        copy([runtime])


async def test_an_argument_is_named_as_its_method_names_it(runtime: LocalRuntime) -> None:
    class Shop(Actor):
        async def buy(self, order: dict[str, Any], *more: Any) -> None:
            raise AssertionError("nothing of a call runs whose arguments cannot travel")

    stub = runtime.get(Shop, "s")
    order = {"lines": [1, 2, 3, Order([threading.Lock()])]}

    with pytest.raises(NotCopyable) as by_position:
        stub.buy(order)
    with pytest.raises(NotCopyable) as by_name:
        stub.buy(order=order)
    with pytest.raises(NotCopyable) as behind:
        stub.buy({}, threading.Lock())

    assert by_position.value.path == by_name.value.path == 'argument order["lines"][3].lines[0]'
    assert by_position.value.message.startswith(by_position.value.path + " cannot be copied: ")
    assert behind.value.path == "argument 1"
