"""WIT types, and how their values look in Python.

    bool, char, string          bool, a str of one character, str
    u8 ... s64, f32, f64        int, float
    list<u8>                    bytes
    list<T>, tuple<...>         list, tuple
    record                      in: a mapping, or an object with the fields as attributes
                                out: a `Record`; names have _ for -
    option<T>                   the value, or None
    enum, flags                 str, a set of str
    variant, result             (case, value), or the case alone where it carries nothing;
                                a result's cases are "ok" and "err"

A function that returns a result returns the value, or raises `GuestError`. Resources, streams,
futures and options of options do not cross.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from wasmtime.component import _types as wit

from facets.isolates import capi
from facets.isolates.capi import OF, VAL_SIZE
from facets.isolates.codec import Record
from facets.isolates.errors import LoadError
from facets.isolates.wasm import capi as core
from facets.isolates.wasm.scalars import (
    WORD,
    Char,
    Number,
    Octets,
    Text,
    Type,
    refuse,
    text_of,
    vector,
)  # fmt: skip

TUPLE, VARIANT, ENUM, RESULT, FLAGS = 15, 16, 17, 19, 20
ENTRY_SIZE = ctypes.sizeof(capi.ENTRY)
POINTER = 8
MOST = 20_000
"""Parts that all types of a component may have."""


class Unsupported(Exception):
    """A type whose values do not cross."""


@dataclass(frozen=True)
class List:
    """A list of anything but u8."""

    element: Type

    def lower(self, value: Any, at: int, path: str) -> None:
        """Write the list."""
        if not isinstance(value, list | tuple):
            raise refuse(path, "a list", value)
        data = vector(at, capi.LIST, capi.list_new, len(value), VAL_SIZE)
        for index, one in enumerate(value):
            self.element.lower(one, data + index * VAL_SIZE, f"{path}[{index}]")

    def lift(self, at: int) -> list[Any]:
        """Read the list."""
        found = capi.text_at(at + OF)
        if not found.size:
            return []
        if isinstance(self.element, Number):
            return self.element.lift_all(found.data, found.size)
        return [self.element.lift(found.data + i * VAL_SIZE) for i in range(found.size)]

    def size(self, at: int, most: int) -> int:
        """All elements."""
        found = capi.text_at(at + OF)
        total: int = WORD * (1 + found.size)
        if isinstance(self.element, Number):
            return total
        return _sum(
            total, most, ((self.element, found.data + i * VAL_SIZE) for i in range(found.size))
        )


@dataclass(frozen=True)
class Tuple:
    """A tuple."""

    elements: tuple[Type, ...]

    def lower(self, value: Any, at: int, path: str) -> None:
        """Write the tuple."""
        if not isinstance(value, list | tuple) or len(value) != len(self.elements):
            raise refuse(path, f"a tuple of {len(self.elements)}", value)
        data = vector(at, TUPLE, core.tuple_new, len(value), VAL_SIZE)
        for index, (element, one) in enumerate(zip(self.elements, value, strict=True)):
            element.lower(one, data + index * VAL_SIZE, f"{path}[{index}]")

    def lift(self, at: int) -> tuple[Any, ...]:
        """Read the tuple."""
        data = capi.text_at(at + OF).data
        return tuple(one.lift(data + i * VAL_SIZE) for i, one in enumerate(self.elements))

    def size(self, at: int, most: int) -> int:
        """All elements."""
        data = capi.text_at(at + OF).data
        return _sum(WORD, most, ((one, data + i * VAL_SIZE) for i, one in enumerate(self.elements)))


@dataclass(frozen=True)
class Fields:
    """A record."""

    fields: tuple[tuple[str, Type], ...]

    def lower(self, value: Any, at: int, path: str) -> None:
        """Write the record."""
        get = (
            value.get
            if isinstance(value, Mapping)
            else lambda key, *_: getattr(value, key, _MISSING)
        )
        data = vector(at, capi.RECORD, capi.record_new, len(self.fields), ENTRY_SIZE)
        for index, (name, kind) in enumerate(self.fields):
            entry = data + index * ENTRY_SIZE
            text = name.encode()
            capi.bytes_new(entry, len(text), text)
            field = get(snake(name), _MISSING)
            if field is _MISSING:
                raise refuse(path, f"a record with {snake(name)}", value)
            kind.lower(field, entry + capi.ENTRY.val.offset, f"{path}.{snake(name)}")

    def lift(self, at: int) -> Record:
        """Read the record."""
        data = capi.text_at(at + OF).data + capi.ENTRY.val.offset
        return Record("record", {
            snake(name): kind.lift(data + index * ENTRY_SIZE)
            for index, (name, kind) in enumerate(self.fields)
        })  # fmt: skip

    def size(self, at: int, most: int) -> int:
        """All fields."""
        data = capi.text_at(at + OF).data + capi.ENTRY.val.offset
        return _sum(
            WORD, most, ((one, data + i * ENTRY_SIZE) for i, (_, one) in enumerate(self.fields))
        )


@dataclass(frozen=True)
class Option:
    """A value or None."""

    payload: Type

    def lower(self, value: Any, at: int, path: str) -> None:
        """Write the value, if there is one."""
        core.pointer_at(at + OF).value = 0
        capi.kind_at(at).value = capi.OPTION
        if value is not None:
            core.pointer_at(at + OF).value = _boxed(self.payload, value, path)

    def lift(self, at: int) -> Any:
        """Read the value, if there is one."""
        inner = core.pointer_at(at + OF).value
        return self.payload.lift(inner) if inner else None

    def size(self, at: int, most: int) -> int:
        """The value."""
        inner = core.pointer_at(at + OF).value
        return WORD + (self.payload.size(inner, most) if inner else 0)


@dataclass(frozen=True)
class Cases:
    """A variant, an enum or a result: one of several cases, some with a value."""

    kind: int
    cases: Mapping[str, Type | None]

    def lower(self, value: Any, at: int, path: str) -> None:
        """Write the case and its value."""
        case, payload = value if isinstance(value, tuple) and len(value) == 2 else (value, None)
        if not isinstance(case, str) or case not in self.cases:
            raise refuse(path, f"one of {', '.join(self.cases)}", value)
        inner = self.cases[case]
        if inner is None and payload is not None:
            raise refuse(path, f"{case} without a value", value)
        pointer = 0 if inner is None else _boxed(inner, payload, f"{path}.{case}")
        if self.kind == RESULT:
            core.bool_at(at + OF).value = case == "ok"
            core.pointer_at(at + OF + POINTER).value = pointer
        else:
            text = case.encode()
            capi.bytes_new(at + OF, len(text), text)
            if self.kind == VARIANT:
                core.pointer_at(at + OF + 2 * POINTER).value = pointer
        capi.kind_at(at).value = self.kind

    def lift(self, at: int) -> Any:
        """Read the case and its value."""
        case, inner, pointer = self._at(at)
        return case if inner is None else (case, inner.lift(pointer))

    def size(self, at: int, most: int) -> int:
        """The value."""
        _, inner, pointer = self._at(at)
        return WORD + (0 if inner is None else inner.size(pointer, most))

    def _at(self, at: int) -> tuple[str, Type | None, int]:
        """The case, and the type and the address of its value."""
        if self.kind == RESULT:
            case = "ok" if core.bool_at(at + OF).value else "err"
            return case, self.cases[case], core.pointer_at(at + OF + POINTER).value
        case = text_of(at + OF)
        pointer = core.pointer_at(at + OF + 2 * POINTER).value if self.kind == VARIANT else 0
        return case, self.cases[case], pointer


@dataclass(frozen=True)
class Flags:
    """A set of names."""

    names: frozenset[str]

    def lower(self, value: Any, at: int, path: str) -> None:
        """Write the names."""
        if not isinstance(value, set | frozenset) or not self.names.issuperset(value):
            raise refuse(path, f"a set of {', '.join(sorted(self.names))}", value)
        chosen = sorted(set(value))
        data = vector(at, FLAGS, core.flags_new, len(chosen), ctypes.sizeof(capi.Text))
        for index, name in enumerate(chosen):
            text = name.encode()
            capi.bytes_new(data + index * ctypes.sizeof(capi.Text), len(text), text)

    def lift(self, at: int) -> set[str]:
        """Read the names."""
        found = capi.text_at(at + OF)
        size = ctypes.sizeof(capi.Text)
        return {text_of(found.data + index * size) for index in range(found.size)}

    def size(self, at: int, most: int) -> int:
        """A word for each."""
        return WORD * (1 + len(self.names))


_MISSING = object()


def snake(name: str) -> str:
    """A name of WIT as one of Python."""
    return name.replace("-", "_")


def _sum(total: int, most: int, parts: Iterable[tuple[Type, int]]) -> int:
    for kind, at in parts:
        if total > most:
            break
        total += kind.size(at, most - total)
    return total


def _boxed(kind: Type, value: Any, path: str) -> int:
    """The value in memory of its own."""
    made = capi.VAL()
    at = ctypes.addressof(made)
    try:
        kind.lower(value, at, path)
    except BaseException:
        core.val_delete(at)
        raise
    return int(core.val_new(at))


_NUMBERS: dict[type, Number] = {
    wit.Bool: Number("bool", 0, "?"),
    wit.S8: Number("s8", 1, "b"), wit.U8: Number("u8", 2, "B"),
    wit.S16: Number("s16", 3, "h"), wit.U16: Number("u16", 4, "H"),
    wit.S32: Number("s32", 5, "i"), wit.U32: Number("u32", 6, "I"),
    wit.S64: Number("s64", 7, "q"), wit.U64: Number("u64", 8, "Q"),
    wit.F32: Number("f32", 9, "f"), wit.F64: Number("f64", 10, "d"),
}  # fmt: skip


class Reader:
    """Reads the types of one component, of which there may be so many.

    Types share parts, so that a few hundred bytes can stand for more of them than there is
    memory; what is bounded is how many there are when all is written out.
    """

    def __init__(self) -> None:
        self._left = MOST

    def read(self, kind: Any) -> Type:
        """The type that Wasmtime describes; Unsupported if its values do not cross."""
        self._left -= 1
        if self._left < 0:
            raise LoadError(f"its types have more than {MOST} parts")
        simple = _NUMBERS.get(type(kind))
        if simple is not None:
            return simple
        make = _MAKE.get(type(kind))
        if make is None:
            raise Unsupported(type(kind).__name__.removesuffix("Type").lower())
        return make(self, kind)

    def list_(self, kind: Any) -> Type:
        """A list; of bytes, if they are."""
        element = kind.element
        return Octets() if isinstance(element, wit.U8) else List(self.read(element))

    def option(self, kind: Any) -> Type:
        """An option; not of another one, as None could be either."""
        payload = self.read(kind.payload)
        if isinstance(payload, Option):
            raise Unsupported("option of an option")
        return Option(payload)

    def cases(self, kind: int, cases: Iterable[tuple[str, Any]]) -> Type:
        """A variant or a result."""
        return Cases(kind, {name: None if one is None else self.read(one) for name, one in cases})


_MAKE: dict[type, Callable[[Reader, Any], Type]] = {
    wit.Char: lambda _, kind: Char(),
    wit.String: lambda _, kind: Text(),
    wit.ListType: Reader.list_,
    wit.TupleType: lambda r, kind: Tuple(tuple(map(r.read, kind.elements))),
    wit.RecordType: lambda r, kind: Fields(tuple((n, r.read(one)) for n, one in kind.fields)),
    wit.OptionType: Reader.option,
    wit.EnumType: lambda _, kind: Cases(ENUM, dict.fromkeys(kind.names)),
    wit.VariantType: lambda r, kind: r.cases(VARIANT, kind.cases),
    wit.ResultType: lambda r, kind: r.cases(RESULT, [("ok", kind.ok), ("err", kind.err)]),
    wit.FlagsType: lambda _, kind: Flags(frozenset(kind.names)),
}
