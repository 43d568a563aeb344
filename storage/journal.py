"""The journal: the one thing that makes commits durable.

Two segment files, `journal-0` and `journal-1`, take turns; the one with the higher epoch is
current. Records are queued in memory in the order of their commits (`append`) and written by
one sync for all of them (`sync`); what is durable is always a prefix of what was queued.

Damage, and what it leads to:

- a record cut or scrambled at the end: the torn tail of a crash; it and all behind it are void.
  None of it was acknowledged.
- the same, with a later record that says it was durable: `JournalCorrupt`, nothing is changed.
- a segment header that is not intact: that segment never began; the other one is current.
- a write or sync that fails: `JournalFailed`, for ever. The kernel may have dropped the pages
  and a second sync would lie, so the descriptor is never used again.
- no room to queue a record: OSError from `append` before anything was queued.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from storage.errors import JournalFailed
from storage.record import Chain, Entry, Record, encode
from storage.segment import START, Header, Segment

CAPACITY = 16 << 20
"""Bytes of a segment after which it should be released. One big record may pass it."""
BACKLOG = 8 << 20
"""Bytes queued in memory after which `append` syncs by itself."""


class Journal:
    """The current segment, with records queued behind it."""

    def __init__(
        self, root: Path, slot: int, header: Header, end: int, sequence: int, crc: int
    ) -> None:
        self._root = root
        self._slot = slot
        self._header = header
        self._segment = Segment(slot_path(root, slot))
        self._chain = Chain(header.epoch, header.nonce, crc)
        self._written = end
        self._end = end
        self._queue: list[bytes] = []
        self.committed = sequence
        self.durable = sequence
        self.failed: JournalFailed | None = None

    @classmethod
    def begin(
        cls, root: Path, slot: int, epoch: int, records: Sequence[Record], last: int
    ) -> Journal:
        """Begin a segment that holds `records`; durable on return, the header last.

        Until the header is there, the other segment is current and complete.
        """
        header = Header.new(epoch, last + 1 - len(records))
        segment = Segment(slot_path(root, slot))
        chain, parts = header.chain, []
        for record in records:
            data, crc = encode(chain, record.sequence, last, record.body, record.count, record.time)
            chain = Chain(header.epoch, header.nonce, crc)
            parts.append(data)
        body = b"".join(parts)
        try:
            segment.reserve(START + len(body))
            if body:
                segment.write(body, START)
            segment.write(header.encode(), 0)
        finally:
            segment.close()
        return cls(root, slot, header, START + len(body), last, chain.previous)

    @property
    def full(self) -> bool:
        """Whether the segment should be released soon."""
        return self._end > CAPACITY

    @property
    def size(self) -> int:
        """Bytes of the segment in use."""
        return self._end

    def append(self, entries: Sequence[Entry]) -> int:
        """Queue one record, atomic as a whole; its sequence."""
        if self.failed is not None:
            raise self.failed
        body = b"".join([entry.encode() for entry in entries])
        data, crc = encode(self._chain, self.committed + 1, self.durable, body, len(entries))
        self._segment.reserve(self._end + len(data))
        self._chain = Chain(self._header.epoch, self._header.nonce, crc)
        self._queue.append(data)
        self._end += len(data)
        self.committed += 1
        if self._end - self._written > BACKLOG:
            self.sync()
        return self.committed

    def sync(self) -> None:
        """Make everything queued durable."""
        if self.failed is not None:
            raise self.failed
        if not self._queue:
            return
        data = self._queue[0] if len(self._queue) == 1 else b"".join(self._queue)
        try:
            self._segment.write(data, self._written)
        except OSError as error:
            self.fail(error)
        self._queue.clear()
        self._written = self._end
        self.durable = self.committed

    def rotate(self) -> None:
        """Release the current segment. Everything in it must be in synced database files."""
        self.sync()
        try:
            after = Journal.begin(
                self._root, 1 - self._slot, self._header.epoch + 1, (), self.committed
            )
        except OSError as error:
            self.fail(error)
        self._segment.close()
        self._slot, self._header, self._chain = after._slot, after._header, after._chain
        self._segment, self._written, self._end = after._segment, after._written, after._end

    def fail(self, error: OSError) -> None:
        """Nothing later can become durable; raises the `JournalFailed` of this journal."""
        self.failed = JournalFailed(f"the journal failed: {error}")
        raise self.failed from error

    def close(self) -> None:
        """Close the segment; nothing is synced."""
        self._segment.close()


def slot_path(root: Path, slot: int) -> Path:
    """The file of one of the two slots."""
    return root / f"journal-{slot}"


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
