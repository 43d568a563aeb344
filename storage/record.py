"""Records: the unit of the journal, all of it durable or none.

Layout, little-endian, padded with zeros to 512 bytes so that writing a record never touches a
sector that holds an older one:

    header   magic "FREC" | entries u32 | epoch u64 | sequence u64 | durable_upto u64 |
             time u64, microseconds since 1970 | body length u32 | body crc u32 |
             previous u32 | made u32 | header crc u32 | zero u32               64 bytes
    body     entries, one after the other; each begins
             kind u8 | uid u64 | generation u32 | whose history it is in u64
      PAGES  1: pages in the database u32 | count u32 |
             count x (page number u32, gap start u16, gap length u16) |
             count images of 4096 bytes, each without its gap
      CREATE 2: the file begins as the template image
      DELETE 3: the file and its -wal are removed
      BIND   4: the file of this generation, complete and synced before the record, takes the
             place of the one before
      ROW    5: an actor begins; it has no file, unless CREATE or BIND follows
      MOVE   6: an actor has another parent or name from now on; it stood at the place given
      FORGET 7: nobody is left whose history is in that tree's; it is removed
             the last six: replaced generation u32 (0: none) | uid of the parent u64 |
             length of kind u16 | length of name u16 | kind | name, UTF-8

`previous` is the header crc of the record before (of the segment header for the first), so a
record counts only behind the very records it was written behind. The header crc is seeded with
the segment's nonce: records of an earlier life of the same file never look intact. `epoch` is
the segment's; `made` is the epoch in which the commit was made, which recovery keeps when it
writes a record again. `durable_upto` is the newest sequence known to be on disk when the record
was made; it tells a torn tail from damage. Uids and generations are never reused.

The gap is the unallocated middle of a b-tree leaf: leaving it out halves the journal, and a page
that comes back through recovery has zeros there.

Limits: a body has at most 2**32-1 bytes; a database at most 2**32-1 pages.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple
from zlib import crc32

from storage.errors import StateFormat
from storage.frames import Commit
from storage.limits import PAGE_SIZE
from storage.pages import MAX_PAGES, gap

SECTOR = 512
MAX_BODY = (1 << 32) - 1
HEADER = 64
_HEADER = struct.Struct("<4sIQQQQIIII")
_CRC = struct.Struct("<I")
_PACKED = struct.Struct("<IIQ")
_HEAD = struct.Struct("<BQIQ")
_PAGES = struct.Struct("<II")
_EVENT = struct.Struct("<IQHH")
_PAGE = struct.Struct("<IHH")
MAGIC = b"FREC"
PAGES, CREATE, DELETE, BIND, ROW, MOVE, FORGET = 1, 2, 3, 4, 5, 6, 7
_EVENTS = (CREATE, DELETE, BIND, ROW, MOVE, FORGET)
OF_FILES = (PAGES, CREATE, DELETE, BIND)
"""What says something of a database file."""
assert _HEADER.size + _CRC.size == HEADER - 4  # noqa: S101 - four bytes to spare


class Place(NamedTuple):
    """Where an actor stands."""

    parent: int
    """Uid of the actor above; 0 for a root."""
    kind: str
    name: str


NOWHERE = Place(0, "", "")


@dataclass(frozen=True, slots=True)
class Entry:
    """What one record says about one database file."""

    kind: int
    uid: int
    generation: int = 1
    commit: Commit | None = None
    """Size and pages; of PAGES only."""
    tree: int = 0
    """Uid of the root of the tree whose history it is in."""
    place: Place = NOWHERE
    """Not of PAGES."""
    replaces: int = 0
    """Of BIND: the generation that it takes the place of; 0 if it is the first."""

    def encode(self) -> bytes:
        """The entry as bytes."""
        head = _HEAD.pack(self.kind, self.uid, self.generation, self.tree)
        commit = self.commit
        if commit is None:
            kind, name = self.place.kind.encode(), self.place.name.encode()
            event = _EVENT.pack(self.replaces, self.place.parent, len(kind), len(name))
            return b"".join((head, event, kind, name))
        size, pages = commit
        heads = [head, _PAGES.pack(size, len(pages))]
        images: list[bytes] = []
        for number, image in pages.items():
            start, length = gap(image, number) if size < MAX_PAGES else (0, 0)
            heads.append(_PAGE.pack(number, start, length))
            if length:
                images += (image[:start], image[start + length :])
            else:
                images.append(image)
        return b"".join(heads + images)


def forget(home: int) -> Entry:
    """Nobody needs this history any more."""
    return Entry(FORGET, home, tree=home)


@dataclass(frozen=True, slots=True)
class Record:
    """A record found intact."""

    sequence: int
    durable_upto: int
    body: bytes
    crc: int
    count: int
    time: int
    made: int
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


def now() -> int:
    """The wall clock, in microseconds since 1970."""
    return time.time_ns() // 1000


def encode(
    chain: Chain, sequence: int, durable_upto: int, body: bytes, count: int, at: int, made: int
) -> tuple[bytes, int]:
    """A record as padded bytes, and its crc, which the next record carries as `previous`."""
    epoch, nonce, previous = chain.epoch, chain.nonce, chain.previous
    head = _HEADER.pack(
        MAGIC, count, epoch, sequence, durable_upto, at, len(body), crc32(body), previous, made
    )
    crc = crc32(head, nonce)
    padding = -(HEADER + len(body)) % SECTOR
    return b"".join((head, _CRC.pack(crc), bytes(4), body, bytes(padding))), crc


def decode(data: bytes, offset: int, epoch: int, nonce: int) -> tuple[Record, int] | None:
    """The intact record at `offset` with its `previous`; None if there is none."""
    head = data[offset : offset + _HEADER.size]
    if len(data) - offset < HEADER or head[:4] != MAGIC:
        return None
    (stored,) = _CRC.unpack_from(data, offset + _HEADER.size)
    if stored != crc32(head, nonce):
        return None
    _, count, found, sequence, upto, at, length, body_crc, previous, made = _HEADER.unpack(head)
    body = data[offset + HEADER : offset + HEADER + length]
    if found != epoch or len(body) != length or crc32(body) != body_crc:
        return None
    end = offset + HEADER + length
    end += -end % SECTOR
    return Record(sequence, upto, body, stored, count, at, made, end), previous


class Stamp(NamedTuple):
    """When a commit was made."""

    epoch: int
    time: int
    """Microseconds since 1970."""


NEVER = Stamp(0, 0)


def pack(body: bytes, count: int, stamp: Stamp = NEVER) -> bytes:
    """A record without its header, for a log that has one of its own."""
    return _PACKED.pack(count, *stamp) + body


def unpack(data: bytes) -> Iterator[Entry]:
    """The entries of what `pack` made."""
    return decode_body(data[_PACKED.size :], _PACKED.unpack_from(data)[0])


def stamp_of(data: bytes) -> Stamp:
    """When the commit of what `pack` made was made."""
    return Stamp(*_PACKED.unpack_from(data)[1:])


def decode_body(body: bytes, count: int) -> Iterator[Entry]:
    """The entries of a body that passed its checksum. `StateFormat` for a kind that this version
    does not know: to skip it would lose what it says."""
    at = 0
    for _ in range(count):
        kind, uid, generation, tree = _HEAD.unpack_from(body, at)
        at += _HEAD.size
        if kind == PAGES:
            size, pages = _PAGES.unpack_from(body, at)
            images, at = _decode_pages(body, at + _PAGES.size, pages)
            yield Entry(kind, uid, generation, Commit(size, images), tree)
        elif kind not in _EVENTS:
            raise StateFormat(f"the journal has an entry of kind {kind}", path="", found=kind)
        else:
            replaces, parent, middle, end = _EVENT.unpack_from(body, at)
            at += _EVENT.size
            middle, end = at + middle, at + middle + end
            place = Place(parent, body[at:middle].decode(), body[middle:end].decode())
            at = end
            yield Entry(kind, uid, generation, None, tree, place, replaces)


def _decode_pages(body: bytes, at: int, count: int) -> tuple[dict[int, bytes], int]:
    image = at + count * _PAGE.size
    pages: dict[int, bytes] = {}
    for number, start, length in _PAGE.iter_unpack(body[at:image]):
        if length:
            end = image + PAGE_SIZE - length
            pages[number] = body[image : image + start] + bytes(length) + body[image + start : end]
        else:
            end = image + PAGE_SIZE
            pages[number] = body[image:end]
        image = end
    return pages, image
