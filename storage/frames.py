"""The pages of one commit, read from the -wal after COMMIT returned.

A -wal is a 32-byte header and frames of a 24-byte header and a page: page number, database
size in pages (non-zero only on the last frame of a commit), salt, checksum; all big-endian.
SQLite may restart the file from its beginning with a new salt after a checkpoint, and never
shortens it: whatever stands behind the newest commit is stale, so the file's size means
nothing and the hook's frame count everything. Reading earlier than COMMIT is wrong: frames
spilled during a transaction are rewritten in place.
"""

from __future__ import annotations

import contextlib
import os
import struct
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from storage.errors import DatabaseCorrupt
from storage.limits import PAGE_SIZE

WAL_HEADER = 32
FRAME = 24 + PAGE_SIZE
_EMPTYING = threading.Lock()
_NUMBERS = struct.Struct(">II")


class Commit(NamedTuple):
    """What one commit left in a database: its size in pages and the images it wrote."""

    size: int
    pages: dict[int, bytes]


@dataclass(frozen=True, slots=True)
class Mark:
    """Where in the -wal a commit stands that is not in the database file yet."""

    sequence: int
    time: int
    """Microseconds since 1970."""
    first: int
    last: int
    """Frames."""
    before: int
    """Pages of the database before it; 0 for the first commit of all."""
    began: bool
    """The actor began with it: until then the catalogue had no row of it."""


class FrameReader:
    """Reads each commit of one -wal exactly once; the position outlives the connection."""

    __slots__ = ("base", "fd", "path", "previous", "salt", "stale")

    def __init__(self, path: Path) -> None:
        self.path = path
        self.fd = -1
        self.base = 0
        """Frames already read."""
        self.previous = 0
        """`base` before the newest commit; 0 if that commit restarted the file."""
        self.salt = b""
        self.stale = False
        """All of it stands in the database file: `reset` must come before the next connection."""

    def open(self) -> None:
        """Have a descriptor. Before COMMIT: afterwards it is too late to find that there is none
        left. Nothing happens without a -wal: then there is nothing to commit either."""
        if self.fd < 0:
            with contextlib.suppress(FileNotFoundError):
                self.fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)

    def read(self, count: int) -> Commit:
        """The commit that ends at frame `count`, as the wal hook counted it."""
        self.open()
        first = self.base + 1 if count > self.base else 1
        data = self._frames(first, count)
        if first > 1 and data[8:16] != self.salt:
            first, data = 1, self._frames(1, count)
        if first == 1:
            self.salt = data[8:16]
        commit = self._decode(data)
        self.previous = first - 1
        self.base = count
        return commit

    def truncate_last(self) -> None:
        """Forget the newest commit; the connection must be closed."""
        self.close()
        os.truncate(self.path, WAL_HEADER + self.previous * FRAME if self.previous else 0)
        self.base = self.previous

    def reset(self) -> None:
        """Empty the -wal if it is stale; the connection is closed. On any thread.

        Otherwise the next one would begin behind it, and it would grow with every opening. A
        file system that is busy with syncs lets it wait for a millisecond, or several.
        """
        with _EMPTYING:
            if self.stale and self.base:
                with contextlib.suppress(OSError):  # then it only stays longer
                    os.truncate(self.path, 0)
                    self.base = self.previous = 0
            self.stale = False

    @property
    def first(self) -> int:
        """The first frame of the newest commit."""
        return self.previous + 1

    def close(self) -> None:
        """Close the descriptor; position and salt stay for the next connection."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def _frames(self, first: int, last: int) -> bytes:
        return _read(self.fd, self.path, first, last)

    def _decode(self, data: bytes) -> Commit:
        pages: dict[int, bytes] = {}
        size = 0
        for at in range(0, len(data), FRAME):
            number, size = _NUMBERS.unpack_from(data, at)
            if data[at + 8 : at + 16] != self.salt:
                raise DatabaseCorrupt(f"{self.path} mixes two generations", path=str(self.path))
            pages[number] = data[at + 24 : at + FRAME]
        if not size:
            raise DatabaseCorrupt(f"{self.path} ends inside a commit", path=str(self.path))
        for number in [number for number in pages if number > size]:
            del pages[number]
        return Commit(size, pages)


def read_commit(fd: int, path: Path, first: int, last: int) -> Commit:
    """The frames of one commit, or of several in a row folded into one, read again.

    They stay as they are until the file is checkpointed and restarts.
    """
    pages, size = read_frames(fd, path, first, last)
    return Commit(size, {number: page for number, page in pages.items() if number <= size})


def read_frames(fd: int, path: Path, first: int, last: int) -> tuple[dict[int, bytes], int]:
    """The newest image of each page in these frames, and the size that the last commit which
    ends among them left; 0 if none does: they are a part of a longer one."""
    pages: dict[int, bytes] = {}
    size = 0
    data = _read(fd, path, first, last)
    for at in range(0, len(data), FRAME):
        number, found = _NUMBERS.unpack_from(data, at)
        size = found or size
        pages[number] = data[at + 24 : at + FRAME]
    return pages, size


def numbers(fd: int, path: Path, first: int, last: int) -> dict[int, int]:
    """Which of these frames has the newest image of each page."""
    data = _read(fd, path, first, last)
    starts = range(0, len(data), FRAME)
    return {_NUMBERS.unpack_from(data, at)[0]: first + i for i, at in enumerate(starts)}


def _read(fd: int, path: Path, first: int, last: int) -> bytes:
    want = (last - first + 1) * FRAME
    at = WAL_HEADER + (first - 1) * FRAME
    data = os.pread(fd, want, at)
    while len(data) < want:  # the kernel reads at most 2 GiB at once
        more = os.pread(fd, want - len(data), at + len(data))
        if not more:
            raise DatabaseCorrupt(f"{path} ends before frame {last}", path=str(path))
        data += more
    return data
