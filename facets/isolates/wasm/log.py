"""The one thing that raw WebAssembly may import: somewhere to print.

    core module   (import "facets" "log" (func (param i32 i32)))     pointer and length of UTF-8
    component     import facets:wasm/host@1.0.0 { log: func(text: string) }

What is printed counts against `Limits.logs`, like that of other guests. Each call ends the slice of
its fiber, so that many of them do not hold the loop.
"""

from __future__ import annotations

import ctypes
from typing import Any

import wasmtime
from wasmtime.component import Linker

from facets.isolates import capi as component
from facets.isolates.wasm import capi, guest

MODULE, NAME = "facets", "log"
INTERFACE = "facets:wasm/host@1.0.0"
_STDOUT = 1


def define_core(linker: wasmtime.Linker) -> None:
    """Let core modules print."""
    i32 = wasmtime.ValType.i32()
    kind = wasmtime.FuncType([i32, i32], [])
    module, name = MODULE.encode(), NAME.encode()
    callback = ctypes.cast(_on_core, ctypes.c_void_p)
    component.check(
        capi.define_async_func(
            component.address(linker.ptr()), module, len(module), name, len(name),
            component.address(kind.ptr()), callback, None, None,
        )
    )  # fmt: skip


def define_component(linker: Linker) -> None:
    """Let components print."""
    name = NAME.encode()
    callback = ctypes.cast(_on_component, ctypes.c_void_p)
    with linker.root() as root, root.add_instance(INTERFACE) as scope:
        at: Any = component.address(scope.ptr())
        component.check(component.add_func_async(at, name, len(name), callback, None, None))


def _core(
    _e: int, caller: int, arguments: int, _n: int, _r: int, _m: int, trap: int, continuation: int
) -> None:
    try:
        context = capi.caller_context(caller)
        calling = guest.calling(context)
        calling.pause(continuation)
        capi.pointer_at(trap).value = _print(caller, context, arguments, calling)
    except BaseException:
        capi.pointer_at(trap).value = _trap(b"host: log")


def _print(caller: int, context: int, arguments: int, calling: guest.Guest) -> int:
    """Print what the arguments point at; a trap or 0."""
    start = capi.i32_at(arguments + capi.OF).value & 0xFFFFFFFF
    size = capi.i32_at(arguments + capi.VAL_SIZE + capi.OF).value & 0xFFFFFFFF
    memory = capi.EXTERN()
    at = ctypes.addressof(memory)
    exported = capi.caller_export_get(caller, b"memory", 6, at)
    if not exported or capi.kind_at(at).value != capi.MEMORY:
        return _trap(b"log needs an exported memory")
    at += capi.EXTERN_OF
    if start + size > capi.memory_size(context, at):
        return _trap(b"log: out of bounds memory access")
    text = component.Text(size, (capi.memory_data(context, at) or 0) + start)
    return 0 if calling.log(_STDOUT, text) else _trap(b"log limit")


def _trap(message: bytes) -> int:
    return int(capi.trap_new(message, len(message)))


def _component(
    _e: int, context: int, _t: int, arguments: int, _n: int, _r: int, _m: int, error: int,
    continuation: int,
) -> None:  # fmt: skip
    try:
        calling = guest.calling(context)
        calling.pause(continuation)
        if not calling.log(_STDOUT, component.text_at(arguments + component.OF)):
            component.u64_at(error).value = component.error_new(b"log limit")
    except BaseException:
        component.u64_at(error).value = component.error_new(b"host: log")


_on_core = capi.HOST_FUNCTION_ASYNC(_core)
_on_component = component.HOST_FUNCTION_ASYNC(_component)
