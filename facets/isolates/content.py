"""What `env` and `props` hold, as a key: equal content gives equal keys."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import msgspec

from facets.capabilities.reference import identity, is_capability
from facets.isolates.errors import NotTransferable


def content(value: Any, what: str) -> Hashable:
    """Plain data by value, capabilities by identity; NotTransferable for anything else.

    The key keeps the capabilities in it alive, as their identity may be their address.
    """
    found: list[_Same] = []
    try:
        data = msgspec.msgpack.encode(_split(value, found), order="deterministic")
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise NotTransferable(
            f"{what} is neither plain data nor a capability: {error}", path=what
        ) from error
    return data, tuple(found)


def _split(value: Any, found: list[_Same]) -> Any:
    """The value with a number in the place of each capability, which are added to `found`."""
    if is_capability(value):
        found.append(_Same(value))
        return msgspec.msgpack.Ext(1, str(len(found)).encode())
    if isinstance(value, dict):
        return {key: _split(item, found) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_split(item, found) for item in value]
    return value


class _Same:
    """A capability, equal to itself."""

    __slots__ = ("key", "value")

    def __init__(self, value: object) -> None:
        self.value = value
        self.key = identity(value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)
