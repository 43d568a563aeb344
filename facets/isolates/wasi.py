"""The ten functions of WASI that a guest gets, and nothing behind them.

No environment, no arguments, no directories, clocks of one millisecond, and random bytes. Every
other import of the component is a trap (see `engine.py`), so a bug in Wasmtime's own WASI is no
concern of ours. All ten answer at once, on whichever thread the fiber runs.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from typing import Any

from facets.isolates import capi
from facets.isolates.ambient import MILLISECOND, Ambient
from facets.isolates.instance import calling

MAX_RANDOM = 1 << 16
_ONE_U8 = bytes([capi.U8]).ljust(capi.VAL_SIZE, b"\0")
FUNCTIONS: dict[str, tuple[str, ...]] = {
    "wasi:cli/environment": ("get-environment", "get-arguments", "initial-cwd"),
    "wasi:clocks/monotonic-clock": ("now", "resolution"),
    "wasi:clocks/wall-clock": ("now", "resolution"),
    "wasi:random/random": ("get-random-bytes", "get-random-u64"),
    "wasi:filesystem/preopens": ("get-directories",),
}
"""What is defined; the version behind the name is the component's own."""


def functions(interface: str) -> Iterator[tuple[str, Any]]:
    """The host functions of this interface, by name."""
    for name in FUNCTIONS[interface]:
        yield name, _TABLE[interface.rpartition("/")[2], name]


def _function(put: Callable[[Ambient, int, int], None]) -> Any:
    """A C callback around `put(ambient, arguments, result)`; an exception ends the isolate."""

    def call(
        _env: int, context: int, _type: int, arguments: int, _n: int, results: int, _m: int
    ) -> int:
        try:
            put(calling(context).ambient, arguments, results)
            return 0
        except BaseException as error:
            return int(capi.error_new(f"host: {type(error).__name__}".encode()))

    return capi.HOST_FUNCTION(call)


@_function
def _empty_list(_ambient: Ambient, _arguments: int, result: int) -> None:
    capi.kind_at(result).value = capi.LIST
    capi.list_new(result + capi.OF, 0)


@_function
def _none(_ambient: Ambient, _arguments: int, result: int) -> None:
    capi.kind_at(result).value = capi.OPTION
    capi.u64_at(result + capi.OF).value = 0


@_function
def _monotonic(ambient: Ambient, _arguments: int, result: int) -> None:
    capi.put_u64(result, ambient.monotonic())


@_function
def _resolution(_ambient: Ambient, _arguments: int, result: int) -> None:
    capi.put_u64(result, MILLISECOND)


@_function
def _wall(ambient: Ambient, _arguments: int, result: int) -> None:
    _put_time(result, *divmod(ambient.wall(), 1_000_000_000))


@_function
def _wall_resolution(_ambient: Ambient, _arguments: int, result: int) -> None:
    _put_time(result, 0, MILLISECOND)


def _put_time(result: int, seconds: int, nanoseconds: int) -> None:
    """Write a `datetime` record."""
    capi.kind_at(result).value = capi.RECORD
    capi.record_new(result + capi.OF, 2)
    data = capi.text_at(result + capi.OF).data
    size = ctypes.sizeof(capi.ENTRY)
    value = capi.ENTRY.val.offset
    capi.bytes_new(data, 7, b"seconds")
    capi.put_u64(data + value, seconds)
    capi.bytes_new(data + size, 11, b"nanoseconds")
    capi.kind_at(data + size + value).value = 6
    capi.u32_at(data + size + value + capi.OF).value = nanoseconds


@_function
def _random_bytes(ambient: Ambient, arguments: int, result: int) -> None:
    count = capi.u64_at(arguments + capi.OF).value
    if count > MAX_RANDOM:
        raise ValueError(count)
    put_bytes(result, ambient.random(count))


def put_bytes(result: int, content: bytes) -> None:
    """Write a list of bytes into the component value at this address."""
    # A byte is a structure here: all of them are made at once, not one by one through ctypes.
    count = len(content)
    values = bytearray(_ONE_U8 * count)
    values[capi.OF :: capi.VAL_SIZE] = content
    capi.kind_at(result).value = capi.LIST
    capi.list_new(result + capi.OF, count)
    ctypes.memmove(capi.text_at(result + capi.OF).data, bytes(values), len(values))


@_function
def _random_u64(ambient: Ambient, _arguments: int, result: int) -> None:
    capi.put_u64(result, int.from_bytes(ambient.random(8), "little"))


_TABLE: dict[tuple[str, str], Any] = {
    ("environment", "get-environment"): _empty_list,
    ("environment", "get-arguments"): _empty_list,
    ("environment", "initial-cwd"): _none,
    ("monotonic-clock", "now"): _monotonic,
    ("monotonic-clock", "resolution"): _resolution,
    ("wall-clock", "now"): _wall,
    ("wall-clock", "resolution"): _wall_resolution,
    ("random", "get-random-bytes"): _random_bytes,
    ("random", "get-random-u64"): _random_u64,
    ("preopens", "get-directories"): _empty_list,
}
