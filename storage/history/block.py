"""Blocks: the unit of a history file. Format 1, little-endian.

    header   magic "FHB1" | body length u32 | group u32 | more u8 | generation u32 | uid u64 |
             before, first, last: bookmarks | begun, ended: time u64 |
             body crc u32 | header crc u32                                       85 bytes
    body     entries of one database, oldest first; each begins
             kind u8 | bookmark | time u64
      CHANGED      1   size before u32 | size after u32 | floor u32 | count u32 |
                       count x (page number u32, length u16, crc u32) | deltas
      JOINED       2   bookmark | as CHANGED
      CREATED      3   \\
      DELETED      4    > parent u64 | length of kind u16, of name u16 | kind | name, UTF-8
      MOVED        5   /

A bookmark is epoch u32 | sequence u64; a time is microseconds since 1970. `before` is the newest
bookmark of everything in front of the block, whichever database it was of: if blocks are
damaged, the next intact one says which bookmarks went with them. `first` to `last` and `begun`
to `ended` span the entries. The blocks of one append are a group, numbered from 1 in each
file, and count only together: `more` says that another one of the group follows. The header
crc is seeded with the file's name and the block's place, so that no copy of a block counts.

CHANGED says what pages were before the change: for a page numbered up to `floor` the delta to
what it is after it, above `floor` the delta to nothing. `floor` is the smallest size that the
database had from before the change to after it; a page above it was not there at one moment.
Pages above `size before` have no delta: going back drops them. `crc` is that of the page's
image before the change, normalised, and is checked when it is restored. JOINED is a run of
commits as one change, from that of its own bookmark to that of the entry.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple
from zlib import crc32

from storage.history.bookmark import Bookmark, Mark

MAGIC = b"FHB1"
_HEADER = struct.Struct("<4sIIBIQ IQ IQ IQ QQ I")
_CRC = struct.Struct("<I")
HEADER = _HEADER.size + _CRC.size
_ENTRY = struct.Struct("<BIQQ")
_BOOKMARK = struct.Struct("<IQ")
_CHANGED = struct.Struct("<IIII")
_PAGE = struct.Struct("<IHI")
_EVENT = struct.Struct("<QHH")
_PLACE = struct.Struct("<QI")
_COMMIT, _JOINED = 1, 2


class Node(NamedTuple):
    """Where an actor stands in its tree."""

    parent: int
    """Uid of the actor above; 0 for a root."""
    kind: str
    name: str


class PageDelta(NamedTuple):
    """What one change did to one page."""

    number: int
    crc: int
    """Of the image before the change."""
    data: bytes | memoryview


@dataclass(frozen=True, slots=True)
class Changed:
    """One commit of one database, or a part of it, or a run of commits joined into one."""

    mark: Mark
    since: Bookmark
    """The oldest commit that was joined; that of `mark` if it is one commit."""
    before: int
    after: int
    floor: int
    pages: tuple[PageDelta, ...]

    def encode(self) -> bytes:
        """The entry as bytes."""
        joined = self.since != self.mark.bookmark
        return b"".join((
            _ENTRY.pack(_JOINED if joined else _COMMIT, *_fields(self.mark)),
            _BOOKMARK.pack(self.since.epoch, self.since.sequence) if joined else b"",
            _CHANGED.pack(self.before, self.after, self.floor, len(self.pages)),
            *[_PAGE.pack(page.number, len(page.data), page.crc) for page in self.pages],
            *[page.data for page in self.pages],
        ))  # fmt: skip


class Happened(IntEnum):
    """What may happen to an actor besides commits."""

    CREATED = 3
    DELETED = 4
    MOVED = 5


@dataclass(frozen=True, slots=True)
class Event:
    """An actor came into its tree, went, or changed its parent or name."""

    kind: Happened
    mark: Mark
    node: Node
    """CREATED: what it became; DELETED and MOVED: what it was."""

    @property
    def since(self) -> Bookmark:
        """Its bookmark: an event is never joined with anything."""
        return self.mark.bookmark

    def encode(self) -> bytes:
        """The entry as bytes."""
        kind, name = self.node.kind.encode(), self.node.name.encode()
        return b"".join((
            _ENTRY.pack(self.kind, *_fields(self.mark)),
            _EVENT.pack(self.node.parent, len(kind), len(name)),
            kind,
            name,
        ))  # fmt: skip


Entry = Changed | Event


@dataclass(frozen=True, slots=True)
class Block:
    """Entries of one database, oldest first, at least one; not yet in any file."""

    uid: int
    generation: int
    entries: tuple[Entry, ...]

    @property
    def newest(self) -> Mark:
        """The newest bookmark of its entries, and the latest time."""
        marks = [entry.mark for entry in self.entries]
        return Mark(max(mark.bookmark for mark in marks), max(mark.time for mark in marks))

    @property
    def oldest(self) -> Mark:
        """The oldest bookmark of its entries, and the earliest time."""
        marks = [entry.mark for entry in self.entries]
        oldest = min(entry.since for entry in self.entries)
        return Mark(oldest, min(mark.time for mark in marks))


class Header(NamedTuple):
    """What a block says of itself, and its place among the others."""

    length: int
    group: int
    more: bool
    generation: int
    uid: int
    before: Bookmark
    oldest: Mark
    newest: Mark
    body_crc: int


def encode(block: Block, before: Bookmark, group: int, more: bool, place: int) -> bytes:
    """The block as bytes; `place` is a `seed` of where they will stand."""
    body = b"".join([entry.encode() for entry in block.entries])
    oldest, newest = block.oldest, block.newest
    head = _HEADER.pack(
        MAGIC, len(body), group, more, block.generation, block.uid,
        before.epoch, before.sequence,
        oldest.bookmark.epoch, oldest.bookmark.sequence,
        newest.bookmark.epoch, newest.bookmark.sequence,
        oldest.time, newest.time, crc32(body),
    )  # fmt: skip
    return b"".join((head, _CRC.pack(crc32(head, place)), body))


def seed(file: int, at: int) -> int:
    """What the header crc of a block at byte `at` of a file starts from."""
    return crc32(_PLACE.pack(at, file))


def decode_header(data: bytes, place: int) -> Header | None:
    """The header that `data` begins with; None if it is not intact, or not from this place."""
    if len(data) < HEADER or data[:4] != MAGIC:
        return None
    (stored,) = _CRC.unpack_from(data, _HEADER.size)
    if stored != crc32(data[: _HEADER.size], place):
        return None
    (
        _, length, group, more, generation, uid, before_epoch, before, first_epoch, first,
        last_epoch, last, begun, ended, body_crc,
    ) = _HEADER.unpack_from(data)  # fmt: skip
    return Header(
        length,
        group,
        bool(more),
        generation,
        uid,
        Bookmark(before_epoch, before),
        Mark(Bookmark(first_epoch, first), begun),
        Mark(Bookmark(last_epoch, last), ended),
        body_crc,
    )


def decode_body(body: bytes) -> Iterator[Entry]:
    """The entries of a body that passed its checksum, oldest first."""
    at, view = 0, memoryview(body)
    while at < len(body):
        kind, epoch, sequence, time = _ENTRY.unpack_from(body, at)
        mark = Mark(Bookmark(epoch, sequence), time)
        at += _ENTRY.size
        since = mark.bookmark
        if kind == _JOINED:
            since = Bookmark(*_BOOKMARK.unpack_from(body, at))
            at += _BOOKMARK.size
        if kind in (_COMMIT, _JOINED):
            entry, at = _decode_changed(mark, since, view, at)
        else:
            entry, at = _decode_event(Happened(kind), mark, view, at)
        yield entry


def _decode_changed(mark: Mark, since: Bookmark, view: memoryview, at: int) -> tuple[Entry, int]:
    before, after, floor, count = _CHANGED.unpack_from(view, at)
    at += _CHANGED.size
    table = view[at : at + count * _PAGE.size]
    at += len(table)
    pages = []
    for number, length, crc in _PAGE.iter_unpack(table):
        pages.append(PageDelta(number, crc, view[at : at + length]))
        at += length
    return Changed(mark, since, before, after, floor, tuple(pages)), at


def _decode_event(kind: Happened, mark: Mark, view: memoryview, at: int) -> tuple[Entry, int]:
    parent, kind_length, name_length = _EVENT.unpack_from(view, at)
    at += _EVENT.size
    middle, end = at + kind_length, at + kind_length + name_length
    node = Node(parent, str(view[at:middle], "utf-8"), str(view[middle:end], "utf-8"))
    return Event(kind, mark, node), end


def _fields(mark: Mark) -> tuple[int, int, int]:
    return mark.bookmark.epoch, mark.bookmark.sequence, mark.time
