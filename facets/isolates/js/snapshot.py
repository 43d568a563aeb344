"""The engine as it is when the prelude has run: what every isolate starts from.

Evaluating the prelude takes most of the time of a load, and does the same each time. It is done
once, while the component is made: its memory afterwards becomes the memory that the module begins
with, and the handles of the prelude's functions become constants of the driver. Nothing of the
host gets in: the clock stands at zero and there is no randomness, so the same wheel and prelude
give the same bytes on every machine.
"""

from __future__ import annotations

from typing import Any

import wasmtime

from facets.isolates.js.component import WORDS, core_modules, leb, sections, unleb

_MEMORY, _DATA, _DATA_COUNT = 5, 11, 12
_GAP = 64
"""Zero bytes that end a piece of the memory's content."""
_STUBS = """(module
  (func (export "call") (param i32 i32 i32) unreachable)
  (func (export "log") (param i32 i32 i32))
  (func (export "wall") (param i32))
  (func (export "monotonic") (result i64) (i64.const 0))
  (func (export "random") (result i64) (i64.const 0)))"""


def prepared(module: bytes) -> tuple[bytes, dict[str, int]]:
    """The core module with the prelude in its memory, and the driver's words."""
    config: Any = wasmtime.Config()
    config.cranelift_opt_level = "none"  # it runs once
    engine = wasmtime.Engine(config)
    store = wasmtime.Store(engine)
    _, shim, allocator, driver = core_modules({})
    del allocator
    linker = wasmtime.Linker(engine)
    made = linker.instantiate(store, wasmtime.Module(engine, shim))
    for space in ("s", "env", "wasi_snapshot_preview1"):
        linker.define_instance(store, space, made)
    linker.define_instance(
        store,
        "h",
        linker.instantiate(store, wasmtime.Module(engine, bytes(wasmtime.wat2wasm(_STUBS)))),
    )
    quickjs = linker.instantiate(store, wasmtime.Module(engine, module))
    linker.define_instance(store, "q", quickjs)
    exports: Any = linker.instantiate(store, wasmtime.Module(engine, driver)).exports(store)
    exports["init"](store)
    words = {name: exports["word"](store, index) for index, name in enumerate(WORDS)}
    memory: Any = quickjs.exports(store)["memory"]
    return with_memory(module, bytes(memory.read(store))), words


def with_memory(module: bytes, memory: bytes) -> bytes:
    """The module, beginning with this memory."""
    made = bytearray(module[:8])
    for number, start, content, end in sections(module):
        if number == _MEMORY:
            section = _memory(module[content:end], len(memory) >> 16)
        elif number == _DATA:
            section = _data(memory)
        elif number == _DATA_COUNT:
            raise ValueError("the module copies its data by itself")
        else:
            made += module[start:end]
            continue
        made += bytes([number]) + leb(len(section)) + section
    return bytes(made)


def _memory(section: bytes, pages: int) -> bytes:
    """One memory of at least so many pages, and at most what it was."""
    count, at = unleb(section, 0)
    if count != 1 or section[at] not in (0, 1):
        raise ValueError("the module has not one plain memory")
    _, rest = unleb(section, at + 1)
    return section[: at + 1] + leb(pages) + section[rest:]


def _data(memory: bytes) -> bytes:
    """Active segments for everything in the memory that is not zero."""
    pieces = []
    at, size = 0, len(memory)
    while at < size:
        if not memory[at]:
            at += _zeros(memory, at)
            continue
        end = memory.find(bytes(_GAP), at)
        end = size if end < 0 else end
        pieces.append(b"\0\x41" + _signed(at) + b"\x0b" + leb(end - at) + memory[at:end])
        at = end
    return leb(len(pieces)) + b"".join(pieces)


def _zeros(memory: bytes, at: int) -> int:
    """How many zeros stand there."""
    return len(memory) - at - len(memory[at:].lstrip(b"\0"))


def _signed(number: int) -> bytes:
    """A number that is not negative, as the constant of an instruction."""
    made = bytearray()
    while True:
        low, number = number & 0x7F, number >> 7
        if not number and not low & 0x40:
            made.append(low)
            return bytes(made)
        made.append(low | 0x80)
