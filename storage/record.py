"""Records: the unit of the journal, all of it durable or none.

Layout, little-endian, padded with zeros to 512 bytes so that writing a record never touches a
sector that holds an older one:

    header   magic "FREC" | entries u32 | epoch u64 | sequence u64 | durable_upto u64 |
             time u64, microseconds since 1970 | body length u32 | body crc u32 |
             previous u32 | header crc u32                                      64 bytes
    body     entries, one after the other
      PAGES  1 u8 | uid u64 | generation u32 | pages in the database u32 | count u32 |
             count page numbers u32 | count images of 4096 bytes
      CREATE 2 u8 | uid u64 | generation u32        the file begins as the template image
      DELETE 3 u8 | uid u64 | generation u32        the file and its -wal are removed

`previous` is the header crc of the record before (of the segment header for the first), so a
record counts only behind the very records it was written behind. The header crc is seeded with
the segment's nonce: records of an earlier life of the same file never look intact.
`durable_upto` is the newest sequence known to be on disk when this record was made; it tells a
torn tail from damage. Uids are never reused.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from zlib import crc32

from storage.frames import Commit
from storage.limits import PAGE_SIZE

SECTOR = 512
HEADER = 64
_HEADER = struct.Struct("<4sIQQQQIII")
_CRC = struct.Struct("<I")
_PAGES = struct.Struct("<BQIII")
_SHORT = struct.Struct("<BQI")
MAGIC = b"FREC"
PAGES, CREATE, DELETE = 1, 2, 3
assert _HEADER.size + _CRC.size == HEADER - 8  # noqa: S101 - eight bytes to spare


@dataclass(frozen=True, slots=True)
class Entry:
    """What one record says about one database file."""

    kind: int
    uid: int
    generation: int = 1
    commit: Commit | None = None
    """Size and pages; of PAGES only."""

    def encode(self) -> bytes:
        """The entry as bytes."""
        commit = self.commit
        if commit is None:
            return _SHORT.pack(self.kind, self.uid, self.generation)
        numbers = struct.pack(f"<{len(commit.pages)}I", *commit.pages)
        head = _PAGES.pack(self.kind, self.uid, self.generation, commit.size, len(commit.pages))
        return b"".join((head, numbers, *commit.pages.values()))


@dataclass(frozen=True, slots=True)
class Record:
    """A record found intact."""

    sequence: int
    durable_upto: int
    body: bytes
    crc: int
    count: int
    time: int
    end: int
    """Where the next one would begin."""

    def entries(self) -> Iterator[Entry]:
        """What it says, in order."""
        return decode_body(self.body, self.count)


@dataclass(frozen=True, slots=True)
class Chain:
    """What a record must fit behind: its segment, and the record before it."""

    epoch: int
    nonce: int
    previous: int


def encode(
    chain: Chain, sequence: int, durable_upto: int, body: bytes, count: int, at: int | None = None
) -> tuple[bytes, int]:
    """A record as padded bytes, and its crc, which the next record carries as `previous`."""
    now = time.time_ns() // 1000 if at is None else at
    head = _HEADER.pack(
        MAGIC,
        count,
        chain.epoch,
        sequence,
        durable_upto,
        now,
        len(body),
        crc32(body),
        chain.previous,
    )
    crc = crc32(head, chain.nonce)
    padding = -(HEADER + len(body)) % SECTOR
    return b"".join((head, _CRC.pack(crc), bytes(8), body, bytes(padding))), crc


def decode(data: bytes, offset: int, epoch: int, nonce: int) -> tuple[Record, int] | None:
    """The intact record at `offset` with its `previous`; None if there is none."""
    head = data[offset : offset + _HEADER.size]
    if len(head) < _HEADER.size or head[:4] != MAGIC:
        return None
    (stored,) = _CRC.unpack_from(data, offset + _HEADER.size)
    if stored != crc32(head, nonce):
        return None
    _, count, found, sequence, upto, at, length, body_crc, previous = _HEADER.unpack(head)
    body = data[offset + HEADER : offset + HEADER + length]
    if found != epoch or len(body) != length or crc32(body) != body_crc:
        return None
    end = offset + HEADER + length
    end += -end % SECTOR
    return Record(sequence, upto, body, stored, count, at, end), previous


def decode_body(body: bytes, count: int) -> Iterator[Entry]:
    """The entries of a body that passed its checksum."""
    at = 0
    for _ in range(count):
        kind = body[at]
        if kind == PAGES:
            _, uid, generation, size, pages = _PAGES.unpack_from(body, at)
            at += _PAGES.size
            numbers: Sequence[int] = struct.unpack_from(f"<{pages}I", body, at)
            at += 4 * pages
            images = {
                n: body[at + i * PAGE_SIZE : at + (i + 1) * PAGE_SIZE]
                for i, n in enumerate(numbers)
            }
            at += pages * PAGE_SIZE
            yield Entry(kind, uid, generation, Commit(size, images))
        else:
            _, uid, generation = _SHORT.unpack_from(body, at)
            at += _SHORT.size
            yield Entry(kind, uid, generation)
