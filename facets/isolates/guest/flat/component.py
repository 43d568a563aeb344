"""A component, taken apart: its parts in their order, and what each core index stands for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from .binary import put_all, put_section, sections, text, unsigned
from .module import FUNCTION, KINDS, MEMORY

LIFT, LOWER, RESOURCES = 0, 1, (2, 3, 4)
OPTIONS_OF: Final = {3: MEMORY, 4: FUNCTION, 5: FUNCTION}
"""Options of a canonical function that name something: memory, realloc, post-return."""
_CUSTOM, _CORE_MODULE, _CORE_INSTANCE, _CORE_TYPE, _ALIAS, _CANON = 0, 1, 2, 3, 6, 8
Options = tuple[tuple[int, int | None], ...]


class Instantiate(NamedTuple):
    """An instance of a module, with an instance for each name that it imports from."""

    module: int
    arguments: dict[str, int]


class Bundle(NamedTuple):
    """An instance put together of what others export."""

    exports: dict[str, tuple[int, int]]


class Alias(NamedTuple):
    """What an instance exports under a name."""

    instance: int
    name: str


class Canon(NamedTuple):
    """A function across the boundary of the component."""

    kind: int
    function: int
    """Lifted: the core function. Lowered: the component's. Of a resource: its type."""
    options: Options
    type: int = 0
    """Of what is lifted."""
    place: int = -1
    """The core index of a function that is not lifted."""

    def names(self) -> list[tuple[int, int]]:
        """What of the core it names, by kind and index."""
        named = [(OPTIONS_OF[o], value) for o, value in self.options if value is not None]
        return [*named, (FUNCTION, self.function)] if self.kind == LIFT else named


class Kept(NamedTuple):
    """A section that is copied."""

    content: bytes


class Component:
    """The parts of a component in their order, and its core index spaces."""

    def __init__(self, data: bytes) -> None:
        self.modules: list[bytes] = []
        self.parts: list[Kept | Canon | int] = []
        """A number is that of an instance."""
        self.instances: list[Instantiate | Bundle] = []
        self.items: dict[int, list[Alias | Canon]] = {kind: [] for kind in KINDS}
        if data[:8] != b"\0asm\x0d\0\1\0":
            raise ValueError("not a component")
        for section, start, end in sections(data, 8, len(data)):
            self._section(section, data[start:end])

    def _section(self, section: int, content: bytes) -> None:
        if section == _CORE_MODULE:
            self.modules.append(content)
        elif section == _CORE_INSTANCE:
            self._read(content, self._instance)
        elif section == _ALIAS:
            self._aliases(content)
        elif section == _CANON:
            self._read(content, self._canon)
        elif section == _CORE_TYPE:
            raise ValueError("a component has core types, which merging does not know")
        elif section != _CUSTOM or text(content, 0)[0] != "component-name":  # indices of before
            self.parts.append(Kept(put_section(section, content)))

    def _read(self, content: bytes, reader: Callable[[bytes, int], int]) -> None:
        count, at = unsigned(content, 0)
        for _ in range(count):
            at = reader(content, at)

    def _instance(self, data: bytes, at: int) -> int:
        self.parts.append(len(self.instances))
        reader = _instantiate if data[at] == 0 else _bundle
        made, at = reader(data, at + 1)
        self.instances.append(made)
        return at

    def _aliases(self, content: bytes) -> None:
        """Those of core things fill the index spaces; the others are copied."""
        count, at = unsigned(content, 0)
        kept = []
        for _ in range(count):
            start, core = at, content[at] == 0
            at += 2 if core else 1
            target, at = content[at], at + 1
            if core and target == 1:
                instance, at = unsigned(content, at)
                name, at = text(content, at)
                self.items[content[start + 1]].append(Alias(instance, name))
                continue
            if core:
                raise ValueError("a core alias is not of an export")
            _, at = unsigned(content, at)
            at = unsigned(content, at)[1] if target == 2 else text(content, at)[1]
            kept.append(content[start:at])
        if kept:
            self.parts.append(Kept(put_section(_ALIAS, put_all(kept))))

    def _canon(self, data: bytes, at: int) -> int:
        kind, place = data[at], len(self.items[FUNCTION])
        if kind in RESOURCES:
            function, at = unsigned(data, at + 1)
            made = Canon(kind, function, (), place=place)
        elif kind in (LIFT, LOWER):
            function, at = unsigned(data, at + 2)
            options, at = _options(data, at)
            result, at = unsigned(data, at) if kind == LIFT else (0, at)
            made = Canon(kind, function, options, result, place if kind == LOWER else -1)
        else:
            raise ValueError(f"a canonical function of kind {kind:#x}")
        self.parts.append(made)
        if kind != LIFT:
            self.items[FUNCTION].append(made)
        return at


def _instantiate(data: bytes, at: int) -> tuple[Instantiate, int]:
    module, at = unsigned(data, at)
    count, at = unsigned(data, at)
    arguments = {}
    for _ in range(count):
        name, at = text(data, at)
        arguments[name], at = unsigned(data, at + 1)
    return Instantiate(module, arguments), at


def _bundle(data: bytes, at: int) -> tuple[Bundle, int]:
    count, at = unsigned(data, at)
    exports = {}
    for _ in range(count):
        name, at = text(data, at)
        kind = data[at]
        index, at = unsigned(data, at + 1)
        exports[name] = kind, index
    return Bundle(exports), at


def _options(data: bytes, at: int) -> tuple[Options, int]:
    count, at = unsigned(data, at)
    found: list[tuple[int, int | None]] = []
    for _ in range(count):
        option, at = data[at], at + 1
        value = None
        if option in OPTIONS_OF:
            value, at = unsigned(data, at)
        elif option > 2:  # the encodings of strings have no value
            raise ValueError(f"a canonical option {option:#x}")
        found.append((option, value))
    return tuple(found), at
