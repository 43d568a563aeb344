"""The functions of a component, as methods; `types` says how values cross.

Parameters have names, so they may be passed by them, with _ for -.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from typing import Any, final

from wasmtime import Engine
from wasmtime import _ffi as ffi
from wasmtime.component import Component, ExportIndex
from wasmtime.component import _types as wit

from facets.isolates import capi
from facets.isolates.errors import NotTransferable
from facets.isolates.raised import rebuild
from facets.isolates.wasm import capi as core
from facets.isolates.wasm import types
from facets.isolates.wasm.guest import Guest, Program, too_large
from facets.isolates.wasm.scalars import Type
from facets.isolates.wasm.types import Reader

HEAVY = 16_384
"""Bytes of a result from which on it is read on a thread; the loop takes about a millisecond for
so many, if they are numbers in records."""


@final
class Values:
    """Arguments in C, freed when this goes."""

    def __init__(self, count: int) -> None:
        self._values = (capi.VAL * max(1, count))()
        self._count = count
        self.at = ctypes.addressof(self._values)

    def __del__(self) -> None:
        for index in range(self._count):
            core.val_delete(self.at + index * capi.VAL_SIZE)


@final
class ComponentFunction:
    """One exported function."""

    def __init__(self, name: str, index: ExportIndex, kind: wit.FuncType, reader: Reader) -> None:
        self.name = types.snake(name)
        self.unusable: str | None = None
        self._index = index  # kept: Wasmtime frees it with the object
        self._at = capi.address(index.ptr())
        self._params: list[tuple[str, Type]] = []
        self._result: Type | None = None
        try:
            self._params = [(types.snake(one), reader.read(of)) for one, of in kind.params]
            self._result = None if kind.result is None else reader.read(kind.result)
        except types.Unsupported as error:
            self.unusable = f"takes or returns {error}, which does not cross"

    def program(self, guest: Guest, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Program:
        """The call; NotTransferable if the arguments do not fit."""
        given = dict(zip((name for name, _ in self._params), args, strict=False))
        if (
            len(args) > len(self._params)
            or given.keys() & kwargs.keys()
            or {*given, *kwargs} != {name for name, _ in self._params}
        ):
            wanted = ", ".join(name for name, _ in self._params)
            raise NotTransferable(f"{self.name}() takes ({wanted})", path="args")
        given |= kwargs
        values = Values(len(self._params))
        for index, (name, kind) in enumerate(self._params):
            kind.lower(given[name], values.at + index * capi.VAL_SIZE, name)
        return self._run(guest, values)

    def _run(self, guest: Guest, values: Values) -> Program:
        function = ffi.wasmtime_component_func_t()
        at = ctypes.addressof(function)
        instance = ctypes.addressof(guest.instance)
        if not capi.get_func(instance, guest.context, self._at, at):
            raise RuntimeError(f"the component lost its export {self.name}")
        result = Values(1 if self._result else 0)
        yield capi.call_async(
            at, guest.context, values.at, len(self._params), result.at,
            1 if self._result else 0, guest.error_at,
        )  # fmt: skip
        guest.check()
        if self._result is None:
            return None
        if self._result.size(result.at, HEAVY) >= HEAVY and guest.at_home:
            yield 0
        return _unwrap(self._result, self._lift(guest, result), self.name)

    def _lift(self, guest: Guest, result: Values) -> Any:
        assert self._result is not None  # noqa: S101 - by its caller
        size = self._result.size(result.at, guest.output)
        if size > guest.output:
            raise too_large(size, guest.output)
        return self._result.lift(result.at)


def _unwrap(kind: Type, value: Any, name: str) -> Any:
    """What a function that returns a result returns; GuestError if it is an "err"."""
    if not isinstance(kind, types.Cases) or kind.kind != types.RESULT:
        return value
    case, inner = value if isinstance(value, tuple) else (value, None)
    if case == "ok":
        return inner
    fields = {"type": "err", "kind": "Exception", "traceback": "", "notes": (), "value": inner}
    raise rebuild(f"{name}() failed: {inner!r:.1000}", "", fields)


def functions(component: Component, engine: Engine) -> dict[str, list[ComponentFunction]]:
    """What a component exports: by interface, "" for its own functions."""
    found: dict[str, list[ComponentFunction]] = {"": []}
    reader = types.Reader()
    for name, item in component.type.exports(engine).items():
        kind = item.ty
        if isinstance(kind, wit.FuncType):
            found[""].append(_function(component, name, None, kind, reader))
        elif isinstance(kind, wit.ComponentInstanceType):
            scope = component.get_export_index(name)
            found[name] = [
                _function(component, inner, scope, one.ty, reader)
                for inner, one in kind.exports(engine).items()
                if isinstance(one.ty, wit.FuncType)
            ]
    return found


def imports(component: Component, engine: Engine) -> Iterator[tuple[str, str]]:
    """What a component needs: interface and name, or "" and name."""
    for name, item in component.type.imports(engine).items():
        kind = item.ty
        if isinstance(kind, wit.ComponentInstanceType):
            yield from ((name, inner) for inner in kind.exports(engine))
        else:
            yield "", name


def _function(
    component: Component, name: str, scope: ExportIndex | None, kind: Any, reader: Reader
) -> ComponentFunction:
    index = component.get_export_index(name, scope)
    if index is None:
        raise RuntimeError(f"the component lost its export {name}")
    return ComponentFunction(name, index, kind, reader)
