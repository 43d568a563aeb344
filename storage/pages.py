"""What is inside a page of a SQLite file, as far as anything here looks."""

from __future__ import annotations

import struct

from storage.limits import PAGE_SIZE

_HEADS = struct.Struct(">BHHH")
_HEADER_SIZE = {2: 12, 5: 12, 10: 8, 13: 8}
MAX_PAGES = 1 << 24


def gap(page: bytes, number: int) -> tuple[int, int]:
    """Start and length of the unallocated middle of a b-tree page; (0, 0) for any other."""
    at = 100 if number == 1 else 0
    kind, _, cells, content = _HEADS.unpack_from(page, at)
    header = _HEADER_SIZE.get(kind)
    if header is None:
        return 0, 0
    start = at + header + 2 * cells
    if not start < content <= PAGE_SIZE:
        return 0, 0
    return start, content - start
