"""The part of Wasmtime's C API that isolates use, bound once.

Nothing of wasmtime-py's own call path is used: its host-call wrapper keeps the last exception in
one global, so that with several threads one tenant's error is raised in another's call. The
layouts are those of the release that `pyproject.toml` pins.
"""

from __future__ import annotations

import ctypes
from ctypes import c_bool, c_char_p, c_double, c_size_t, c_uint8, c_uint32, c_uint64, c_void_p
from typing import Any, Final

from wasmtime import WasmtimeError
from wasmtime import _ffi as ffi

VAL: Final = ffi.wasmtime_component_val_t
ENTRY: Final = ffi.wasmtime_component_valrecord_entry_t
VAL_SIZE: Final = ctypes.sizeof(VAL)
OF: Final[int] = VAL.of.offset
"""Where the payload of a value starts, behind its kind."""

U8, U64, STRING, LIST, RECORD, OPTION = 2, 8, 12, 13, 14, 18
"""Kinds of component values."""


class Text(ctypes.Structure):
    """A string inside a component value, or any byte vector."""

    _fields_ = [("size", c_size_t), ("data", c_void_p)]
    size: int
    data: int


class TextIn(ctypes.Structure):
    """The same with data that Python owns."""

    _fields_ = [("size", c_size_t), ("data", c_char_p)]
    size: int
    data: bytes


class Continuation(ctypes.Structure):
    """Asked after a host function of a fiber returned: may the fiber go on?"""

    _fields_ = [("callback", c_void_p), ("env", c_void_p), ("finalizer", c_void_p)]


HOST_FUNCTION = ctypes.CFUNCTYPE(
    c_size_t, c_void_p, c_void_p, c_void_p, c_void_p, c_size_t, c_void_p, c_size_t
)
"""env, context, type, arguments, their number, results, their number; an error or 0."""

HOST_FUNCTION_ASYNC = ctypes.CFUNCTYPE(
    None, c_void_p, c_void_p, c_void_p, c_void_p, c_size_t, c_void_p, c_size_t, c_void_p, c_void_p
)
"""The same, with where to put an error and the continuation."""


def _bind(name: str, result: Any, *arguments: Any) -> Any:
    function = ffi.dll[name]
    function.restype = result
    function.argtypes = list(arguments)
    return function


call_async = _bind(
    "wasmtime_component_func_call_async",
    c_void_p, c_void_p, c_void_p, c_void_p, c_size_t, c_void_p, c_size_t, c_void_p,
)  # fmt: skip
instantiate_async = _bind(
    "wasmtime_component_linker_instantiate_async",
    c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p,
)  # fmt: skip
poll = _bind("wasmtime_call_future_poll", c_bool, c_void_p)
drop = _bind("wasmtime_call_future_delete", None, c_void_p)
get_func = _bind(
    "wasmtime_component_instance_get_func", c_bool, c_void_p, c_void_p, c_void_p, c_void_p
)
export_index = _bind(
    "wasmtime_component_get_export_index", c_void_p, c_void_p, c_void_p, c_char_p, c_size_t
)
add_func = _bind(
    "wasmtime_component_linker_instance_add_func",
    c_void_p, c_void_p, c_char_p, c_size_t, c_void_p, c_void_p, c_void_p,
)  # fmt: skip
add_func_async = _bind(
    "wasmtime_component_linker_instance_add_func_async",
    c_void_p, c_void_p, c_char_p, c_size_t, c_void_p, c_void_p, c_void_p,
)  # fmt: skip
get_data = _bind("wasmtime_context_get_data", c_void_p, c_void_p)
set_data = _bind("wasmtime_context_set_data", None, c_void_p, c_void_p)
set_fuel = _bind("wasmtime_context_set_fuel", c_void_p, c_void_p, c_uint64)
yield_interval = _bind("wasmtime_context_fuel_async_yield_interval", c_void_p, c_void_p, c_uint64)
bytes_new = _bind("wasm_byte_vec_new", None, c_void_p, c_size_t, c_char_p)
bytes_delete = _bind("wasm_byte_vec_delete", None, c_void_p)
list_new = _bind("wasmtime_component_vallist_new_uninit", None, c_void_p, c_size_t)
record_new = _bind("wasmtime_component_valrecord_new_uninit", None, c_void_p, c_size_t)
error_new = _bind("wasmtime_error_new", c_void_p, c_char_p)
async_stack_size = _bind("wasmtime_config_async_stack_size_set", None, c_void_p, c_size_t)

text_at = Text.from_address
kind_at = c_uint8.from_address
u32_at = c_uint32.from_address
u64_at = c_uint64.from_address
f64_at = c_double.from_address
string_at = ctypes.string_at
_error_pointer = ctypes.POINTER(ffi.wasmtime_error_t)


def address(pointer: Any) -> int:
    """The address in a typed pointer of wasmtime-py."""
    return ctypes.cast(pointer, c_void_p).value or 0


def check(error: int | None) -> None:
    """Raise the error that a C function returned, if it did."""
    if error:
        raise WasmtimeError._from_ptr(ctypes.cast(error, _error_pointer))


def put_text(value: int, data: bytes) -> None:
    """Write a string into the component value at this address."""
    kind_at(value).value = STRING
    bytes_new(value + OF, len(data), data)


def put_u64(value: int, number: int) -> None:
    """Write an unsigned integer into the component value at this address."""
    kind_at(value).value = U64
    u64_at(value + OF).value = number
