"""Marks the objects of a guest's snapshot as immortal: no references are counted in them.

The snapshot is the data section of the component's first core module. The guest left the address
of a list of all objects behind a mark in it (`isolate/snapshot.py`); their reference counts are
overwritten in the file. Layouts are those of CPython 3.14 on a 32-bit machine.
"""

from __future__ import annotations

import bisect
import re
import struct
from collections.abc import Iterator
from pathlib import Path

IMMORTAL = 5 << 28
"""The count that CPython gives an immortal object; from `1 << 30` on none is counted."""
_ALREADY = 1 << 30
_MARK = re.compile(rb"facets-immortal:([0-9a-f]{8})")
_CORE_MODULE, _DATA = 1, 11


class Memory:
    """The initial memory of a core module, by address, over the file's bytes."""

    def __init__(self, wasm: bytearray) -> None:
        self._wasm = wasm
        self._segments = sorted(_segments(wasm))

    def offset(self, address: int) -> int:
        """Where the word at this address is in the file."""
        start, offset, size = self._segments[
            bisect.bisect_right(self._segments, (address, 1 << 62)) - 1
        ]
        if not start <= address <= start + size - 4:
            raise ValueError(f"nothing is at {address:#x}")
        return offset + address - start

    def word(self, address: int) -> int:
        """The 32-bit word at this address; a long run of zeros is not in the file."""
        try:
            return int(struct.unpack_from("<I", self._wasm, self.offset(address))[0])
        except ValueError:
            return 0


def make_immortal(path: Path) -> int:
    """Patch the component at `path`; how many objects are immortal now that were not."""
    wasm = bytearray(path.read_bytes())
    found = set(_MARK.findall(wasm))
    if len(found) != 1:
        raise ValueError(f"the snapshot has {len(found)} marks, not one")
    memory = Memory(wasm)
    listed = int(found.pop(), 16)
    size, items = memory.word(listed + 8), memory.word(listed + 12)
    changed = 0
    for at in range(items, items + 4 * size, 4):
        address = memory.word(at)
        count = memory.word(address)
        if 0 < count < _ALREADY:  # a static object may stand at 0; it is never freed
            struct.pack_into("<I", wasm, memory.offset(address), IMMORTAL)
            changed += 1
    path.write_bytes(wasm)
    return changed


def _segments(wasm: bytearray) -> Iterator[tuple[int, int, int]]:
    """Address, offset in the file and size of each data segment of the first core module."""
    for section, start, end in _sections(wasm, 8, len(wasm)):
        if section == _CORE_MODULE:
            for inner, at, _ in _sections(wasm, start + 8, end):
                if inner == _DATA:
                    yield from _data(wasm, at)
            return


def _sections(wasm: bytearray, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    while at < end:
        size, start = _unsigned(wasm, at + 1)
        yield wasm[at], start, start + size
        at = start + size


def _data(wasm: bytearray, at: int) -> Iterator[tuple[int, int, int]]:
    count, at = _unsigned(wasm, at)
    for _ in range(count):
        if wasm[at : at + 2] != b"\x00\x41":
            raise ValueError("a data segment is not at a constant address of the first memory")
        address, at = _signed(wasm, at + 2)
        size, at = _unsigned(wasm, at + 1)
        yield address & 0xFFFFFFFF, at, size
        at += size


def _unsigned(wasm: bytearray, at: int) -> tuple[int, int]:
    """A LEB128 number and where it ends."""
    value = shift = 0
    while True:
        byte = wasm[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def _signed(wasm: bytearray, at: int) -> tuple[int, int]:
    value, end = _unsigned(wasm, at)
    bits = 7 * (end - at)
    return (value - (1 << bits) if wasm[end - 1] & 0x40 else value), end
