"""What makes a class the class that it is: a hash that its source has in every process.

Of a class that travels by value it is made of code as it is compiled, without the names of files
and the numbers of lines; of constants, defaults, attributes of the class and of its bases; and of
the functions, classes and plain constants of its module that the code names. What a module keeps
in lists, dicts and other objects is data and counts only by its type. A comment changes nothing, a
docstring does. Another minor version of Python compiles other code.

Of a class that travels by reference it is made of its module, its name and the version of the
distribution that it is installed with.
"""

from __future__ import annotations

import dis
import enum
import functools
import importlib.metadata
import inspect
import re
import sys
import sysconfig
from functools import cache
from pathlib import Path
from types import (
    BuiltinFunctionType,
    CellType,
    CodeType,
    FunctionType,
    GetSetDescriptorType,
    MemberDescriptorType,
    MethodType,
    ModuleType,
    WrapperDescriptorType,
)
from typing import Any

from actors.fingerprint import Walk, mixed, named

_OWN = ("storage", "actors", "facets")
_SKIPPED = frozenset({
    "__module__", "__dict__", "__weakref__", "__annotations__", "__firstlineno__",
    "__static_attributes__", "__annotate_func__", "__annotations_cache__", "_abc_impl",
    "_contract",
})  # fmt: skip
"""Of a class: where it stands, what Python makes of it, and what the runtime remembers there."""
_PLAIN = frozenset({type(None), bool, int, float, complex, str, bytes, tuple, frozenset})
_LOOKED_UP = frozenset({"LOAD_GLOBAL", "LOAD_NAME"})
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")
_ELSEWHERE = (
    BuiltinFunctionType, GetSetDescriptorType, MemberDescriptorType, WrapperDescriptorType,
)  # fmt: skip


def digest_of(cls: type) -> str:
    """The hash of a class, as 40 digits."""
    if installed(cls.__module__):
        return _reference(cls).hex()
    return Walk(_Code()).of(cls).hex()


@cache
def installed(module: str) -> bool:
    """Whether every host can import it: it lies where packages are installed."""
    if module == "__main__" or module not in sys.modules:
        return False
    file = getattr(sys.modules[module], "__file__", None)
    if file is None:
        return module.partition(".")[0] in sys.stdlib_module_names
    folders = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    path = Path(file)
    return _is_ours(module, path) or any(path.is_relative_to(folder) for folder in folders)


def version_of(module: str) -> str:
    """What distribution of which version a module is of; "" for Python's own, and for this one's,
    whose upgrades are not upgrades of its users' classes."""
    top = module.partition(".")[0]
    if top in _OWN or top in sys.stdlib_module_names:
        return ""
    try:
        return f"{top} {importlib.metadata.version(top)}"
    except importlib.metadata.PackageNotFoundError:
        found = _distributions().get(top, [])  # this takes tenths of a second
    return " ".join(f"{one} {importlib.metadata.version(one)}" for one in sorted(set(found)))


@cache
def _distributions() -> dict[str, list[str]]:
    return dict(importlib.metadata.packages_distributions())


def _is_ours(module: str, path: Path) -> bool:
    own = Path(__file__).parents[2]
    return module.partition(".")[0] in _OWN and path.is_relative_to(own)


def _reference(one: Any) -> bytes:
    return mixed("reference", [named(one), version_of(str(one.__module__)).encode()])


class _Code:
    """Stands for what code consists of, in one walk.

    Everything is hashed where the walk meets it first, and is a number afterwards: functions of a
    module name each other in all ways.
    """

    def __init__(self) -> None:
        self._met: dict[int, int] = {}

    def __call__(self, value: Any, walk: Walk) -> bytes | None:
        if isinstance(value, ModuleType):
            return mixed("module", [value.__name__.encode(), version_of(value.__name__).encode()])
        if isinstance(value, _ELSEWHERE):
            return mixed("name", [named(value)])
        if not isinstance(value, type | FunctionType):
            return self._part(value, walk)
        if installed(str(value.__module__)):
            return _reference(value)
        met = self._met.get(id(value))
        if met is not None:
            return mixed("again", [str(met).encode()])
        self._met[id(value)] = len(self._met)
        return _class(value, walk) if isinstance(value, type) else _function(value, walk)

    def _part(self, value: Any, walk: Walk) -> bytes | None:
        if isinstance(value, CodeType):
            return _code(value, walk)
        if isinstance(value, enum.Enum):
            return mixed("enum", [walk.of(type(value)), value.name.encode()])
        if isinstance(value, staticmethod | classmethod):
            return mixed(type(value).__name__, [walk.of(value.__func__)])
        if isinstance(value, property):
            return mixed("property", map(walk.of, (value.fget, value.fset, value.fdel)))
        if isinstance(value, functools.partial):
            return mixed("partial", map(walk.of, (value.func, value.args, value.keywords)))
        if isinstance(value, MethodType):
            return mixed("method", map(walk.of, (value.__func__, value.__self__)))
        if isinstance(value, CellType):
            return mixed("cell", [_named(value.cell_contents, walk)] if _is_full(value) else [])
        return None


def _class(cls: type, walk: Walk) -> bytes:
    parts = [named(cls), named(type(cls)), *map(walk.of, cls.__bases__)]
    for name in sorted(cls.__dict__.keys() - _SKIPPED):
        parts += [name.encode(), walk.of(cls.__dict__[name])]
    noted = inspect.get_annotations(cls)
    return mixed("class", [*parts, *(f"{one}: {_told(noted[one])}".encode() for one in noted)])


def _told(annotation: Any) -> str:
    """An annotation as text."""
    if isinstance(annotation, type):
        return named(annotation).decode()
    return _ADDRESS.sub("", annotation if isinstance(annotation, str) else repr(annotation))


def _function(function: FunctionType, walk: Walk) -> bytes:
    held = (
        function.__code__,
        function.__defaults__,
        function.__kwdefaults__,
        function.__closure__,
        {name: one for name, one in vars(function).items() if name != "__wrapped__"},
        vars(function).get("__wrapped__"),
    )
    parts = [walk.of(one) for one in held]
    for name in sorted(_names(function.__code__)):
        if name in function.__globals__:
            parts += [name.encode(), _named(function.__globals__[name], walk)]
    return mixed("function", parts)


def _named(value: Any, walk: Walk) -> bytes:
    """Something of its module, or of the function around it, that the code of a function names."""
    if isinstance(value, type | FunctionType | ModuleType | functools.partial):
        return walk.of(value)
    return walk.of(value) if type(value) in _PLAIN else mixed("data", [named(type(value))])


def _names(code: CodeType) -> set[str]:
    """What the code, and code inside it, looks up in its module."""
    found = {one.argval for one in dis.get_instructions(code) if one.opname in _LOOKED_UP}
    for one in code.co_consts:
        if isinstance(one, CodeType):
            found |= _names(one)
    return found


def _code(code: CodeType, walk: Walk) -> bytes:
    held = (
        code.co_name,
        code.co_code,
        code.co_consts,
        code.co_names,
        code.co_varnames,
        code.co_freevars,
        code.co_cellvars,
        (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags),
        getattr(code, "co_exceptiontable", b""),
    )
    return mixed("code", map(walk.of, held))


def _is_full(cell: CellType) -> bool:
    try:
        cell.cell_contents  # noqa: B018 - it raises if there is nothing
    except ValueError:
        return False
    return True
