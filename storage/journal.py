"""The journal: the one thing that makes commits durable.

A folder of segment files. Records are queued in memory in the order of their commits
(`append`), and one write makes all that is queued durable: `sync` on the calling thread, or
`take`, `write` and `settle` where the middle one runs on another. What is durable is always a
prefix of what was queued. A segment is synced before the next one begins; it is released,
oldest first, when no database needs a record in it (`release`).

Damage, and what it leads to:

- a record cut or scrambled at the end: the torn tail of a crash; it and all behind it are void.
  None of it was acknowledged.
- the same, with a later record, or a later segment, that says it was durable:
  `JournalCorrupt`, nothing is changed.
- a segment header of zeros: that segment is not in use; any other that is not intact:
  `JournalCorrupt`.
- segments whose sequences do not join: `JournalCorrupt`.
- a write or sync that fails: `JournalFailed`, for ever. The kernel may have dropped the pages
  and a second sync would lie, so the descriptor is never used again.
- no room to queue a record: OSError from `append` before anything was queued.

What cannot be seen: the last segment file, or the oldest ones, missing as a whole; and damage to
records of the last batch, behind which nothing says that they were durable.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from storage.disk import Disk
from storage.errors import JournalFailed, StorageFull
from storage.limits import JournalLimits
from storage.record import HEADER, MAX_BODY, SECTOR, Chain, Entry, Record, Stamp, encode, now, pack
from storage.segment import START, STEP, Header, Segment

SPARES = 2
"""Released segments that are kept for their next life."""


@dataclass(slots=True)
class _Part:
    """Records that stand behind each other in one segment; `header` if they begin it."""

    segment: Segment
    at: int
    header: Header | None = None
    data: list[bytes] = field(default_factory=list)


@dataclass(slots=True)
class Batch:
    """Everything that was queued at one moment, on its way to the disk."""

    parts: list[_Part]
    last: int
    """The newest sequence in it."""
    records: list[tuple[int, bytes]] = field(default_factory=list)
    """What a replica gets of it, if there is one."""


class Journal:
    """Segments in use, with records queued behind them. One thread, except for `write`."""

    def __init__(
        self,
        disk: Disk,
        folder: Path,
        epoch: int,
        last: int,
        previous: int,
        spares: Sequence[Segment] = (),
        limits: JournalLimits | None = None,
        records: Sequence[Record] = (),
    ) -> None:
        """Begin a segment of `epoch` behind record `last`; durable on return.

        `previous` is the crc of that record; `spares` are segment files not in use. `records`
        are written again as they were, whatever the limits say: they take the place of another
        segment's, so a crash must leave this one with all of them or not in use.
        """
        self._disk = disk
        self._folder = folder
        self._limits = limits or JournalLimits()
        self.epoch = epoch
        self.committed = last
        self.durable = last
        self.failed: JournalFailed | None = None
        self.on_record = False
        """Whether batches carry their records, for a replica."""
        self._records: list[tuple[int, bytes]] = []
        self._written: list[tuple[int, bytes]] = []
        self._live: list[Segment] = []
        self._spare: list[Segment] = []
        self._slot = 0
        self._chain: Chain
        self._parts: list[_Part] = []
        self._queued = 0
        self.size = 0
        """Bytes of records that are not released."""
        self.congested = False
        """Whether nobody should write more until there is room."""
        self._writing: threading.Lock | None = None
        self._in_flight: Batch | None = None
        try:
            self.adopt(spares)
            self._begin(previous)
            for one in records:
                self._queue(one.body, one.count, one.time, one.made)
            self.sync()
        except BaseException:
            self.close()
            raise

    # -- queueing -------------------------------------------------------------------------

    @property
    def queued(self) -> int:
        """Bytes in memory that are not durable."""
        return self._queued

    @property
    def oldest(self) -> int:
        """The newest sequence of the oldest segment that could be released; 0 if none could."""
        return self._live[0].last if len(self._live) > 1 else 0

    def turn(self) -> None:
        """Begin the next segment, durably, so that the current one can be released. Nothing
        happens while that holds no record. OSError (no room) leaves all as it was."""
        if self._live[-1].last:
            self._begin(self._chain.previous)
            # Before anything is released: without a header there would be no journal.
            self.sync()

    def append(
        self, entries: Sequence[Entry], *, at: int | None = None, made: int | None = None
    ) -> int:
        """Queue one record, atomic as a whole; its sequence.

        OSError or `StorageFull` if there is no room for it: then nothing was queued.
        """
        self._check()
        body = b"".join([entry.encode() for entry in entries])
        if len(body) > MAX_BODY:
            raise StorageFull("one commit changes more than 4 GiB", path=str(self._folder))
        segment = self._live[-1]
        if segment.last and segment.end + HEADER + len(body) > self._limits.segment:
            self._begin(self._chain.previous, HEADER + len(body) + SECTOR)
        at, made = now() if at is None else at, self.epoch if made is None else made
        sequence = self._queue(body, len(entries), at, made)
        if self._queued > self._limits.backlog:
            self.sync()
        return sequence

    def _queue(self, body: bytes, count: int, at: int, made: int) -> int:
        sequence = self.committed + 1
        data, crc = encode(self._chain, sequence, self.durable, body, count, at, made)
        segment = self._live[-1]
        segment.reserve(segment.end + len(data))
        part = self._parts[-1] if self._parts else None
        if part is None or part.segment is not segment:
            part = _Part(segment, segment.end)
            self._parts.append(part)
        part.data.append(data)
        segment.end += len(data)
        segment.last = self.committed = sequence
        self._chain = Chain(self._chain.epoch, self._chain.nonce, crc)
        self._queued += len(data)
        self.size += len(data)
        self._weigh()
        if self.on_record:
            self._records.append((sequence, pack(body, count, Stamp(made, at))))
        return sequence

    def _begin(self, previous: int, room: int = 0) -> None:
        """Put a fresh segment behind the current one; its header is written with its records."""
        segment = self._spare.pop() if self._spare else self._new_segment()
        try:
            segment.reserve(START + room)
        except OSError:
            self._spare.append(segment)
            raise
        header = Header.new(self.epoch, self.committed + 1, previous)
        self._live.append(segment)
        self._parts.append(_Part(segment, START, header))
        self._chain = header.chain

    def _new_segment(self) -> Segment:
        while (path := self._folder / f"{self._slot:06}.seg").exists():
            self._slot += 1
        segment = Segment(self._disk, path)
        try:
            self._disk.sync_directory(self._folder)
        except OSError:
            self._drop(segment)
            raise
        return segment

    # -- writing --------------------------------------------------------------------------

    def sync(self) -> None:
        """Make everything queued durable, on this thread."""
        if self._writing is not None:
            with self._writing:
                pass
            self.settle()
        batch = self.take()
        if batch is not None:
            self.write(batch)
            self.settle()

    def take(self) -> Batch | None:
        """Everything queued, to be passed to `write`; None if there is nothing, or a batch is
        on its way already. Raises `JournalFailed` once the journal failed."""
        self._check()
        if not self._parts or self._in_flight is not None:
            return None
        batch = Batch(self._parts, self.committed, self._records)
        self._parts, self._records = [], []
        # A bare lock, held while it is written: an Event costs 2 us, each lone sync.
        self._in_flight, self._writing = batch, threading.Lock()
        self._writing.acquire()
        return batch

    def write(self, batch: Batch) -> None:
        """Write a batch; durable on return. Runs on any thread; call `settle` on the journal's
        own thread afterwards, which also raises what went wrong."""
        done = self._writing
        assert done is not None  # noqa: S101 - a batch was taken
        try:
            for part in batch.parts:
                data = part.data[0] if len(part.data) == 1 else b"".join(part.data)
                if data:
                    part.segment.write(data, part.at)
                if part.header is not None:
                    # Last: until it is there, what stands in the segment is not read.
                    part.segment.begin(part.header)
        except BaseException as error:
            # Whatever it was, the batch is not on the disk: `settle` must not say that it is.
            self.failed = _failure(error)
            if not isinstance(error, Exception):
                raise
        finally:
            done.release()

    def settle(self) -> Batch | None:
        """Account for a batch that was written; the batch. `JournalFailed` if it was not."""
        batch = self._in_flight
        if batch is None or self._writing is None or self._writing.locked():
            return None
        self._in_flight = self._writing = None
        self._check()
        self._queued -= sum(len(one) for part in batch.parts for one in part.data)
        self.durable = batch.last
        if self.on_record:
            self._written += batch.records
        self._weigh()
        return batch

    def _weigh(self) -> None:
        limits = self._limits
        self.congested = self._queued > limits.backlog // 2 or self.size > limits.size

    def written(self) -> list[tuple[int, bytes]]:
        """Records that became durable since the last time this was asked, for a replica."""
        found, self._written = self._written, []
        return found

    def fail(self, error: BaseException) -> NoReturn:
        """Nothing later can become durable; raises the `JournalFailed` of this journal."""
        self.failed = self.failed or _failure(error)
        raise self.failed from error

    def _check(self) -> None:
        if self.failed is not None:
            # Without the frames of those who got it before.
            raise self.failed.with_traceback(None)

    # -- keeping --------------------------------------------------------------------------

    def rotate(self) -> None:
        """Release everything: all of it is in synced database files."""
        self.turn()
        self.release(self.committed + 1)

    def adopt(self, segments: Sequence[Segment]) -> None:
        """Keep the files of voided segments for their next life; remove what is too many."""
        most = max(STEP, 2 * self._limits.segment)  # one huge record must not keep its room
        for segment in segments:
            if len(self._spare) < SPARES and segment.allocated <= most:
                self._spare.append(segment)
            else:
                self._drop(segment)

    def _drop(self, segment: Segment) -> None:
        segment.close()
        self._disk.unlink(segment.path)

    def release(self, needed: int) -> None:
        """Give up the segments whose records all come before sequence `needed`, oldest first.

        Their databases must have been checkpointed and synced. A segment that fails to be
        voided fails the journal: recovery would read what was given up.
        """
        free: list[Segment] = []
        while len(self._live) > 1 and self._live[0].last < needed:
            if self._live[0].last > self.durable or not self._live[1].begun:
                break  # a crash now would find no segment at all
            segment = self._live.pop(0)
            self.size -= segment.end - START
            try:
                segment.void()
            except OSError as error:
                self.fail(error)
            free.append(segment)
        self.adopt(free)
        self._weigh()

    def close(self) -> None:
        """Close the segments; nothing is synced. Waits for a batch on its way."""
        if self._writing is not None:
            with self._writing:
                pass
        for segment in self._live + self._spare:
            segment.close()
        self._live, self._spare = [], []


def _failure(error: BaseException) -> JournalFailed:
    failure = JournalFailed(f"the journal failed: {error!r}")
    failure.__cause__ = error
    return failure
