"""The component around what is merged; nothing else of it changes.

Instances come in the order of the file. One that needs nothing but earlier ones and functions
that need no memory (`resource.drop`, or a host function of plain numbers) is merged. The others,
such as the one that fills the table of host functions when there is a memory to lower strings
into, are kept, and instantiated where they were.
"""

from __future__ import annotations

from collections.abc import Iterator

from .binary import put_all, put_section, put_text, put_unsigned, text, unsigned
from .component import LIFT, LOWER, OPTIONS_OF, Alias, Bundle, Canon, Component, Instantiate, Kept
from .merge import Defined, Merge, Origin, Outside
from .module import FUNCTION, KINDS, MEMORY, Import, Module, parse

_CUSTOM, _CORE_MODULE, _CORE_INSTANCE, _ALIAS, _TYPE, _CANON, _EXPORT = 0, 1, 2, 6, 7, 8, 11
_MEMORY_OPTION = 3
MEASURE = bytes.fromhex(
    "0061736d01000000"
    "01050160 00017f"  # a function that returns an i32
    "02070100 0130 020000"  # imports the memory "0" of ""
    "03020100"
    "07080104 73697a65 0000"  # exports "size"
    "0a060104 00 3f00 0b"  # memory.size
)
_Bundles = dict[str, dict[str, tuple[int, int]]]
"""By the name that a module imports from: kinds and indices by name."""


class Flat:
    """Decides what is merged, and writes the component around it."""

    def __init__(self, component: Component) -> None:
        self._component = component
        self._parsed: dict[int, Module] = {}
        self._merged: dict[int, Module] = {}
        self._late: dict[int, Module] = {}
        self._sort()
        self._merge = Merge(self._merged, self._origin)
        self._exports: dict[str, Defined] = {}
        self._places: dict[tuple[int, Origin], int] = {}
        """Where a canonical function or an export is in the new index spaces."""
        self._counts = dict.fromkeys(KINDS, 0)
        self._instances = 0

    def _sort(self) -> None:
        """Into what is merged and what is late."""
        used = set()
        for number, instance in enumerate(self._component.instances):
            if isinstance(instance, Instantiate):
                if instance.module in used:
                    raise ValueError(f"module {instance.module} is instantiated twice")
                used.add(instance.module)
                module = self._parsed[number] = parse(self._component.modules[instance.module])
                (self._merged if self._is_early(module, number) else self._late)[number] = module

    # -- where things come from ---------------------------------------------------------------

    def _is_early(self, module: Module, number: int) -> bool:
        origins = [self._origin(number, one) for one in module.imports]
        return not any(
            self._needs_memory(one) if isinstance(one, Outside) else one.module not in self._merged
            for one in origins
        )

    def _needs_memory(self, origin: Outside) -> bool:
        canon = self._component.items[FUNCTION][origin.number]
        return isinstance(canon, Canon) and bool(canon.names())

    def _origin(self, number: int, one: Import) -> Origin:
        instance = self._component.instances[number]
        if not isinstance(instance, Instantiate):
            raise TypeError(number)
        return self._exported(instance.arguments[one.module], one.name)

    def _exported(self, number: int, name: str) -> Origin:
        instance = self._component.instances[number]
        if isinstance(instance, Bundle):
            return self._item(*instance.exports[name])
        module = self._parsed[number]
        kind, index = module.exports[name]
        imported = module.imported(kind)
        if index < len(imported):
            return self._origin(number, imported[index])
        return Defined(number, kind, index - len(imported))

    def _item(self, kind: int, index: int) -> Origin:
        item = self._component.items[kind][index]
        return self._exported(*item) if isinstance(item, Alias) else Outside(index)

    # -- the new component --------------------------------------------------------------------

    def encoded(self) -> bytes:
        """The component, with one module in the place of those that are merged."""
        around = b"".join(self._parts())  # says what is exported
        measured = b"".join(self._memory(1 + len(self._late)))
        modules = [self._merge.encoded(self._exports), *(one.raw for one in self._late.values())]
        modules += [MEASURE] if measured else []
        made = b"".join(put_section(_CORE_MODULE, one) for one in modules)
        return b"\0asm\x0d\0\1\0" + made + around + measured

    def _parts(self) -> Iterator[bytes]:
        instantiated = False
        for part in self._component.parts:
            if not instantiated and self._uses_merged(part):
                yield from self._instantiate()
                instantiated = True
            if isinstance(part, Kept):
                yield part.content
            elif isinstance(part, Canon):
                yield put_section(_CANON, put_all([self._canon(part)]))
            elif part in self._late:
                yield from self._instantiate_late(part)

    def _uses_merged(self, part: Kept | Canon | int) -> bool:
        return bool(part.names()) if isinstance(part, Canon) else part in self._late

    def _needed(self) -> Iterator[tuple[int, int]]:
        """What the component or a late instance uses, by kind and index."""
        for part in self._component.parts:
            if isinstance(part, Canon):
                yield from part.names()
        for number in self._late:
            for one in self._parsed[number].imports:
                yield one.kind, self._index_of(number, one)

    def _index_of(self, number: int, one: Import) -> int:
        """The old index of what a late instance imports."""
        instance = self._component.instances[number]
        if isinstance(instance, Instantiate):
            bundle = self._component.instances[instance.arguments[one.module]]
            if isinstance(bundle, Bundle):
                return bundle.exports[one.name][1]
        raise ValueError("a late instance imports from a module directly")

    def _instantiate(self) -> Iterator[bytes]:
        """The merged module, and aliases for all that is needed of it."""
        functions = [self._places[FUNCTION, one] for one in self._merge.outside]
        bundle = {str(i): (FUNCTION, one) for i, one in enumerate(functions)}
        yield from self._instance(0, {"": bundle})
        aliases = []
        for one in dict.fromkeys(self._item(*one) for one in self._needed()):
            if isinstance(one, Defined):
                name = str(len(self._exports))
                self._exports[name] = one
                self._place(one.kind, one)
                instance = put_unsigned(self._instances - 1)
                aliases.append(bytes([0, one.kind, 1]) + instance + put_text(name))
        yield put_section(_ALIAS, put_all(aliases))

    def _instantiate_late(self, number: int) -> Iterator[bytes]:
        bundles: _Bundles = {}
        for one in self._late[number].imports:
            place = self._new(one.kind, self._index_of(number, one))
            bundles.setdefault(one.module, {})[one.name] = one.kind, place
        yield from self._instance(1 + list(self._late).index(number), bundles)

    def _instance(self, module: int, bundles: _Bundles) -> Iterator[bytes]:
        arguments = []
        for name, exports in bundles.items():
            listed = put_all(
                put_text(one) + bytes([kind]) + put_unsigned(index)
                for one, (kind, index) in exports.items()
            )
            yield put_section(_CORE_INSTANCE, put_all([b"\1" + listed]))
            arguments.append(put_text(name) + b"\x12" + put_unsigned(self._instances))
            self._instances += 1
        made = b"\0" + put_unsigned(module) + put_all(arguments)
        yield put_section(_CORE_INSTANCE, put_all([made]))
        self._instances += 1

    def _canon(self, canon: Canon) -> bytes:
        options = put_all(map(self._option, canon.options))
        function = put_unsigned(canon.function)
        if canon.kind == LIFT:
            lifted = put_unsigned(self._new(FUNCTION, canon.function))
            return b"\0\0" + lifted + options + put_unsigned(canon.type)
        self._place(FUNCTION, Outside(canon.place))
        if canon.kind == LOWER:
            return b"\1\0" + function + options
        return bytes([canon.kind]) + function

    def _option(self, option: tuple[int, int | None]) -> bytes:
        number, value = option
        if value is None:
            return bytes([number])
        return bytes([number]) + put_unsigned(self._new(OPTIONS_OF[number], value))

    def _memory(self, module: int) -> Iterator[bytes]:
        """One more export: `memory: func() -> u32`, the pages that the memory has which
        its last function uses."""
        parts = [one for one in self._component.parts if not _is_custom(one)]
        if not (isinstance(parts[-2], Canon) and parts[-2].kind == LIFT):
            raise ValueError("a component does not end with a function and its export")
        lifted, exported = parts[-2], _only_export(parts[-1])
        memory = dict(lifted.options).get(_MEMORY_OPTION)
        if memory is None:
            return  # nothing of it needs memory
        yield from self._instance(module, {"": {"0": (MEMORY, self._new(MEMORY, memory))}})
        instance = put_unsigned(self._instances - 1)
        alias = bytes([0, FUNCTION, 1]) + instance + put_text("size")
        yield put_section(_ALIAS, put_all([alias]))
        yield put_section(_TYPE, put_all([b"\x40\0\0\x79"]))  # no parameters; a u32
        # The type of the last function is the last type; its export is one more function.
        function, made = put_unsigned(self._counts[FUNCTION]), put_unsigned(lifted.type + 1)
        lift = b"\0\0" + function + b"\0" + made
        yield put_section(_CANON, put_all([lift]))
        export = b"\0" + put_text("memory") + b"\1" + put_unsigned(exported + 2) + b"\0"
        yield put_section(_EXPORT, put_all([export]))

    def _place(self, kind: int, key: Origin) -> None:
        self._places[kind, key] = self._counts[kind]
        self._counts[kind] += 1

    def _new(self, kind: int, index: int) -> int:
        return self._places[kind, self._item(kind, index)]


def _is_custom(part: object) -> bool:
    return isinstance(part, Kept) and part.content[0] == _CUSTOM


def _only_export(part: object) -> int:
    """The index of the function that this section exports, and nothing else."""
    if isinstance(part, Kept) and part.content[0] == _EXPORT:
        at = unsigned(part.content, 1)[1]
        count, at = unsigned(part.content, at)
        _, at = text(part.content, at + 1)
        if count == 1 and part.content[at] == 1:
            return unsigned(part.content, at + 1)[0]
    raise ValueError("a component does not end with the export of a function")


def flattened(data: bytes) -> bytes:
    """The component with its modules merged."""
    return Flat(Component(data)).encoded()
