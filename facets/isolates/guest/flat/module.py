"""A core module, taken apart as far as merging needs it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, NamedTuple

from . import code
from .binary import sections, signed, text, unsigned

FUNCTION, TABLE, MEMORY, GLOBAL = 0, 1, 2, 3
I32 = 0x7F
KINDS: Final = (FUNCTION, TABLE, MEMORY, GLOBAL)
_CUSTOM, _TYPES, _IMPORTS, _FUNCTIONS, _TABLES, _MEMORIES, _GLOBALS = 0, 1, 2, 3, 4, 5, 6
_EXPORTS, _ELEMENTS, _CODE, _DATA = 7, 9, 10, 11


class Import(NamedTuple):
    """What a module asks for."""

    module: str
    name: str
    kind: int
    type: int
    """Of a function; 0 for everything else."""


class Global(NamedTuple):
    """A variable: its value type, and its first value."""

    type: int
    number: int
    base: int | None = None
    """The variable whose first value is added."""


class Segment(NamedTuple):
    """Functions that are put into a table at the start."""

    table: int
    offset: Global
    functions: list[int]


@dataclass
class Module:
    """Index spaces hold what is defined; imports come before it, as in the format."""

    raw: bytes
    types: list[bytes] = field(default_factory=list)
    imports: list[Import] = field(default_factory=list)
    functions: list[int] = field(default_factory=list)
    tables: list[bytes] = field(default_factory=list)
    memories: list[bytes] = field(default_factory=list)
    globals: list[Global] = field(default_factory=list)
    exports: dict[str, tuple[int, int]] = field(default_factory=dict)
    elements: list[Segment] = field(default_factory=list)
    bodies: list[code.Body] = field(default_factory=list)
    data: bytes = b""
    names: dict[int, str] = field(default_factory=dict)

    def imported(self, kind: int) -> list[Import]:
        """The imports of one kind, in their order."""
        return [one for one in self.imports if one.kind == kind]

    def defined(self, kind: int) -> int:
        """How many of a kind are not imported."""
        return len((self.functions, self.tables, self.memories, self.globals)[kind])


def parse(data: bytes) -> Module:
    """Take a module apart; a ValueError if there is something in it that merging would lose."""
    module = Module(data)
    for section, start, end in sections(data, 8, len(data)):
        if section == _CUSTOM:
            _custom(module, data, start, end)
        elif section == _DATA:
            module.data = data[start:end]
        elif section in _READERS:
            count, at = unsigned(data, start)
            for _ in range(count):
                at = _READERS[section](module, data, at)
            if at != end:
                raise ValueError(f"section {section} of a module ends at {at}, not at {end}")
        else:
            raise ValueError(f"a module has a section {section}, which merging does not know")
    return module


def _type(module: Module, data: bytes, at: int) -> int:
    if data[at] != 0x60:
        raise ValueError("a type is not that of a function")
    start, at = at, at + 1
    for _ in range(2):
        count, at = unsigned(data, at)
        at += count
    module.types.append(data[start:at])
    return at


def _import(module: Module, data: bytes, at: int) -> int:
    name, at = text(data, at)
    inner, at = text(data, at)
    kind, at = data[at], at + 1
    index = 0
    if kind == FUNCTION:
        index, at = unsigned(data, at)
    elif kind == GLOBAL:
        at += 2
    else:
        at = _limits(data, at + 1 if kind == TABLE else at)
    module.imports.append(Import(name, inner, kind, index))
    return at


def _limits(data: bytes, at: int) -> int:
    flags, at = data[at], at + 1
    if flags > 1:
        raise ValueError("a memory or table is shared or has 64-bit addresses")
    for _ in range(1 + flags):
        at = unsigned(data, at)[1]
    return at


def _function(module: Module, data: bytes, at: int) -> int:
    index, at = unsigned(data, at)
    module.functions.append(index)
    return at


def _table(module: Module, data: bytes, at: int) -> int:
    end = _limits(data, at + 1)
    module.tables.append(data[at:end])
    return end


def _memory(module: Module, data: bytes, at: int) -> int:
    end = _limits(data, at)
    module.memories.append(data[at:end])
    return end


def _global(module: Module, data: bytes, at: int) -> int:
    made, end = _value(data, at + 2, data[at])
    module.globals.append(made)
    return end


def _value(data: bytes, at: int, kind: int) -> tuple[Global, int]:
    """A constant expression: a number, a variable, or their sum."""
    number, base = 0, None
    while data[at : at + 1] != code.END:
        if data[at] in (0x41, 0x42):
            value, at = signed(data, at + 1)
            number += value
        elif data[at] == code.GET and base is None:
            base, at = unsigned(data, at + 1)
        elif data[at] == 0x6A:
            at += 1
        else:
            raise ValueError(f"a first value is made by {data[at : at + 8].hex()}")
    return Global(kind, number, base), at + 1


def _export(module: Module, data: bytes, at: int) -> int:
    name, at = text(data, at)
    index, end = unsigned(data, at + 1)
    module.exports[name] = (data[at], index)
    return end


def _element(module: Module, data: bytes, at: int) -> int:
    flags, at = unsigned(data, at)
    if flags not in (0, 2):
        raise ValueError(f"an element segment has flags {flags}")
    table = 0
    if flags == 2:
        table, at = unsigned(data, at)
    offset, at = _value(data, at, I32)
    count, at = unsigned(data, at + 1 if flags == 2 else at)
    functions = []
    for _ in range(count):
        index, at = unsigned(data, at)
        functions.append(index)
    module.elements.append(Segment(table, offset, functions))
    return at


def _body(module: Module, data: bytes, at: int) -> int:
    size, at = unsigned(data, at)
    module.bodies.append(code.parse(data, at, at + size))
    return at + size


def _custom(module: Module, data: bytes, at: int, end: int) -> None:
    name, at = text(data, at)
    if name != "name":
        return
    for section, start, _ in sections(data, at, end):
        if section == 1:
            count, at = unsigned(data, start)
            for _ in range(count):
                index, at = unsigned(data, at)
                module.names[index], at = text(data, at)


_READERS: Final = {
    _TYPES: _type,
    _IMPORTS: _import,
    _FUNCTIONS: _function,
    _TABLES: _table,
    _MEMORIES: _memory,
    _GLOBALS: _global,
    _EXPORTS: _export,
    _ELEMENTS: _element,
    _CODE: _body,
}
