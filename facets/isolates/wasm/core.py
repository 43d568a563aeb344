"""The functions of a core module, as methods.

A parameter is a number: i32 and i64 take an int (signed or unsigned, or a bool), f32 and f64 an
int or a float; results come back signed. Text and bytes fill *two* i32 parameters, a pointer and
a length: the module's exported `alloc(length: i32) -> i32` says where the content is put, in its
exported `memory`, and the memory is the module's from then on. A result of text or bytes is asked
for by the name of the export, `"greet->str"` or `"render->bytes"`, called as `greet` and
`render`: its result is one i64, the pointer in the upper half and the length in the lower.
"""

from __future__ import annotations

import ctypes
import re
import struct
from collections.abc import Sequence
from typing import Any, final

import wasmtime

from facets.isolates.capi import address
from facets.isolates.errors import NotTransferable
from facets.isolates.instance import Trapped
from facets.isolates.wasm import capi
from facets.isolates.wasm.guest import Guest, Program, too_large

NUMBERS = {"i32": capi.I32, "i64": capi.I64, "f32": capi.F32, "f64": capi.F64}
_BITS = {capi.I32: 32, capi.I64: 64}
_MARKED = re.compile(r"^(.*?)\s*->\s*(str|bytes)$")
_AT: dict[int, Any] = {
    capi.I32: capi.i32_at, capi.I64: capi.i64_at, capi.F32: capi.f32_at, capi.F64: capi.f64_at
}  # fmt: skip
_FLOAT32 = struct.Struct("<f")  # "f" alone would make infinity of what is too large

Number = int | float
Argument = tuple[int, Number] | bytes
"""A number with its kind, or content to be put into the module's memory."""


@final
class CoreFunction:
    """One exported function."""

    __slots__ = ("_export", "_marked", "_params", "_results", "name")

    def __init__(self, export: str, params: Sequence[str], results: Sequence[str]) -> None:
        marked = _MARKED.match(export)
        self.name = marked[1] if marked else export
        self._marked = marked[2] if marked else None
        self._export = export
        self._params = tuple(params)
        self._results = tuple(results)

    @property
    def unusable(self) -> str | None:
        """Why it cannot be called, if it cannot."""
        for kind in (*self._params, *self._results):
            if kind not in NUMBERS:
                return f"takes or returns a {kind}; only numbers cross"
        if self._marked and self._results != ("i64",):
            return f"is marked ->{self._marked}, so it must return one i64"
        return None

    def program(self, guest: Guest, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Program:
        """The call; NotTransferable if the arguments do not fit."""
        if kwargs:
            raise NotTransferable(f"{self.name}() has no named parameters", path="kwargs")
        return self._run(guest, self._fit(args))

    def _fit(self, args: tuple[Any, ...]) -> list[Argument]:
        fitted: list[Argument] = []
        params = iter(self._params)
        try:
            for number, arg in enumerate(args):
                if isinstance(arg, str | bytes | bytearray | memoryview):
                    if (next(params), next(params)) != ("i32", "i32"):
                        raise self._refused(number, "two i32, where text or bytes go", arg)
                    fitted.append(self._content(number, arg))
                else:
                    fitted.append(self._number(number, next(params), arg))
        except StopIteration:
            fitted = []
        if next(params, None) is not None or (args and not fitted):
            raise NotTransferable(
                f"{self.name}() takes ({', '.join(self._params)}); text and bytes count as two i32",
                path="args",
            )
        return fitted

    def _content(self, number: int, arg: str | bytes | bytearray | memoryview) -> bytes:
        try:
            return arg.encode() if isinstance(arg, str) else bytes(arg)
        except UnicodeEncodeError:
            raise self._refused(number, "text without lone surrogates", arg) from None

    def _number(self, number: int, param: str, arg: object) -> tuple[int, Number]:
        kind = NUMBERS[param]
        bits = _BITS.get(kind)
        if bits is None and isinstance(arg, int | float):
            try:
                _FLOAT32.pack(arg) if kind == capi.F32 else None
                return kind, float(arg)
            except OverflowError:
                raise self._refused(number, f"an {param}", arg) from None
        if bits is not None and isinstance(arg, int) and -(1 << bits - 1) <= arg < 1 << bits:
            return kind, int(arg)
        raise self._refused(number, f"an {param}", arg)

    def _refused(self, number: int, wanted: str, arg: object) -> NotTransferable:
        path = f"args[{number}]"
        return NotTransferable(f"{path}: {self.name}() takes {wanted}, not {arg!r:.80}", path=path)

    def _run(self, guest: Guest, args: list[Argument]) -> Program:
        values: list[tuple[int, Number]] = []
        for arg in args:
            if isinstance(arg, bytes):
                start = (yield from _alloc(guest, arg)) if arg else 0
                values += [(capi.I32, start), (capi.I32, len(arg))]
            else:
                values.append(arg)
        results = yield from invoke(guest, self._export, values, len(self._results))
        if self._marked:
            content = read(guest, results[0] >> 32 & 0xFFFFFFFF, results[0] & 0xFFFFFFFF)
            return _decoded(content) if self._marked == "str" else content
        return tuple(results) if len(results) > 1 else results[0] if results else None


def _decoded(content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise Trapped(f"a result marked ->str is not UTF-8: {error}") from None


def invoke(guest: Guest, name: str, values: Sequence[tuple[int, Number]], results: int) -> Program:
    """Call one export with these numbers; its results, as a list."""
    found = export(guest, name, capi.FUNC)
    arguments = (capi.VAL * (len(values) + results))()
    at = ctypes.addressof(arguments)
    for index, (kind, value) in enumerate(values):
        capi.kind_at(at + index * capi.VAL_SIZE).value = kind
        _AT[kind](at + index * capi.VAL_SIZE + capi.OF).value = value
    out = at + len(values) * capi.VAL_SIZE
    yield capi.func_call_async(
        guest.context, ctypes.addressof(found) + capi.EXTERN_OF, at, len(values), out, results,
        guest.trap_at, guest.error_at,
    )  # fmt: skip
    guest.check()
    return [_result(out + index * capi.VAL_SIZE) for index in range(results)]


def _result(at: int) -> Number:
    value: Number = _AT[capi.kind_at(at).value](at + capi.OF).value
    return value


def _alloc(guest: Guest, content: bytes) -> Program:
    """Put `content` into the module's memory; where it is."""
    (start,) = yield from invoke(guest, "alloc", [(capi.I32, len(content))], 1)
    start &= 0xFFFFFFFF
    ctypes.memmove(span(guest, start, len(content)), content, len(content))
    return start


def read(guest: Guest, start: int, size: int) -> bytes:
    """A copy of what is in the module's memory there."""
    if size > guest.output:
        raise too_large(size, guest.output)
    return ctypes.string_at(span(guest, start, size), size)


def span(guest: Guest, start: int, size: int) -> int:
    """The address of a piece of the module's memory."""
    memory = export(guest, "memory", capi.MEMORY)
    at = ctypes.addressof(memory) + capi.EXTERN_OF
    if start + size > capi.memory_size(guest.context, at):
        raise Trapped("a pointer that is out of the bounds of its memory")
    return int(capi.memory_data(guest.context, at) or 0) + start


def export(guest: Guest, name: str, kind: int) -> Any:
    """The extern of this name and kind; Trapped if there is none."""
    found = capi.EXTERN()
    text = name.encode()
    at = ctypes.addressof(found)
    if (
        not capi.export_get(guest.context, ctypes.addressof(guest.instance), text, len(text), at)
        or capi.kind_at(at).value != kind
    ):
        raise Trapped(f"the module has no {name!r} to call or to write to")
    return found


def functions(module: wasmtime.Module) -> list[CoreFunction]:
    """What a module exports."""
    found = []
    for export in module.exports:
        kind = export.type
        if isinstance(kind, wasmtime.FuncType):
            at = address(kind.ptr())
            params, results = capi.kinds(capi.params_of(at)), capi.kinds(capi.results_of(at))
            found.append(CoreFunction(export.name, params, results))
    return found
