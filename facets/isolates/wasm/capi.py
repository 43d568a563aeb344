"""The part of Wasmtime's C API that core modules need, bound once; see `isolates.capi`."""

from __future__ import annotations

import ctypes
from ctypes import c_bool, c_char_p, c_size_t, c_uint8, c_uint64, c_void_p
from typing import Any, Final

from wasmtime import Trap
from wasmtime import _ffi as ffi

FUNC, MEMORY = 0, 3
"""Kinds of externs."""
I32, I64, F32, F64 = 0, 1, 2, 3
"""Kinds of values."""

EXTERN: Final = ffi.wasmtime_extern_t
EXTERN_OF: Final[int] = EXTERN.of.offset
VAL: Final = ffi.wasmtime_val_t
VAL_SIZE: Final = ctypes.sizeof(VAL)
OF: Final[int] = VAL.of.offset

HOST_FUNCTION = ctypes.CFUNCTYPE(
    c_size_t, c_void_p, c_void_p, c_void_p, c_size_t, c_void_p, c_size_t
)
"""env, caller, arguments, their number, results, their number; a trap or 0."""

HOST_FUNCTION_ASYNC = ctypes.CFUNCTYPE(
    None, c_void_p, c_void_p, c_void_p, c_size_t, c_void_p, c_size_t, c_void_p, c_void_p
)
"""The same, with where to put a trap and the continuation."""


def _bind(name: str, result: Any, *arguments: Any) -> Any:
    # A function object of our own: the library's are shared, and so would be their types.
    return ctypes.CFUNCTYPE(result, *arguments)((name, ffi.dll))


func_call_async = _bind(
    "wasmtime_func_call_async",
    c_void_p, c_void_p, c_void_p, c_void_p, c_size_t, c_void_p, c_size_t, c_void_p, c_void_p,
)  # fmt: skip
instantiate_async = _bind(
    "wasmtime_instance_pre_instantiate_async",
    c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p,
)  # fmt: skip
instantiate_pre = _bind("wasmtime_linker_instantiate_pre", c_void_p, c_void_p, c_void_p, c_void_p)
pre_delete = _bind("wasmtime_instance_pre_delete", None, c_void_p)
export_get = _bind(
    "wasmtime_instance_export_get", c_bool, c_void_p, c_void_p, c_char_p, c_size_t, c_void_p
)
caller_export_get = _bind(
    "wasmtime_caller_export_get", c_bool, c_void_p, c_char_p, c_size_t, c_void_p
)
caller_context = _bind("wasmtime_caller_context", c_void_p, c_void_p)
memory_data = _bind("wasmtime_memory_data", c_void_p, c_void_p, c_void_p)
memory_size = _bind("wasmtime_memory_data_size", c_size_t, c_void_p, c_void_p)
define_func = _bind(
    "wasmtime_linker_define_func",
    c_void_p, c_void_p, c_char_p, c_size_t, c_char_p, c_size_t, c_void_p, c_void_p, c_void_p,
    c_void_p,
)  # fmt: skip
define_async_func = _bind(
    "wasmtime_linker_define_async_func",
    c_void_p, c_void_p, c_char_p, c_size_t, c_char_p, c_size_t, c_void_p, c_void_p, c_void_p,
    c_void_p,
)  # fmt: skip
trap_new = _bind("wasmtime_trap_new", c_void_p, c_char_p, c_size_t)
component_async = _bind("wasmtime_config_wasm_component_model_async_set", None, c_void_p, c_bool)
params_of = _bind("wasm_functype_params", c_void_p, c_void_p)
results_of = _bind("wasm_functype_results", c_void_p, c_void_p)
_valtype_new = _bind("wasmtime_valtype_new", None, c_void_p, c_void_p)
_valtype_delete = _bind("wasmtime_valtype_delete", None, c_void_p)
val_new = _bind("wasmtime_component_val_new", c_void_p, c_void_p)
val_delete = _bind("wasmtime_component_val_delete", None, c_void_p)
flags_new = _bind("wasmtime_component_valflags_new_uninit", None, c_void_p, c_size_t)
tuple_new = _bind("wasmtime_component_valtuple_new_uninit", None, c_void_p, c_size_t)

bool_at = c_bool.from_address
i32_at = ctypes.c_int32.from_address
i64_at = ctypes.c_int64.from_address
f32_at = ctypes.c_float.from_address
f64_at = ctypes.c_double.from_address
kind_at = c_uint8.from_address
pointer_at = c_uint64.from_address
_KINDS = {I32: "i32", I64: "i64", F32: "f32", F64: "f64", 4: "v128"}
_trap_pointer = ctypes.POINTER(ffi.wasm_trap_t)


def kinds(types: int) -> list[str]:
    """The names of the value types in this vector.

    Not by `wasmtime.ValType`: asked for a v128, its part of the library ends the process.
    """
    size = c_size_t.from_address(types).value
    data = pointer_at(types + ctypes.sizeof(c_size_t)).value
    found = []
    for index in range(size):
        kind = ffi.wasmtime_valtype_t()
        at = ctypes.addressof(kind)
        _valtype_new(pointer_at(data + index * ctypes.sizeof(c_void_p)).value, at)
        found.append(_KINDS.get(kind_at(at).value, "reference"))
        _valtype_delete(at)
    return found


def trap_text(trap: int) -> str:
    """What a trap says; frees it."""
    return str(Trap._from_ptr(ctypes.cast(trap, _trap_pointer)))
