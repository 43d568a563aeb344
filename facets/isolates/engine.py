"""The engine that isolates run on, and what a component may import.

`signals_based_traps` is off: with it, `faulthandler.enable()` or `ray.init()` after the engine
exists, and then `os.abort()` in a guest, ends the host process. Fuel makes a fiber yield about
every millisecond, without a thread that ticks.
"""

from __future__ import annotations

import ctypes
import platform
from typing import Any

import wasmtime
from wasmtime.component import Component, Linker

from facets.isolates import capi, instance, wasi

STACK = 2 << 20
"""Bytes of a guest's stack. With 512 KiB innocent recursion (a nested eval) would kill."""
FIBER_STACK = 4 << 20
"""Bytes of a fiber's whole stack: the guest's, and host functions on top of it."""
FUEL = 1 << 60
SLICE = 2_000_000
"""Fuel between two yields: about a millisecond."""
CONFIG = f"signals=off stack={STACK} fiber={FIBER_STACK} fuel=on"
"""What a native image depends on; part of its key."""

_HOST = "facets:guest/host@1.0.0"


def make_config() -> Any:
    """What every engine of ours has in common."""
    if platform.python_version() == "3.14.0":
        raise RuntimeError(
            "CPython 3.14.0 checks its stack in a way that breaks on fibers; use 3.14.1"
        )
    config: Any = wasmtime.Config()
    config.signals_based_traps = False
    config.consume_fuel = True
    config.max_wasm_stack = STACK
    capi.async_stack_size(capi.address(config.ptr()), FIBER_STACK)
    return config


def make_engine() -> wasmtime.Engine:
    """The engine of the guests that we ship."""
    return wasmtime.Engine(make_config())


def imports_of(engine: wasmtime.Engine, component: Component) -> dict[str, list[str]]:
    """Every interface that the component imports, with its functions."""
    found: dict[str, list[str]] = {}
    for name, item in component.type.imports(engine).items():
        exports = getattr(item, "exports", None)
        found[name] = sorted(exports(engine)) if exports else []
    return found


def make_linker(engine: wasmtime.Engine, component: Component) -> Linker:
    """Everything the component may import.

    Order matters: all imports become traps that name themselves, then ours replace some.
    """
    linker = Linker(engine)
    linker.allow_shadowing = True
    linker.define_unknown_imports_as_traps(component)
    with linker.root() as root:
        for name in component.type.imports(engine):
            interface = name.partition("@")[0]
            if interface in wasi.FUNCTIONS:
                with root.add_instance(name) as scope:
                    for function, callback in wasi.functions(interface):
                        _define(scope, function, callback, capi.add_func)
        with root.add_instance(_HOST) as scope:
            _define(scope, "log", instance.on_log, capi.add_func)
            _define(scope, "call", instance.on_call, capi.add_func_async)
            _define(scope, "wait", instance.on_wait, capi.add_func_async)
    return linker


def _define(scope: Any, name: str, callback: Any, add: Any) -> None:
    text = name.encode()
    pointer = ctypes.cast(callback, ctypes.c_void_p)
    capi.check(add(capi.address(scope.ptr()), text, len(text), pointer, None, None))
