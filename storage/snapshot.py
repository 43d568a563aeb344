"""Database files as of one moment, copied while their actors go on.

A cut notes for each database how far its -wal goes; nothing that stands up to there changes
while the database is held, since only a checkpoint would move it. The copy is made on another
thread: the file, shared with the original where the file system can (reflink), and the pages of
the -wal laid over it. The result is an ordinary database file, complete.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from storage.disk import Disk
from storage.frames import read_frames
from storage.limits import PAGE_SIZE
from storage.syncing import sync_directories

if TYPE_CHECKING:
    from storage.database import Database

_RUN = 64
"""Frames read at a time."""
_CANNOT = {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}


@dataclass(frozen=True, slots=True)
class Cut:
    """One database at one moment."""

    path: Path
    frames: tuple[int, int] | None
    """The first and last frame that the file lacks."""
    size: int
    """In pages."""


def cut(database: Database) -> Cut:
    """This moment of a database that is held. It has a file."""
    assert database.path is not None  # noqa: S101 - it has a file
    marks = database.marks
    frames = (marks[0].first, marks[-1].last) if marks else None
    return Cut(database.path, frames, database.size() // PAGE_SIZE)


def copy(disk: Disk, one: Cut, target: Path) -> None:
    """Make the file of a cut; it is not synced. On any thread."""
    fd = disk.open(target, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    try:
        _copy_file(disk, one.path, fd)
        if one.frames is not None:
            _lay_over(disk, one, fd)
        disk.truncate(fd, one.size * PAGE_SIZE)
    finally:
        disk.close(fd)


def read(disk: Disk, one: Cut) -> bytes:
    """The bytes of a cut. On any thread; memory holds all of it."""
    data = bytearray(disk.read_file(one.path)[: one.size * PAGE_SIZE])
    data.extend(bytes(one.size * PAGE_SIZE - len(data)))
    if one.frames is not None:
        wal = one.path.with_name(one.path.name + "-wal")
        fd = disk.open(wal, os.O_RDONLY)
        try:
            pages, _ = read_frames(fd, wal, *one.frames)
        finally:
            disk.close(fd)
        for number, page in pages.items():
            if number > one.size:
                continue
            data[(number - 1) * PAGE_SIZE : number * PAGE_SIZE] = page
    return bytes(data)


def _copy_file(disk: Disk, source: Path, target: int) -> None:
    fd = disk.open(source, os.O_RDONLY)
    try:
        size, at = os.fstat(fd).st_size, 0
        while at < size:
            try:
                at += os.copy_file_range(fd, target, size - at, at, at)
            except OSError as error:
                if error.errno not in _CANNOT:
                    raise
                data = disk.read(fd, 1 << 20, at)
                disk.write(target, data, at)
                at += len(data)
    finally:
        disk.close(fd)


def _lay_over(disk: Disk, one: Cut, target: int) -> None:
    assert one.frames is not None  # noqa: S101 - the caller looked
    first, last = one.frames
    wal = one.path.with_name(one.path.name + "-wal")
    fd = disk.open(wal, os.O_RDONLY)
    try:
        for at in range(first, last + 1, _RUN):
            # Not `read_commit`: a run may end inside a commit, or hold no end of any.
            pages, _ = read_frames(fd, wal, at, min(at + _RUN - 1, last))
            for number, page in pages.items():
                if number <= one.size:
                    disk.write(target, page, (number - 1) * PAGE_SIZE)
    finally:
        disk.close(fd)


def sync_folders(disk: Disk, paths: Sequence[Path]) -> None:
    """Make the names of these files durable, and those of their folders."""
    folders = {path.parent for path in paths}
    sync_directories(disk, list(folders | {one.parent for one in folders}))
