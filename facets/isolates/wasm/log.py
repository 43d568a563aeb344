"""The one thing that raw WebAssembly may import: somewhere to print.

    core module   (import "facets" "log" (func (param i32 i32)))     pointer and length of UTF-8
    component     import facets:wasm/host@1.0.0 { log: func(text: string) }

What is printed counts against `Limits.logs`, like that of other guests.
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
        capi.define_func(
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
        component.check(component.add_func(at, name, len(name), callback, None, None))


def _core(_e: int, caller: int, arguments: int, _n: int, _r: int, _m: int) -> int:
    try:
        start = capi.i32_at(arguments + capi.OF).value & 0xFFFFFFFF
        size = capi.i32_at(arguments + capi.VAL_SIZE + capi.OF).value & 0xFFFFFFFF
        context = capi.caller_context(caller)
        memory = capi.EXTERN()
        at = ctypes.addressof(memory)
        if (
            not capi.caller_export_get(caller, b"memory", 6, at)
            or capi.kind_at(at).value != capi.MEMORY
        ):
            return _trap(b"log needs an exported memory")
        at += capi.EXTERN_OF
        if start + size > capi.memory_size(context, at):
            return _trap(b"log: out of bounds memory access")
        text = component.Text(size, (capi.memory_data(context, at) or 0) + start)
        return 0 if guest.calling(context).log(_STDOUT, text) else _trap(b"log limit")
    except BaseException:
        return _trap(b"host: log")


def _trap(message: bytes) -> int:
    return int(capi.trap_new(message, len(message)))


def _component(_e: int, context: int, _t: int, arguments: int, _n: int, _r: int, _m: int) -> int:
    try:
        text = component.text_at(arguments + component.OF)
        printed = guest.calling(context).log(_STDOUT, text)
        return 0 if printed else int(component.error_new(b"log limit"))
    except BaseException:
        return int(component.error_new(b"host: log"))


_on_core = capi.HOST_FUNCTION(_core)
_on_component = component.HOST_FUNCTION(_component)
