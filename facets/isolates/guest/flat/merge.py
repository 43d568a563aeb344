"""Several modules as one, where each import of one is an export of another or of the outside."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import NamedTuple

from . import code
from .binary import put_all, put_section, put_signed, put_text, put_unsigned, signed
from .module import FUNCTION, GLOBAL, I32, KINDS, TABLE, Global, Import, Module


class Defined(NamedTuple):
    """Something that a module defines, by its place behind the imports of its kind."""

    module: int
    kind: int
    place: int


class Outside(NamedTuple):
    """A function that none of the modules defines."""

    number: int


Origin = Defined | Outside


class Merge:
    """One module out of `modules`, in the order in which they are instantiated."""

    def __init__(
        self, modules: Mapping[int, Module], origin: Callable[[int, Import], Origin]
    ) -> None:
        self._modules = modules
        self._origin = origin
        self._types: dict[bytes, int] = {}
        self.outside: list[Outside] = []
        """The functions to import, in their order."""
        self._outside_types: list[int] = []
        self._first: dict[tuple[int, int], int] = {}
        """The merged index of the first of a kind that a module defines."""
        self._maps: dict[tuple[int, int], list[int]] = {}
        """By module and kind: the merged index of each index."""
        self._shared: set[int] = set()
        """The tables that are exported: others may write to them."""
        if sum(len(module.memories) for module in modules.values()) != 1:
            raise ValueError("the modules do not share one memory")
        self._number()

    def _number(self) -> None:
        for key, module in self._modules.items():
            for one in module.imports:
                found = self._origin(key, one)
                if isinstance(found, Outside) and found not in self.outside:
                    self.outside.append(found)
                    self._outside_types.append(self._type(module.types[one.type]))
        for kind in KINDS:
            at = len(self.outside) if kind == FUNCTION else 0
            for key, module in self._modules.items():
                self._first[key, kind] = at
                at += module.defined(kind)
        for key, module in self._modules.items():
            for kind in KINDS:
                imported = [self._index(self._origin(key, one)) for one in module.imported(kind)]
                start = self._first[key, kind]
                defined = range(start, start + module.defined(kind))
                self._maps[key, kind] = [*imported, *defined]

    def _type(self, encoded: bytes) -> int:
        return self._types.setdefault(encoded, len(self._types))

    def _index(self, origin: Origin) -> int:
        if isinstance(origin, Outside):
            return self.outside.index(origin)
        return self._first[origin.module, origin.kind] + origin.place

    # -- variables and tables -----------------------------------------------------------------

    @cached_property
    def _globals(self) -> list[Global]:
        """All variables, each with a constant as its first value."""
        made: list[Global] = []
        for key, module in self._modules.items():
            for one in module.globals:
                made.append(self._resolved(key, one, made))
        return made

    def _resolved(self, key: int, value: Global, known: Sequence[Global]) -> Global:
        if value.base is None:
            return value
        number = value.number + known[self._maps[key, GLOBAL][value.base]].number
        return Global(value.type, (number + (1 << 31)) % (1 << 32) - (1 << 31))

    @cached_property
    def _set(self) -> set[int]:
        """The variables that some function changes."""
        return {
            self._maps[key, GLOBAL][op.about]
            for key, module in self._modules.items()
            for body in module.bodies
            for op in body
            if isinstance(op, code.Op) and op.code == code.SET
        }

    @cached_property
    def _tables(self) -> dict[tuple[int, int], int]:
        """Which function is at which place of which table."""
        found: dict[tuple[int, int], int] = {}
        for table, offset, functions in self._segments:
            found.update({(table, offset + i): one for i, one in enumerate(functions)})
        return found

    @cached_property
    def _segments(self) -> list[tuple[int, int, list[int]]]:
        return [
            (
                self._maps[key, TABLE][one.table],
                self._resolved(key, one.offset, self._globals).number,
                [self._maps[key, FUNCTION][index] for index in one.functions],
            )
            for key, module in self._modules.items()
            for one in module.elements
        ]

    @cached_property
    def _shortcuts(self) -> dict[int, int]:
        """Functions that only pass their arguments on to what is in a table, and to whom.

        The linker makes one for each call to a library that is instantiated later.
        """
        found = {}
        for key, module in self._modules.items():
            for place, body in enumerate(module.bodies):
                target = self._passes_on(key, module, module.functions[place], body)
                if target is not None:
                    found[self._first[key, FUNCTION] + place] = target
        return found

    @cached_property
    def _written(self) -> set[int]:
        """The tables that some function changes."""
        return {
            self._maps[key, TABLE][op.about if code.is_table(op) else op.table]
            for key, module in self._modules.items()
            for body in module.bodies
            for op in body
            if isinstance(op, code.Op) and op.code in (code.TABLE_SET, code.MORE)
        }

    def _passes_on(self, key: int, module: Module, kind: int, body: code.Body) -> int | None:
        """`local.get` of each argument in turn, the place in the table, `call_indirect`, `end`."""
        arguments = module.types[kind][1]
        start = b"\0" + b"".join(b"\x20" + put_unsigned(i) for i in range(arguments))
        ops = [one for one in body if isinstance(one, code.Op)]
        if not ops or ops[-1].code != code.INDIRECT or body[-1] != code.END:
            return None
        place = self._place(key, body[:-2], start)
        if place is None or module.types[ops[-1].about] != module.types[kind]:
            return None
        table = self._maps[key, TABLE][ops[-1].table]
        if table in self._written or table in self._shared:
            return None
        return self._tables.get((table, place))

    def _place(self, key: int, body: code.Body, start: bytes) -> int | None:
        """The constant behind `start`, written out or in a variable that nobody changes."""
        if len(body) == 3 and body[0] == start and isinstance(body[1], code.Op) and not body[2]:
            index = self._maps[key, GLOBAL][body[1].about] if body[1].code == code.GET else -1
            return self._globals[index].number if self._is_constant(index) else None
        if len(body) == 1 and isinstance(body[0], bytes) and body[0].startswith(start):
            rest = body[0][len(start) :]
            if rest[:1] == code.I32_CONST:
                value, end = signed(rest, 1)
                return value if end == len(rest) else None
        return None

    def _is_constant(self, index: int) -> bool:
        return index >= 0 and index not in self._set and self._globals[index].type == I32

    # -- the module ---------------------------------------------------------------------------

    def encoded(self, exports: Mapping[str, Defined]) -> bytes:
        """The module, with these exports."""
        if any(one.kind == GLOBAL for one in exports.values()):
            raise ValueError("a variable is shared with a module that is not merged")
        self._shared = {self._index(one) for one in exports.values() if one.kind == TABLE}
        bodies = [
            self._encoded(key, body)
            for key, module in self._modules.items()
            for body in module.bodies
        ]
        functions = [
            put_unsigned(self._type(module.types[kind]))
            for module in self._modules.values()
            for kind in module.functions
        ]
        modules = self._modules.values()
        (data,) = [module.data for module in modules if module.data]
        parts = {
            2: put_all(self._imports()),
            3: put_all(functions),
            4: put_all(table for module in modules for table in module.tables),
            5: put_all(memory for module in modules for memory in module.memories),
            6: put_all(self._variable(i, one) for i, one in enumerate(self._globals)),
            7: put_all(self._export(name, one) for name, one in exports.items()),
            9: put_all(self._element(*one) for one in self._segments),
            10: put_all(bodies),
            11: data,
        }
        types = put_section(1, put_all(self._types))  # complete by now
        content = b"".join(put_section(number, part) for number, part in parts.items())
        return b"\0asm\1\0\0\0" + types + content + self._names()

    def _imports(self) -> list[bytes]:
        return [
            put_text("") + put_text(str(i)) + b"\0" + put_unsigned(kind)
            for i, kind in enumerate(self._outside_types)
        ]

    def _variable(self, index: int, one: Global) -> bytes:
        start = bytes([one.type, index in self._set, code.CONST[one.type]])
        return start + put_signed(one.number) + code.END

    def _export(self, name: str, one: Defined) -> bytes:
        return put_text(name) + bytes([one.kind]) + put_unsigned(self._index(one))

    def _element(self, table: int, offset: int, functions: list[int]) -> bytes:
        start = b"\0" if table == 0 else b"\2" + put_unsigned(table)
        kind = b"" if table == 0 else b"\0"
        at = code.constant(offset) + code.END
        return start + at + kind + put_all(map(put_unsigned, functions))

    def _encoded(self, key: int, body: code.Body) -> bytes:
        made = b"".join(one if isinstance(one, bytes) else self._moved(key, one) for one in body)
        return put_unsigned(len(made)) + made

    def _moved(self, key: int, op: code.Op) -> bytes:
        """The instruction with the indices of the merged module."""
        if op.code in (code.GET, code.SET):
            index = self._maps[key, GLOBAL][op.about]
            if self._is_constant(index):
                return code.constant(self._globals[index].number)
            return code.put(op._replace(about=index))
        if code.is_function(op):
            index = self._maps[key, FUNCTION][op.about]
            if op.code != code.REF:
                index = self._shortcuts.get(index, index)
            return code.put(op._replace(about=index))
        if code.is_type(op):
            op = op._replace(about=self._type(self._modules[key].types[op.about]))
        if code.is_table(op):
            return code.put(op._replace(about=self._maps[key, TABLE][op.about]))
        if op.code not in (0x02, 0x03, 0x04):
            op = op._replace(table=self._maps[key, TABLE][op.table])
        return code.put(op)

    def _names(self) -> bytes:
        names = {
            self._maps[key, FUNCTION][index]: name
            for key, module in self._modules.items()
            for index, name in module.names.items()
            if index >= len(module.imported(FUNCTION))
        }
        listed = put_all(put_unsigned(i) + put_text(name) for i, name in sorted(names.items()))
        return put_section(0, put_text("name") + put_section(1, listed))
