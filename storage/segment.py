"""A segment: one preallocated file of the journal.

    0        header: magic "FJRN" | format u32 | epoch u64 | first sequence u64 |
             nonce u64 | header crc u32, padded to 4096 bytes
    4096     records, each at a multiple of 512

The file is filled with zeros ahead of use, in steps that double: a sync that also has to
allocate costs three times as much. It never shrinks; another life of it begins with a header
of a higher epoch, and its nonce makes everything older unreadable.
"""

from __future__ import annotations

import os
import secrets
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

from storage.errors import JournalCorrupt, StateFormat
from storage.record import SECTOR, Chain, Record, decode

START = 4096
FORMAT = 1
STEP = 1 << 20
"""Bytes of the first allocation."""
_HEADER = struct.Struct("<4sIQQQ")
_MAGIC = b"FJRN"


@dataclass(frozen=True, slots=True)
class Header:
    """Who a segment is."""

    epoch: int
    first: int
    nonce: int
    crc: int

    @classmethod
    def new(cls, epoch: int, first: int) -> Header:
        """A header of a new life, with a fresh nonce."""
        nonce = secrets.randbits(32)
        return cls(epoch, first, nonce, crc32(_pack(epoch, first, nonce)))

    def encode(self) -> bytes:
        """One block."""
        data = _pack(self.epoch, self.first, self.nonce) + struct.pack("<I", self.crc)
        return data.ljust(START, b"\0")

    @property
    def chain(self) -> Chain:
        """What the first record fits behind."""
        return Chain(self.epoch, self.nonce, self.crc)


def read_header(path: Path) -> Header | None:
    """The header of a segment file; None if there is no intact one."""
    try:
        with path.open("rb") as file:
            data = file.read(START)
    except FileNotFoundError:
        return None
    if len(data) < START or data[:4] != _MAGIC:
        return None
    _, found, epoch, first, nonce = _HEADER.unpack_from(data)
    (crc,) = struct.unpack_from("<I", data, _HEADER.size)
    if crc != crc32(data[: _HEADER.size]):
        return None
    if found != FORMAT:
        raise StateFormat(f"{path} has journal format {found}", path=str(path), found=found)
    return Header(epoch, first, nonce, crc)


def read_records(path: Path, header: Header) -> list[Record]:
    """Every record that counts, in order, up to the torn tail.

    `JournalCorrupt` if a later intact record says that the first bad one was durable: then it
    was acknowledged, and what is missing is damage and not the end of a crash.
    """
    data = path.read_bytes()
    kept: list[Record] = []
    expected, previous, at = header.first, header.crc, START
    while (found := decode(data, at, header.epoch, header.nonce)) is not None:
        record, behind = found
        if record.sequence != expected or behind != previous:
            break
        kept.append(record)
        expected, previous, at = expected + 1, record.crc, record.end
    for later in _intact_after(data, at, header):
        if later.durable_upto >= expected:
            raise JournalCorrupt(
                f"{path}: record {expected} at byte {at} is damaged, and record {later.sequence} "
                "behind it says that it was durable",
                path=str(path),
                sequence=expected,
            )
    return kept


def _intact_after(data: bytes, at: int, header: Header) -> Iterator[Record]:
    while 0 <= (at := data.find(b"FREC", at)) < len(data):
        found = decode(data, at, header.epoch, header.nonce) if at % SECTOR == 0 else None
        if found is not None:
            yield found[0]
        at += 4


class Segment:
    """A segment file open for writing."""

    __slots__ = ("_fd", "_plain", "allocated", "path")

    def __init__(self, path: Path) -> None:
        self.path = path
        self._plain = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._fd = os.open(path, os.O_WRONLY | os.O_DSYNC | os.O_CLOEXEC)
        self.allocated = os.fstat(self._plain).st_size

    def reserve(self, end: int) -> None:
        """Have real, zeroed blocks up to `end`. OSError (no space) leaves all as it was."""
        if end <= self.allocated:
            return
        goal = max(STEP, self.allocated)
        while goal < end:
            goal *= 2
        try:
            for at in range(self.allocated, goal, STEP):
                os.pwrite(self._plain, bytes(min(STEP, goal - at)), at)
            os.fdatasync(self._plain)
        except OSError:
            os.ftruncate(self._plain, self.allocated)
            raise
        self.allocated = goal

    def write(self, data: bytes, at: int) -> None:
        """Write, durable on return."""
        written = os.pwrite(self._fd, data, at)
        if written != len(data):
            raise OSError(f"{self.path}: {written} of {len(data)} bytes were written")

    def close(self) -> None:
        """Close both descriptors."""
        os.close(self._fd)
        os.close(self._plain)


def _pack(epoch: int, first: int, nonce: int) -> bytes:
    return _HEADER.pack(_MAGIC, FORMAT, epoch, first, nonce)
