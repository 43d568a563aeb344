"""Reading history files: which blocks they hold, where they end, and what is damaged.

A file that has a successor is as long as the successor's name says. The newest ends where its
last whole group does. That group may be torn anywhere, as its append may never have returned;
a bad place with an intact later group behind it was acknowledged, and is damage.
"""

from __future__ import annotations

import os
from types import TracebackType
from typing import NamedTuple, Self
from zlib import crc32

from storage.disk import Disk
from storage.history.block import HEADER, MAGIC, Entry, Header, decode_body, decode_header, seed
from storage.history.bookmark import Bookmark, Mark
from storage.history.file import BlockFile


class Located(NamedTuple):
    """A block whose header is intact."""

    file: BlockFile
    at: int
    header: Header

    @property
    def end(self) -> int:
        """Where the next block begins."""
        return self.at + HEADER + self.header.length


class Damage(NamedTuple):
    """Bytes that should be blocks and are not."""

    file: BlockFile
    at: int
    upto: Bookmark
    """No bookmark that they held is newer."""


class Tail(NamedTuple):
    """Where the newest file ends."""

    end: int
    torn: bool
    """Something stands behind the end."""
    group: int
    """Number of its last group; 0 without one."""
    newest: Mark
    """The newest bookmark and time of this file and all before it."""
    begun: int
    """Time of its first entry; 0 without one."""


class Reader:
    """An open history file; a context manager. A missing file is FileNotFoundError."""

    def __init__(self, disk: Disk, file: BlockFile) -> None:
        self.disk = disk
        self.file = file
        self._fd = disk.open(file.path, os.O_RDONLY)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.disk.close(self._fd)

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return os.fstat(self._fd).st_size

    def block(self, at: int) -> Located | None:
        """The block that begins at this byte, if its header is intact."""
        header = decode_header(self.disk.read(self._fd, HEADER, at), seed(self.file.seed, at))
        return None if header is None else Located(self.file, at, header)

    def body(self, block: Located) -> bytes | None:
        """The body of a block, if it is intact."""
        body = self.disk.read(self._fd, block.header.length, block.at + HEADER)
        whole = len(body) == block.header.length and crc32(body) == block.header.body_crc
        return body if whole else None

    def next_block(self, at: int, end: int, group: int = 0) -> Located | None:
        """The first intact header from `at` on, of this group or a later one."""
        data = self.disk.read(self._fd, end - at, at)
        place = data.find(MAGIC)
        while place >= 0:
            header = decode_header(data[place : place + HEADER], seed(self.file.seed, at + place))
            if header is not None and header.group >= group:
                return Located(self.file, at + place, header)
            place = data.find(MAGIC, place + 1)
        return None


def scan(disk: Disk, file: BlockFile, end: int, newest: Bookmark) -> list[Located | Damage]:
    """The blocks in the first `end` bytes, oldest first, and the damage between them.

    Reads headers only; `load` finds what is damaged in a body. `newest` is the newest
    bookmark of this file and all before it.
    """
    found: list[Located | Damage] = []
    at = 0
    with Reader(disk, file) as reader:
        while at < end:
            block = reader.block(at)
            if block is None or block.end > end:
                block = reader.next_block(at + 1, end)
                upto = newest if block is None else block.header.before
                found.append(Damage(file, at, upto))
            if block is None:
                break
            found.append(block)
            at = block.end
    return found


def load(disk: Disk, block: Located) -> list[Entry] | Damage:
    """The entries of a block, oldest first, or the news that its body is damaged."""
    with Reader(disk, block.file) as reader:
        body = reader.body(block)
    if body is None:
        return Damage(block.file, block.at, block.header.newest.bookmark)
    return list(decode_body(body))


def find_tail(disk: Disk, file: BlockFile) -> Tail:
    """Where the newest file ends."""
    with Reader(disk, file) as reader:
        size = reader.size
        groups = _groups(reader, size)
        if groups and any(reader.body(block) is None for block in groups[-1]):
            groups.pop()
    if not groups:
        return Tail(0, size > 0, 0, file.base, 0)
    newest = file.base
    for header in [block.header for group in groups for block in group]:
        bookmark = max(newest.bookmark, header.before, header.newest.bookmark)
        newest = Mark(bookmark, max(newest.time, header.newest.time))
    last = groups[-1][-1]
    return Tail(
        last.end, size > last.end, last.header.group, newest, groups[0][0].header.oldest.time
    )


def _groups(reader: Reader, size: int) -> list[list[Located]]:
    """The groups whose headers are all there; damage may have taken some in between."""
    groups: list[list[Located]] = []
    held: list[Located] = []
    at, expected = 0, 1
    while at < size:
        block = reader.block(at)
        if block is None or block.end > size:
            block, held = reader.next_block(at + 1, size, expected + 1), []
        if block is None:
            break
        held.append(block)
        at, expected = block.end, block.header.group
        if not block.header.more:
            groups.append(held)
            held, expected = [], expected + 1
    return groups
