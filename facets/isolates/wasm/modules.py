"""Native code that is ready to be minted, and what may be called in it."""

from __future__ import annotations

import ctypes
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Protocol

import wasmtime
from wasmtime import WasmtimeError
from wasmtime import _ffi as ffi
from wasmtime.component import Component, Linker

from facets.isolates import capi
from facets.isolates.errors import LoadError
from facets.isolates.wasm import capi as core
from facets.isolates.wasm import compiling, component, engine, log
from facets.isolates.wasm.core import functions as core_functions
from facets.isolates.wasm.core import invoke
from facets.isolates.wasm.guest import Guest, Program

MAGIC = b"\0asm"
EXPORTS = 1_000
"""Exports of one module, or of all interfaces of a component."""
KEPT = 64
"""Modules that a process keeps ready."""
SETUP = "_initialize"
"""Called once after minting, if it is there: what a library of C, Rust or Go expects."""


class Function(Protocol):
    """Something that can be called."""

    name: str

    @property
    def unusable(self) -> str | None:
        """Why it cannot be called, if it cannot."""

    def program(self, guest: Guest, args: tuple[object, ...], kwargs: dict[str, object]) -> Program:
        """The call; NotTransferable if the arguments do not fit."""


class CoreModule:
    """A core module."""

    def __init__(self, made: wasmtime.Engine, module: wasmtime.Module) -> None:
        self.engine = made
        self._module = module
        self._linker = wasmtime.Linker(made)
        log.define_core(self._linker)
        pre = ctypes.c_void_p()
        at = capi.address(self._linker.ptr()), capi.address(module.ptr()), ctypes.addressof(pre)
        capi.check(core.instantiate_pre(*at))
        self._pre = pre.value
        found = core_functions(module)
        self._setup = any(one.name == SETUP for one in found)
        self.scopes: Mapping[str, Mapping[str, Function]] = {"": _named(found)}

    def __del__(self) -> None:
        if getattr(self, "_pre", None):
            core.pre_delete(self._pre)

    def mint(self, guest: Guest) -> Program:
        """Make an instance in the guest's store."""
        guest.instance = ffi.wasmtime_instance_t()
        yield core.instantiate_async(
            self._pre, guest.context, ctypes.addressof(guest.instance), guest.trap_at,
            guest.error_at,
        )  # fmt: skip
        guest.check()
        if self._setup:
            yield from invoke(guest, SETUP, (), 0)


class ComponentModule:
    """A component."""

    def __init__(self, made: wasmtime.Engine, found: Component) -> None:
        self.engine = made
        self._component = found
        self._linker = Linker(made)
        log.define_component(self._linker)
        functions = component.functions(found, made)
        self.scopes: Mapping[str, Mapping[str, Function]] = {
            scope: _named(some) for scope, some in functions.items()
        }

    def mint(self, guest: Guest) -> Program:
        """Make an instance in the guest's store."""
        guest.instance = ffi.wasmtime_component_instance_t()
        yield capi.instantiate_async(
            capi.address(self._linker.ptr()), guest.context, capi.address(self._component.ptr()),
            ctypes.addressof(guest.instance), guest.error_at,
        )  # fmt: skip
        guest.check()


RawModule = CoreModule | ComponentModule
_lock = threading.Lock()
_ready: OrderedDict[bytes, RawModule] = OrderedDict()


@cache
def _engine() -> wasmtime.Engine:
    return engine.make_engine()


def ready(wasm: bytes) -> RawModule | None:
    """The module, if this process has it already."""
    with _lock:
        found = _ready.get(wasm)
        if found is not None:
            _ready.move_to_end(wasm)
        return found


def load(wasm: bytes) -> RawModule:
    """The module, compiled or from the cache. Blocks; see `compiling.native_file`."""
    found = ready(wasm)
    if found is None:
        found = _open(wasm)
        with _lock:
            found = _ready.setdefault(wasm, found)
            while len(_ready) > KEPT:
                _ready.popitem(last=False)
    return found


def _open(wasm: bytes) -> RawModule:
    made = _engine()
    try:
        return _map(made, wasm)
    except WasmtimeError:  # it was swept away since it was checked, or made for another engine
        compiling.forget(wasm)
        return _map(made, wasm)


def _map(made: wasmtime.Engine, wasm: bytes) -> RawModule:
    path = str(compiling.native_file(wasm))
    if _is_component(wasm):
        return ComponentModule(made, Component.deserialize_file(made, path))
    return CoreModule(made, wasmtime.Module.deserialize_file(made, path))


def _is_component(wasm: bytes) -> bool:
    """By the layer in its header; LoadError if there is none."""
    if wasm[:4] != MAGIC or len(wasm) < 8:
        raise LoadError("these bytes are not WebAssembly", type="CompileError")
    return wasm[6:8] != b"\0\0"


def compile_module(wasm: bytes) -> bytes:
    """Native code; LoadError or WasmtimeError if it cannot be used. Only for `compiler`.

    It does all that `load` will do with the result, so that what ends a process ends this one.
    """
    made = engine.make_engine()
    if _is_component(wasm):
        found = Component(made, wasm)
        _refuse(set(component.imports(found, made)) - {(log.INTERFACE, log.NAME)})
        _count(sum(map(len, component.functions(found, made).values())))
        ComponentModule(made, found)
        return bytes(found.serialize())
    module = wasmtime.Module(made, wasm)
    _refuse({(one.module, one.name or "") for one in module.imports} - {(log.MODULE, log.NAME)})
    _count(len(module.exports))
    CoreModule(made, module)
    return bytes(module.serialize())


def _refuse(imports: set[tuple[str, str]]) -> None:
    if imports:
        names = sorted(".".join(filter(None, one)) for one in imports)
        rest = f" and {len(names) - 20} more" if len(names) > 20 else ""
        raise LoadError(
            f"it imports what there is not: {', '.join(names[:20])}{rest}; "
            "an isolate gives raw WebAssembly nothing but a log"
        )


def _count(most: int) -> None:
    if most > EXPORTS:
        raise LoadError(f"it exports {most} items; at most {EXPORTS} are loaded")


def _named(functions: Iterable[Function]) -> dict[str, Function]:
    """By name; the first of two that have the same one."""
    found: dict[str, Function] = {}
    for function in functions:
        found.setdefault(function.name, function)
    return found
