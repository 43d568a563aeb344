"""Annotations taken apart, for any language that declares them."""

from __future__ import annotations

import collections.abc
import dataclasses
import enum
import inspect
from typing import Any, get_args, get_origin, get_type_hints, is_typeddict

import msgspec

STREAMS = (
    collections.abc.AsyncIterator, collections.abc.AsyncGenerator, collections.abc.AsyncIterable,
)  # fmt: skip
ARRAYS = (
    list, set, frozenset, collections.abc.Sequence, collections.abc.Iterable,
    collections.abc.Collection, collections.abc.Set,
)  # fmt: skip
MAPPINGS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)


def streamed(annotation: Any) -> Any:
    """The type of the items of a stream."""
    if get_origin(annotation) in STREAMS:
        return get_args(annotation)[0]
    return Any


def fields(kind: Any) -> dict[str, Any] | None:
    """The fields of a dataclass, struct, TypedDict or NamedTuple; None for any other type."""
    if not isinstance(kind, type):
        return None
    known = (
        dataclasses.is_dataclass(kind)
        or issubclass(kind, msgspec.Struct)
        or is_typeddict(kind)
        or (issubclass(kind, tuple) and hasattr(kind, "_fields"))
    )
    if not known:
        return None
    try:
        return get_type_hints(kind)
    except NameError:
        return dict(inspect.get_annotations(kind))


def members(kind: Any) -> list[Any] | None:
    """The values of an enum, as which its members cross; None for any other type."""
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return [member.value for member in kind]
    return None


class Named:
    """Types that declarations speak of, each to be declared once."""

    def __init__(self) -> None:
        self.found: dict[str, Any] = {}

    def add(self, kind: Any) -> str:
        """The name of a type, which will be declared."""
        self.found.setdefault(kind.__name__, kind)
        return str(kind.__name__)
