"""Values between actors: copied, so that two actors never share a mutable object.

Immutable values pass by reference. Containers and the objects of plain classes (dataclasses,
structs, exceptions, whatever keeps its state in attributes) are copied structurally, keeping
shared and circular references; for the rest what `pickle` would call is asked how they are made,
and that is done with copies of the parts. No class is looked up by name: an instance of a class
defined in a function or a notebook cell arrives as an instance of that very class.

    values.py     the walk over containers, and what stands where in an error
    objects.py    instances of classes
    streams.py    async generators, which travel as references
"""

from __future__ import annotations

import datetime
import decimal
import fractions
import pathlib
import re
import types
import uuid
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from actors.errors import NotCopyable
from storage.rows import Rows
from storage.views import FileView, KvView, SqlView

ATOMS: set[type] = {
    type(None), bool, int, float, complex, str, bytes, range, type, types.EllipsisType,
    types.NotImplementedType, datetime.date, datetime.datetime, datetime.time,
    datetime.timedelta, datetime.timezone, decimal.Decimal, fractions.Fraction, uuid.UUID,
    pathlib.PurePosixPath, pathlib.PosixPath, pathlib.PureWindowsPath, Rows, FileView, KvView,
    SqlView,
}  # fmt: skip
"""Types whose values are handed over as they are; a module with an immutable type adds it."""

REFERRED: set[type] = set()
"""Types in whose place a reference arrives."""

Memo = dict[int, Any]
"""What was copied already, by the id of the original."""
Copier = Callable[[Any, Memo], Any]
OWNER, KEPT = -1, -2
"""Keys of a memo that are no object's id: the actor whose values are copied, if that is not the
current one, and what must stay alive so that its id is not another's meanwhile."""
_LONGEST = 80
_MOST = 1_000
"""Classes whose copiers are kept: they come and go, in functions and in notebooks."""


class Stuck(Exception):
    """Copying met something it cannot copy, at `path` below the value."""

    def __init__(self, path: str, why: str, hint: str = "") -> None:
        self.path = path
        self.why = why
        self.hint = hint


def pass_by_reference(kind: type) -> None:
    """Let instances of `kind` travel as they are; they must be immutable or capabilities."""
    ATOMS.add(kind)


def copied_by(kind: type, copier: Copier) -> None:
    """Let `copier` make the reference that arrives in the place of instances of `kind`."""
    COPIERS[kind] = copier
    REFERRED.add(kind)


def copy(value: Any, what: str = "the value", owner: Any = None) -> Any:
    """A copy that shares nothing mutable with `value`; `what` names it in a `NotCopyable`.

    `owner` is the activation whose value it is, if that is not the current one: what travels by
    reference goes on running there.
    """
    kind = type(value)
    if kind in ATOMS:
        return value
    try:
        return COPIERS[kind](value, {} if owner is None else {OWNER: owner})
    except Stuck as stuck:
        place = what + stuck.path
        raise NotCopyable(
            f"{place} cannot be copied: {stuck.why}",
            hint=stuck.hint or "pass plain data; files, locks and connections stay where they are",
            path=place,
        ) from stuck.__cause__
    except RecursionError:
        raise NotCopyable(f"{what} is nested too deeply to copy", path=what) from None


def copy_arguments(
    args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Both kinds of arguments of one call, copied together."""
    for value in args:
        if type(value) not in ATOMS:
            break
    else:
        if not kwargs:
            return args, kwargs
    return (
        tuple([copy(value, f"argument {i}") for i, value in enumerate(args)]),
        {name: copy(value, f"argument {name}") for name, value in kwargs.items()},
    )


def named(error: NotCopyable, parameters: Sequence[str]) -> NotCopyable:
    """The error about an argument by position, with the name that its parameter has."""
    found = _POSITION.match(error.path)
    if found is None or int(found[1]) >= len(parameters):
        return error
    path = f"argument {parameters[int(found[1])]}{error.path[found.end() :]}"
    message = path + error.message.removeprefix(error.path)
    return NotCopyable(message, hint=error.hint, path=path)


_POSITION = re.compile(r"argument (\d+)")


# -- the walk ------------------------------------------------------------------------------------


def part(value: Any, memo: Memo) -> Any:
    """A copy of something inside what is being copied."""
    kind = type(value)
    if kind in ATOMS:
        return value
    found = memo.get(id(value), memo)
    if found is not memo:
        return found
    return COPIERS[kind](value, memo)


def item(value: Any, memo: Memo, key: Any) -> Any:
    """The same for what stands at `[key]`."""
    try:
        return part(value, memo)
    except Stuck as stuck:
        raise _under(f"[{shown(key)}]", stuck) from stuck.__cause__


def attribute(value: Any, memo: Memo, name: str) -> Any:
    """The same for what stands at `.name`."""
    try:
        return part(value, memo)
    except Stuck as stuck:
        raise _under(f".{name}", stuck) from stuck.__cause__


def hashed(value: Any, memo: Memo) -> Any:
    """The same for a key of a dict or a member of a set."""
    try:
        return part(value, memo)
    except Stuck as stuck:
        raise _under(f"[key {shown(value)}]", stuck) from stuck.__cause__


def shown(key: Any) -> str:
    """A key as a path shows it."""
    text = '"' + key.replace('"', '\\"') + '"' if type(key) is str else repr(key)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."


def _under(step: str, stuck: Stuck) -> Stuck:
    return Stuck(step + stuck.path, stuck.why, stuck.hint)


# -- containers ----------------------------------------------------------------------------------


def _copy_list(value: list[Any], memo: Memo) -> list[Any]:
    made: list[Any] = []
    memo[id(value)] = made
    for i, one in enumerate(value):
        made.append(one if type(one) in ATOMS else item(one, memo, i))
    return made


def copy_pairs(made: Any, pairs: Iterable[tuple[Any, Any]], memo: Memo) -> Any:
    """Copies of the keys and values, put into `made`."""
    for key, one in pairs:
        key_ = key if type(key) in ATOMS else hashed(key, memo)
        made[key_] = one if type(one) in ATOMS else item(one, memo, key)
    return made


def _copy_dict(value: dict[Any, Any], memo: Memo) -> dict[Any, Any]:
    made: dict[Any, Any] = {}
    memo[id(value)] = made
    for key, one in value.items():
        key_ = key if type(key) in ATOMS else hashed(key, memo)
        made[key_] = one if type(one) in ATOMS else item(one, memo, key)
    return made


def copy_items(value: Iterable[Any], memo: Memo) -> list[Any]:
    """Copies of the items of a sequence."""
    return [one if type(one) in ATOMS else item(one, memo, i) for i, one in enumerate(value)]


def _copy_tuple(value: tuple[Any, ...], memo: Memo) -> tuple[Any, ...]:
    items = copy_items(value, memo)
    found = memo.get(id(value))
    if found is not None:  # it holds something that holds it
        return found  # type: ignore[no-any-return]
    same = all(a is b for a, b in zip(items, value, strict=True))
    made = memo[id(value)] = value if same else tuple(items)
    return made


def _copy_set(value: set[Any], memo: Memo) -> set[Any]:
    made = memo[id(value)] = {one if type(one) in ATOMS else hashed(one, memo) for one in value}
    return made


def _copy_frozenset(value: frozenset[Any], memo: Memo) -> frozenset[Any]:
    items = [one if type(one) in ATOMS else hashed(one, memo) for one in value]
    same = all(a is b for a, b in zip(items, value, strict=True))
    made = memo[id(value)] = value if same else frozenset(items)
    return made


def _copy_bytearray(value: bytearray, memo: Memo) -> bytearray:
    made = memo[id(value)] = bytearray(value)
    return made


def _copy_view(value: memoryview, memo: Memo) -> memoryview:
    if type(value.obj) is bytes:
        return value
    made = memo[id(value)] = memoryview(value.tobytes())
    if value.format == "B" and value.ndim == 1:
        return made
    return made.cast(value.format, value.shape)  # type: ignore[call-overload, no-any-return]


def _copy_ordered(value: OrderedDict[Any, Any], memo: Memo) -> OrderedDict[Any, Any]:
    made: OrderedDict[Any, Any] = OrderedDict()
    memo[id(value)] = made
    return copy_pairs(made, value.items(), memo)  # type: ignore[no-any-return]


def _copy_default(value: defaultdict[Any, Any], memo: Memo) -> defaultdict[Any, Any]:
    made: defaultdict[Any, Any] = defaultdict(None)
    memo[id(value)] = made
    made.default_factory = attribute(value.default_factory, memo, "default_factory")
    return copy_pairs(made, value.items(), memo)  # type: ignore[no-any-return]


def _copy_counter(value: Counter[Any], memo: Memo) -> Counter[Any]:
    made: Counter[Any] = Counter()
    memo[id(value)] = made
    return copy_pairs(made, value.items(), memo)  # type: ignore[no-any-return]


def _copy_deque(value: deque[Any], memo: Memo) -> deque[Any]:
    made: deque[Any] = deque(maxlen=value.maxlen)
    memo[id(value)] = made
    made.extend(copy_items(value, memo))
    return made


def _copy_proxy(value: types.MappingProxyType[Any, Any], memo: Memo) -> Any:
    made = memo[id(value)] = types.MappingProxyType(copy_pairs({}, value.items(), memo))
    return made


class _Copiers(dict[type, Copier]):
    """How to copy instances of exactly these types; what is not there is planned."""

    def __init__(self, known: dict[type, Copier]) -> None:
        super().__init__(known)
        self._planned: list[type] = []

    def __missing__(self, kind: type) -> Copier:
        from actors.objects import plan

        if len(self._planned) >= _MOST:
            for one in self._planned:
                self.pop(one, None)
            self._planned.clear()
        found = self[kind] = plan(kind)
        self._planned.append(kind)
        return found


COPIERS = _Copiers({
    list: _copy_list,
    dict: _copy_dict,
    tuple: _copy_tuple,
    set: _copy_set,
    frozenset: _copy_frozenset,
    bytearray: _copy_bytearray,
    memoryview: _copy_view,
    OrderedDict: _copy_ordered,
    defaultdict: _copy_default,
    Counter: _copy_counter,
    deque: _copy_deque,
    types.MappingProxyType: _copy_proxy,
})  # fmt: skip
