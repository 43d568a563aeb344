"""Where in a value something stands: paths in the errors of values that cannot cross."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

from actors.values import shown

ARGUMENTS = "argument"
"""The name of a list or a dict of arguments; each is called by its position or its name."""


def children(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """What stands directly in `value`, each with its path."""
    if path == ARGUMENTS:
        pairs = value.items() if isinstance(value, Mapping) else enumerate(value)
        yield from ((f"{path} {name}", one) for name, one in pairs)
    elif isinstance(value, dict):
        yield from ((f"{path}[{shown(key)}]", one) for key, one in value.items())
        yield from ((f"{path}[key {shown(key)}]", key) for key in value)
    elif isinstance(value, tuple) and hasattr(value, "_fields"):
        yield from ((f"{path}.{n}", x) for n, x in zip(value._fields, value, strict=False))
    elif isinstance(value, (list, tuple, deque)):
        yield from ((f"{path}[{i}]", one) for i, one in enumerate(value))
    elif isinstance(value, (set, frozenset)):
        yield from ((f"{path}[key {shown(one)}]", one) for one in value)
    else:
        found = value.asdict() if hasattr(type(value), "asdict") else fields(value)
        yield from ((f"{path}.{name}", one) for name, one in (found or {}).items())


def fields(value: Any) -> dict[str, Any] | None:
    """The fields of a dataclass, struct or model; None for any other value."""
    if isinstance(value, type):
        return None
    if dataclasses.is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    for names in _NAMES:
        found = getattr(type(value), names, None)
        if found is not None:
            return {name: getattr(value, name) for name in found}
    return None


_NAMES = ("__struct_fields__", "__pydantic_fields__")
"""What has the names of the fields in the classes of msgspec and of pydantic."""
