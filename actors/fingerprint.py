"""A hash of a value that is the same for equal values, in every process.

What pickle writes is not: the order of a set differs from process to process, and a string that
is the same object twice is written in another way than two equal ones.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Callable, Iterable
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

Special = Callable[[Any, "Walk"], bytes | None]
"""What stands for a value, if it is to be hashed in a way of its own; else None."""
_SIZE = 20


class Walk:
    """One walk through a value and all that it holds."""

    def __init__(self, special: Special | None = None) -> None:
        self._special = special
        self._around: dict[int, int] = {}
        """How deep each object is that the walk is inside of: a circle is told by the place that
        it leads back to."""
        self._circles = 0
        self._done: dict[int, tuple[Any, bytes]] = {}
        """Hashes of what is met again, with the object, so that its id stays its own."""

    def of(self, value: Any) -> bytes:
        """The hash of one value."""
        kind = type(value)
        if kind is int:
            return mixed("int", [hex(value).encode()])  # `repr` refuses long ones
        if value is None or kind in _ATOMS:
            return mixed(kind.__name__, [repr(value).encode()])
        if kind in _BYTES:
            return mixed(kind.__name__, [bytes(value)])
        if kind is str:
            return mixed("str", [value.encode("utf-8", "surrogatepass")])
        if id(value) in self._done:
            return self._done[id(value)][1]
        place = self._around.get(id(value))
        if place is not None:
            self._circles += 1
            return mixed("back", [str(place).encode()])
        self._around[id(value)] = len(self._around)
        circles = self._circles
        try:
            found = self._inside(kind, value)
        finally:
            del self._around[id(value)]
        if circles == self._circles:
            self._done[id(value)] = value, found
        return found

    def _inside(self, kind: type, value: Any) -> bytes:
        found = None if self._special is None else self._special(value, self)
        if found is not None:
            return found
        if kind in (list, tuple):
            return mixed(kind.__name__, map(self.of, value))
        if kind in (set, frozenset):
            return mixed(kind.__name__, sorted(map(self.of, value)))
        if kind is dict:
            return mixed("dict", sorted(self.of(one) + self.of(value[one]) for one in value))
        if isinstance(value, enum.Enum):
            return mixed("enum", [named(kind), value.name.encode()])
        if isinstance(value, type | FunctionType | BuiltinFunctionType | ModuleType):
            return mixed("name", [named(value)])
        return self._reduced(kind, value)

    def _reduced(self, kind: type, value: Any) -> bytes:
        """By what pickle would call, and what it would set; by its class alone if that is all."""
        if isinstance(value, BaseException):
            return mixed("error", [named(kind), self.of(value.args), self.of(vars(value))])
        try:
            parts = value.__reduce_ex__(4)
        except Exception:  # code of the value's own class: it may refuse in any way
            return mixed("object", [named(kind)])
        if isinstance(parts, str):
            return mixed("name", [parts.encode()])
        whole: list[Any] = [*parts, *[None] * 4]
        make, args, state, items, pairs = whole[:5]
        held = (make, args, state, [*items] if items else None, dict(pairs) if pairs else None)
        return mixed("object", [named(kind), *map(self.of, held)])


def fingerprint(value: Any, special: Special | None = None) -> bytes:
    """The hash of a value: 20 bytes."""
    return Walk(special).of(value)


def mixed(kind: str, parts: Iterable[bytes]) -> bytes:
    """One hash of several parts in their order."""
    said = b"".join([len(one).to_bytes(8, "big") + one for one in parts])
    return hashlib.blake2b(said, digest_size=_SIZE, person=kind.encode()[:16]).digest()


def named(one: Any) -> bytes:
    """Where something is defined."""
    name = getattr(one, "__qualname__", None) or getattr(one, "__name__", type(one).__name__)
    return f"{getattr(one, '__module__', '')}:{name}".encode()


_ATOMS = frozenset({bool, int, float, complex, type(...), type(NotImplemented)})
_BYTES = frozenset({bytes, bytearray})
