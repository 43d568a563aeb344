"""Values between actors: copied, so that two actors never share a mutable object.

Immutable values pass by reference. Plain containers are copied structurally, keeping shared
and circular references. Everything else makes a round trip through pickle, in which classes
and stubs stay references: an instance of a class defined in a function or a notebook cell
arrives as an instance of that very class.
"""

from __future__ import annotations

import datetime
import decimal
import fractions
import io
import pathlib
import pickle
import types
import uuid
from typing import Any

from actors.errors import NotCopyable
from storage.rows import Row, Rows
from storage.views import FileView, KvView, SqlView

ATOMS: set[type] = {
    type(None), bool, int, float, complex, str, bytes, range, type, types.EllipsisType,
    types.NotImplementedType, datetime.date, datetime.datetime, datetime.time,
    datetime.timedelta, datetime.timezone, decimal.Decimal, fractions.Fraction, uuid.UUID,
    pathlib.PurePosixPath, pathlib.PosixPath, Rows, FileView, KvView, SqlView,
}  # fmt: skip
"""Types whose values are handed over as they are; a module with an immutable type adds it."""

_REFERENCES: set[type] = {Rows, FileView, KvView, SqlView}
_Memo = dict[int, Any]


class _Stuck(Exception):
    """Copying met something it cannot copy, at `path` below the value."""

    def __init__(self, path: str, why: str) -> None:
        self.path = path
        self.why = why


def pass_by_reference(kind: type) -> None:
    """Let instances of `kind` travel as they are; they must be immutable or capabilities."""
    ATOMS.add(kind)
    _REFERENCES.add(kind)


def copy(value: Any, what: str = "the value") -> Any:
    """A copy that shares nothing mutable with `value`; `what` names it in a `NotCopyable`."""
    if type(value) in ATOMS:
        return value
    try:
        return _copy(value, {})
    except _Stuck as stuck:
        place = what + stuck.path
        raise NotCopyable(
            f"{place} cannot be copied: {stuck.why}",
            hint="pass plain data; files, locks, connections and generators stay where they are",
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


def _copy(value: Any, memo: _Memo) -> Any:
    kind = type(value)
    if kind in ATOMS:
        return value
    key = id(value)
    if key in memo:
        return memo[key]
    copier = _COPIERS.get(kind)
    if copier is not None:
        return copier(value, memo)
    made = memo[key] = _by_pickle(value)
    return made


def _copy_list(value: list[Any], memo: _Memo) -> list[Any]:
    made: list[Any] = []
    memo[id(value)] = made
    for i, item in enumerate(value):
        made.append(_inside(item, memo, i))
    return made


def _copy_dict(value: dict[Any, Any], memo: _Memo) -> dict[Any, Any]:
    made: dict[Any, Any] = {}
    memo[id(value)] = made
    for key, item in value.items():
        made[_copy(key, memo)] = _inside(item, memo, key)
    return made


def _copy_tuple(value: tuple[Any, ...], memo: _Memo) -> tuple[Any, ...]:
    items = [_inside(item, memo, i) for i, item in enumerate(value)]
    same = all(a is b for a, b in zip(items, value, strict=True))
    return value if same else tuple(items)


def _copy_set(value: set[Any], memo: _Memo) -> set[Any]:
    return {_copy(item, memo) for item in value}


def _copy_frozenset(value: frozenset[Any], memo: _Memo) -> frozenset[Any]:
    return frozenset([_copy(item, memo) for item in value])


def _inside(item: Any, memo: _Memo, key: Any) -> Any:
    try:
        return _copy(item, memo)
    except _Stuck as stuck:
        raise _Stuck(f"[{key!r}]{stuck.path}", stuck.why) from stuck.__cause__


_COPIERS: dict[type, Any] = {
    list: _copy_list,
    dict: _copy_dict,
    tuple: _copy_tuple,
    set: _copy_set,
    frozenset: _copy_frozenset,
    bytearray: lambda value, _memo: bytearray(value),
}


class _Pickler(pickle.Pickler):
    def __init__(self, file: io.BytesIO, kept: list[Any]) -> None:
        super().__init__(file, protocol=5)
        self._kept = kept

    def persistent_id(self, obj: Any) -> int | None:
        if isinstance(obj, (type, Row)) or type(obj) in _REFERENCES:
            self._kept.append(obj)
            return len(self._kept) - 1
        return None


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, kept: list[Any]) -> None:
        super().__init__(file)
        self._kept = kept

    def persistent_load(self, pid: int) -> Any:
        return self._kept[pid]


def _by_pickle(value: Any) -> Any:
    if isinstance(value, Row):
        return value
    kept: list[Any] = []
    file = io.BytesIO()
    try:
        _Pickler(file, kept).dump(value)
        file.seek(0)
        return _Unpickler(file, kept).load()
    except RecursionError:
        raise
    except Exception as error:
        # Pickling runs code of the value's own class, so any exception can come out of it.
        raise _Stuck("", f"{type(value).__name__}: {error}") from error
