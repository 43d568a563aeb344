"""A segment: one preallocated file of the journal.

    0        header: magic "FJRN" | format u32 | epoch u64 | first sequence u64 | nonce u64 |
             previous u32 | header crc u32, padded to 4096 bytes
    4096     records, each at a multiple of 512

`previous` is the crc of the record before the first one, in the segment before. The file is
filled with zeros ahead of use, in steps that double: a sync that also has to allocate costs
three times as much. It never shrinks; another life of it begins with a new header, whose nonce
makes everything older unreadable. A segment whose first sector is zero is not in use: `void`
makes it so, before the file may be used again or removed. The header fits into one sector, which
a crash leaves old or new, so one that is neither intact nor zero is damage.
"""

from __future__ import annotations

import mmap
import os
import secrets
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

from storage.disk import Disk
from storage.errors import JournalCorrupt, StateFormat
from storage.record import SECTOR, Chain, Record, decode

START = 4096
FORMAT = 2
STEP = 1 << 20
"""Bytes of the first allocation."""
STAGE = 256 << 10
"""Bytes of aligned memory, the longest write past the page cache."""
_HEADER = struct.Struct("<4sIQQQI")
_MAGIC = b"FJRN"


@dataclass(frozen=True, slots=True)
class Header:
    """Who a segment is."""

    epoch: int
    first: int
    nonce: int
    previous: int
    crc: int

    @classmethod
    def new(cls, epoch: int, first: int, previous: int) -> Header:
        """A header of a new life, with a fresh nonce."""
        nonce = secrets.randbits(32)
        return cls(epoch, first, nonce, previous, crc32(_pack(epoch, first, nonce, previous)))

    def encode(self) -> bytes:
        """One block."""
        data = _pack(self.epoch, self.first, self.nonce, self.previous)
        return (data + struct.pack("<I", self.crc)).ljust(START, b"\0")

    @property
    def chain(self) -> Chain:
        """What the first record fits behind."""
        return Chain(self.epoch, self.nonce, self.crc)


def _pack(epoch: int, first: int, nonce: int, previous: int) -> bytes:
    return _HEADER.pack(_MAGIC, FORMAT, epoch, first, nonce, previous)


def read_header(data: bytes, path: Path) -> Header | None:
    """The header at the beginning of a segment file; None if the segment is not in use.

    `JournalCorrupt` if it is damaged: what the segment holds may have been acknowledged.
    `StateFormat` if it is of another version.
    """
    if not any(data[:SECTOR]):
        return None
    crc = struct.pack("<I", crc32(data[: _HEADER.size]))
    if data[:4] != _MAGIC or data[_HEADER.size : _HEADER.size + 4] != crc:
        raise JournalCorrupt(
            f"{path} has a damaged header; what it holds may have been acknowledged",
            path=str(path),
            sequence=0,
        )
    _, found, epoch, first, nonce, previous = _HEADER.unpack_from(data)
    if found != FORMAT:
        raise StateFormat(f"{path} has journal format {found}", path=str(path), found=found)
    return Header(epoch, first, nonce, previous, crc32(data[: _HEADER.size]))


def read_records(data: bytes, path: Path, header: Header) -> list[Record]:
    """Every record that counts, in order, up to the torn tail.

    `JournalCorrupt` if a later intact record says that the first bad one was durable: then it
    was acknowledged, and what is missing is damage and not the end of a crash.
    """
    kept = joined_records(data, header)
    expected = header.first + len(kept)
    at = kept[-1].end if kept else START
    for later in intact_records(data, at, header):
        if later.durable_upto >= expected:
            raise JournalCorrupt(
                f"{path}: record {expected} at byte {at} is damaged, and record {later.sequence} "
                "behind it says that it was durable",
                path=str(path),
                sequence=expected,
            )
    return kept


def joined_records(data: bytes, header: Header) -> list[Record]:
    """The records that join, from the first on."""
    kept: list[Record] = []
    expected, previous, at = header.first, header.crc, START
    while (found := decode(data, at, header.epoch, header.nonce)) is not None:
        record, behind = found
        if record.sequence != expected or behind != previous:
            break
        kept.append(record)
        expected, previous, at = expected + 1, record.crc, record.end
    return kept


def intact_records(data: bytes, at: int, header: Header) -> Iterator[Record]:
    """Every intact record of this life from byte `at` on, whether or not they join."""
    while 0 <= (at := data.find(b"FREC", at)) < len(data):
        found = decode(data, at, header.epoch, header.nonce) if at % SECTOR == 0 else None
        if found is not None:
            yield found[0]
        at += 4


class Segment:
    """A segment file open for writing.

    `reserve` is called where records are queued; `write` may run on another thread.
    """

    __slots__ = (
        "_direct", "_disk", "_fd", "_plain", "_stage", "allocated", "begun", "end", "last", "path",
    )  # fmt: skip

    def __init__(self, disk: Disk, path: Path) -> None:
        self._disk = disk
        self.path = path
        self._plain = disk.open(path, os.O_RDWR | os.O_CREAT)
        try:
            self._fd, self._direct = _open_durable(disk, path)
        except OSError:
            disk.close(self._plain)
            raise
        self._stage = memoryview(mmap.mmap(-1, STAGE)) if self._direct else memoryview(b"")
        self.allocated = os.fstat(self._plain).st_size
        self.begun = False
        """Its header is durable."""
        self.end = START
        """Where the next record will be queued."""
        self.last = 0
        """The newest sequence queued for it."""

    def reserve(self, end: int) -> None:
        """Have real, zeroed blocks up to `end`. OSError (no space) leaves all as it was."""
        if end <= self.allocated:
            return
        goal = max(STEP, self.allocated)
        while goal < end:
            goal *= 2
        try:
            for at in range(self.allocated, goal, STEP):
                self._disk.write(self._plain, bytes(min(STEP, goal - at)), at)
            self._disk.sync(self._plain)
        except OSError:
            self._disk.truncate(self._plain, self.allocated)
            raise
        self.allocated = goal

    def write(self, data: bytes, at: int) -> None:
        """Write, durable on return. Both length and place are multiples of 512."""
        if not self._direct:
            self._disk.write(self._fd, data, at)
            return
        for start in range(0, len(data), STAGE):
            piece = data[start : start + STAGE]
            staged = self._stage[: len(piece)]
            staged[:] = piece
            self._disk.write(self._fd, staged, at + start)

    def begin(self, header: Header) -> None:
        """Start a new life; durable on return."""
        self.reserve(START)
        self.write(header.encode(), 0)
        self.begun = True

    def void(self) -> None:
        """End its life, durably: nothing in it is read again."""
        self.write(bytes(START), 0)
        self.begun, self.end, self.last = False, START, 0

    def close(self) -> None:
        """Close both descriptors."""
        self._disk.close(self._fd)
        self._disk.close(self._plain)


def _open_durable(disk: Disk, path: Path) -> tuple[int, bool]:
    """A descriptor whose writes are durable; past the page cache where that is possible."""
    flags = os.O_RDWR | os.O_DSYNC
    try:
        fd = disk.open(path, flags | os.O_DIRECT)
    except OSError:  # tmpfs and some overlays refuse it
        return disk.open(path, flags), False
    try:
        probe = memoryview(mmap.mmap(-1, START))
        os.preadv(fd, [probe[:SECTOR]], SECTOR)  # refused where sectors are larger than ours
    except OSError:
        disk.close(fd)
        return disk.open(path, flags), False
    return fd, True
