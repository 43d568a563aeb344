"""Which bytes lie where in a file.

A file is a row of extents that do not overlap; each is one chunk. Between them are holes. A
write cuts its bytes, together with what is left of the extents it hits, into new chunks, so a
change costs what it touches and not the file.

Appending small pieces would leave one extent each. So a write takes the pieces right before
it along while they are less than twice its size: what a file of n small appends has is log n
extents, and a byte is written again log n times at most (a fixed tail of 64 KiB would be
written whole by every append).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from storage.files.chunks import CHUNK, OBJECT, Buffer, Chunks
from storage.files.tables import Tables

_SELECT = "select start, size, chunk, object from _facets_files_extents"


class Extent(NamedTuple):
    """A chunk at its place."""

    start: int
    size: int
    chunk: int
    is_object: int

    @property
    def end(self) -> int:
        """The first byte behind it."""
        return self.start + self.size


class Extents:
    """The table of extents. `inline` is how many bytes of one file may stay in the database.

    Methods that change it belong inside `Tables.change`; the size of a file is not known here.
    """

    __slots__ = ("_chunks", "_inline", "_tables")

    def __init__(self, tables: Tables, chunks: Chunks, inline: int) -> None:
        self._tables = tables
        self._chunks = chunks
        self._inline = inline

    # -- reading ------------------------------------------------------------------------

    def read(self, node: int, offset: int, size: int) -> bytes:
        """`size` bytes from `offset`; zeros where nothing was written."""
        end = offset + size
        found = self._between(node, offset, end)
        if len(found) == 1 and found[0].start <= offset and end <= found[0].end:
            at = offset - found[0].start
            return self._load(found[0])[at : at + size]
        data = bytearray(size)
        for one in found:
            low, high = max(one.start, offset), min(one.end, end)
            piece = memoryview(self._load(one))[low - one.start : high - one.start]
            data[low - offset : high - offset] = piece
        return bytes(data)

    def next(self, node: int, offset: int) -> Extent | None:
        """The first extent that ends behind `offset`."""
        rows = self._tables.read(
            f"{_SELECT} where node = ? and start > ? and start + size > ? order by start limit 1",
            node,
            offset - OBJECT,
            offset,
        )
        return Extent(*rows[0]) if rows else None

    def _between(self, node: int, start: int, end: int) -> list[Extent]:
        # No extent is longer than OBJECT, so the key bounds the search on both sides.
        rows = self._tables.read(
            f"{_SELECT} where node = ? and start > ? and start < ? and start + size > ?"
            " order by start",
            node,
            start - OBJECT,
            end,
            start,
        )
        return [Extent(*row) for row in rows]

    def _load(self, extent: Extent) -> bytes:
        return self._chunks.load(extent.chunk, is_object=bool(extent.is_object))

    # -- writing ------------------------------------------------------------------------

    def replace(self, node: int, data: Buffer) -> None:
        """Let a file have just this content. What it had already is not written again."""
        rows = self._tables.read(f"{_SELECT} where node = ? order by start", node)
        self._put(node, 0, data, [Extent(*row) for row in rows], self._cut(data, len(data)))
        self._spill(node)

    def write(self, node: int, offset: int, data: Buffer, size: int) -> None:
        """Put bytes at `offset` into a file that has `size` bytes afterwards."""
        end = offset + len(data)
        old = self._between(node, offset, end)
        if not old or old[0].start >= offset:
            old = [*self._small_before(node, offset, len(data)), *old]
        parts: list[Buffer] = [data]
        start = offset
        for one in reversed(old):
            if one.start < start:
                parts.insert(0, self._load(one)[: start - one.start])
                start = one.start
        if old and old[-1].end > end:
            parts.append(self._load(old[-1])[end - old[-1].start :])
        whole = data if len(parts) == 1 else b"".join(parts)
        self._put(node, start, whole, old, self._cut(whole, size))
        self._spill(node)

    def truncate(self, node: int, size: int) -> None:
        """Drop what is behind `size`."""
        for one in self._between(node, size, size + 1):
            if one.start < size:
                kept = memoryview(self._load(one))[: size - one.start]
                self._put(node, one.start, kept, [one], self._cut(kept, size))
        self._tables.write(
            "delete from _facets_files_extents where node = ? and start >= ?", node, size
        )
        self._spill(node)

    def share(self, source: int, target: int) -> None:
        """Let an empty file have the content of another; no content is copied."""
        self._tables.write(
            "insert into _facets_files_extents select ?, start, size, chunk, object"
            " from _facets_files_extents where node = ?",
            target,
            source,
        )

    def append_object(self, node: int, start: int, size: int, digest: bytes) -> None:
        """Put an object that is in the store already at the end of a file."""
        self._upsert(node, start, size, self._chunks.adopt(digest), as_object=True)

    def _small_before(self, node: int, start: int, size: int) -> list[Extent]:
        found: list[Extent] = []
        while True:
            rows = self._tables.read(
                f"{_SELECT} where node = ? and start < ? order by start desc limit 1", node, start
            )
            last = Extent(*rows[0]) if rows else None
            if last is None or last.end != start or last.is_object:
                return found
            if last.size >= min(CHUNK, 2 * size):
                return found
            found.insert(0, last)
            start, size = last.start, size + last.size

    def _cut(self, data: Buffer, size: int) -> list[int]:
        """Sizes of the pieces that become chunks: objects first, if the file is large."""
        left = len(data)
        large = self._chunks.spills and size > self._inline
        cuts = [OBJECT] * (left // OBJECT) if large else []
        left -= OBJECT * len(cuts)
        cuts += [CHUNK] * (left // CHUNK)
        return [*cuts, left % CHUNK] if left % CHUNK else cuts

    def _put(self, node: int, start: int, data: Buffer, old: list[Extent], cuts: list[int]) -> None:
        """Lay `data` out from `start` on, in place of the extents `old`."""
        view = memoryview(data)
        known = {one.start: one for one in old}
        at = 0
        for size in cuts:
            as_object = size == OBJECT
            chunk = self._chunks.intern(view[at : at + size], as_object=as_object)
            before = known.pop(start + at, None)
            if before is None or (before.size, before.chunk) != (size, chunk):
                self._upsert(node, start + at, size, chunk, as_object=as_object)
            at += size
        for left in known:
            self._tables.write(
                "delete from _facets_files_extents where node = ? and start = ?", node, left
            )

    def _upsert(self, node: int, start: int, size: int, chunk: int, *, as_object: bool) -> None:
        # `insert or replace` would delete the old row without its trigger.
        self._tables.write(
            "insert into _facets_files_extents values (?, ?, ?, ?, ?)"
            " on conflict(node, start) do update set"
            " size = excluded.size, object = excluded.object, chunk = excluded.chunk",
            node,
            start,
            size,
            chunk,
            int(as_object),
        )

    # -- moving to the store ------------------------------------------------------------

    def _spill(self, node: int) -> None:
        """Keep at most `inline` bytes of a file in the database: more go to the store, all."""
        if not self._chunks.spills:
            return
        query = "select sum(size) from _facets_files_extents where node = ? and object = 0"
        if (self._tables.read(query, node)[0][0] or 0) <= self._inline:
            return
        rows = self._tables.read(f"{_SELECT} where node = ? and object = 0 order by start", node)
        for run in _runs([Extent(*row) for row in rows]):
            data = b"".join(self._load(one) for one in run)
            chunk = self._chunks.intern(data, as_object=True)
            self._upsert(node, run[0].start, len(data), chunk, as_object=True)
            for one in run[1:]:
                self._tables.write(
                    "delete from _facets_files_extents where node = ? and start = ?",
                    node,
                    one.start,
                )


def _runs(extents: list[Extent]) -> Iterator[list[Extent]]:
    """Extents without holes between them, together at most one object long."""
    run: list[Extent] = []
    for one in extents:
        if run and (one.start != run[-1].end or one.end - run[0].start > OBJECT):
            yield run
            run = []
        run.append(one)
    if run:
        yield run
