"""What the bytes of a database page mean, as far as anything here must know.

A b-tree page keeps its cell pointers at the front and its cells at the back; between them lies
a gap that SQLite never reads, full of what once stood there. Leaving it out halves the journal.

Only leaves (types 10 and 13) are cut. The first byte of a page tells a leaf from every other
page, because the others begin differently:

    overflow, free-list trunk    a page number, big-endian: its first byte is 0 below 2**24 pages
    pointer map (auto_vacuum)    an entry type from 1 to 5
    interior b-tree              2 or 5, which a pointer map may begin with too: so not cut, and
                                 interior pages are one in fifty of those that commits write
    free-list leaf               anything: its content has no meaning
"""

from __future__ import annotations

import struct

from storage.limits import PAGE_SIZE

MAX_PAGES = 1 << 24
"""Databases below this size (64 GiB) can be trimmed; see above."""
ZERO = bytes(PAGE_SIZE)
NO_GAP = (0, 0)

_LEAF = struct.Struct(">BHHHB")
_FILE_HEADER = 100
_MAX_FRAGMENTS = 60


def gap(page: bytes, number: int) -> tuple[int, int]:
    """Where the gap of a page begins and how long it is; `NO_GAP` if it has none.

    Every field of the page's header must make sense, else the page is taken for something else.
    Costs under a microsecond. Sound only in a database of fewer than `MAX_PAGES` pages.
    """
    at = _FILE_HEADER if number == 1 else 0
    kind, free, cells, content, fragments = _LEAF.unpack_from(page, at)
    if kind != 13 and kind != 10:
        return NO_GAP
    start = at + 8 + 2 * cells
    if not start < content <= PAGE_SIZE or 0 < free < content or fragments > _MAX_FRAGMENTS:
        return NO_GAP
    return start, content - start


def trim_gap(page: bytes, number: int, size: int) -> tuple[int, bytes]:
    """Where the gap begins, and the page without it; `fill_gap` puts zeros back.

    The page comes back whole in a database of `MAX_PAGES` pages or more. `size` is that of the
    database, in pages, when it held this page.
    """
    if size >= MAX_PAGES:
        return 0, page
    start, length = gap(page, number)
    if not length:
        return 0, page
    return start, page[:start] + page[start + length :]


def fill_gap(start: int, rest: bytes) -> bytes:
    """The page that `trim_gap` cut, with zeros where the gap was."""
    missing = PAGE_SIZE - len(rest)
    if not missing:
        return rest
    return b"".join((rest[:start], bytes(missing), rest[start:]))


def normalise(page: bytes, number: int) -> bytes:
    """The page with zeros in its gap: equal for all images that mean the same to SQLite.

    Sound only in a database of fewer than `MAX_PAGES` pages.
    """
    start, length = gap(page, number)
    if not length:
        return page
    return b"".join((page[:start], bytes(length), page[start + length :]))
