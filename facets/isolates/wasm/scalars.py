"""The simple WIT types: numbers, characters, text, bytes. `types` has the others."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from facets.isolates import capi
from facets.isolates.capi import OF, VAL_SIZE
from facets.isolates.errors import NotTransferable

CHAR = 11
WORD = 8
"""Bytes that a value counts for, whatever it is, against `Limits.output`."""


class Type(Protocol):
    """One type. Addresses are those of component values."""

    def lower(self, value: Any, at: int, path: str) -> None:
        """Write `value`; NotTransferable with its path if it is not one. What was written of it
        until then can be freed like a whole one."""

    def lift(self, at: int) -> Any:
        """The value that is there."""

    def size(self, at: int, most: int) -> int:
        """About how many bytes its content takes; may stop to count at `most`."""


def refuse(path: str, wanted: str, value: object) -> NotTransferable:
    """The error for a value that is not of its type."""
    return NotTransferable(f"{path}: {wanted} was expected, not {value!r:.80}", path=path)


@dataclass(frozen=True)
class Number:
    """Booleans, integers and floats: a kind, and a struct's code for the payload."""

    name: str
    kind: int
    code: str

    def lower(self, value: Any, at: int, path: str) -> None:
        """Write the number."""
        wanted = bool if self.code == "?" else int if self.code not in "fd" else (int, float)
        if not isinstance(value, wanted) or (self.code != "?" and isinstance(value, bool)):
            raise refuse(path, f"a {self.name}", value)
        try:
            packed = struct.pack(f"<{self.code}", value)
        except (struct.error, OverflowError):
            raise refuse(path, f"a {self.name}", value) from None
        capi.kind_at(at).value = self.kind
        ctypes.memmove(at + OF, packed, len(packed))

    def lift(self, at: int) -> Any:
        """Read the number."""
        return struct.unpack(f"<{self.code}", capi.string_at(at + OF, struct.calcsize(self.code)))[
            0
        ]

    def size(self, at: int, most: int) -> int:
        """A word."""
        return WORD

    def lift_all(self, data: int, count: int) -> list[Any]:
        """Read many at once."""
        size = struct.calcsize(self.code)
        raw = capi.string_at(data, count * VAL_SIZE)
        packed = struct.Struct(f"<{OF}x{self.code}{VAL_SIZE - OF - size}x")
        return [one for (one,) in packed.iter_unpack(raw)]


@dataclass(frozen=True)
class Char:
    """One character."""

    def lower(self, value: Any, at: int, path: str) -> None:
        """Write the character."""
        if not isinstance(value, str) or len(value) != 1 or "\ud800" <= value <= "\udfff":
            raise refuse(path, "a char", value)
        capi.kind_at(at).value = CHAR
        capi.u32_at(at + OF).value = ord(value)

    def lift(self, at: int) -> str:
        """Read the character."""
        return chr(capi.u32_at(at + OF).value)

    def size(self, at: int, most: int) -> int:
        """A word."""
        return WORD


@dataclass(frozen=True)
class Text:
    """A string."""

    def lower(self, value: Any, at: int, path: str) -> None:
        """Write the text."""
        try:
            if not isinstance(value, str):
                raise refuse(path, "a string", value)
            capi.put_text(at, value.encode())
        except UnicodeEncodeError:
            raise refuse(path, "text without lone surrogates", value) from None

    def lift(self, at: int) -> str:
        """Read the text."""
        return text_of(at + OF)

    def size(self, at: int, most: int) -> int:
        """Its UTF-8."""
        return WORD + capi.text_at(at + OF).size


@dataclass(frozen=True)
class Octets:
    """list<u8>, written and read in one go: each byte is a whole value in C."""

    def lower(self, value: Any, at: int, path: str) -> None:
        """Write the bytes."""
        if not isinstance(value, bytes | bytearray | memoryview):
            raise refuse(path, "bytes", value)
        content = bytes(value)
        values = bytearray(bytes([capi.U8]).ljust(VAL_SIZE, b"\0") * len(content))
        values[OF::VAL_SIZE] = content
        data = vector(at, capi.LIST, capi.list_new, len(content), VAL_SIZE)
        ctypes.memmove(data, bytes(values), len(values))

    def lift(self, at: int) -> bytes:
        """Read the bytes."""
        found = capi.text_at(at + OF)
        return capi.string_at(found.data, found.size * VAL_SIZE)[OF::VAL_SIZE]

    def size(self, at: int, most: int) -> int:
        """The bytes."""
        return WORD + capi.text_at(at + OF).size


def text_of(at: int) -> str:
    """The text in the vector at `at`."""
    vector = capi.text_at(at)
    return capi.string_at(vector.data, vector.size).decode() if vector.size else ""


def vector(at: int, kind: int, new: Callable[[int, int], None], count: int, size: int) -> int:
    """Make room for `count` parts in the value at `at`; where they are. All are zero, which can
    be freed."""
    new(at + OF, count)
    capi.kind_at(at).value = kind
    data = capi.text_at(at + OF).data if count else 0
    if count:
        ctypes.memset(data, 0, count * size)
    return data
