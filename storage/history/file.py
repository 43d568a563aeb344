"""The files of one tree's history, by their names.

    ORDINAL.EPOCH-SEQUENCE.TIME.LENGTH.v1        all in hex

The content is blocks, one behind the other, and nothing else: the name is the index. ORDINAL
counts up by one, so the files that count are the newest and those in front of it without a
hole. Bookmark and time are the newest of all files before: the oldest state that this file and
those behind it lead back to. LENGTH is how many bytes of the file before count; what a failed
append left behind them does not. So a file is never cut, and nothing is ever written over.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from zlib import crc32

from storage.errors import StateFormat
from storage.history.bookmark import Bookmark, Mark

_NAME = re.compile(r"([0-9a-f]{8})\.([0-9a-f]{8}-[0-9a-f]{16})\.([0-9a-f]{16})\.([0-9a-f]{12})\.v1")


@dataclass(frozen=True)
class BlockFile:
    """A file by its name; it need not exist."""

    folder: Path
    ordinal: int
    base: Mark
    """The newest bookmark and time of all files before."""
    previous: int
    """Bytes of the file before that count."""

    @cached_property
    def path(self) -> Path:
        """Where it is."""
        base = self.base
        name = f"{self.ordinal:08x}.{base.bookmark}.{base.time:016x}.{self.previous:012x}.v1"
        return self.folder / name

    @cached_property
    def seed(self) -> int:
        """What sets its blocks apart from those of any other file."""
        return crc32(self.path.name.encode())

    @classmethod
    def parse(cls, path: Path) -> BlockFile:
        """The file with that name; `StateFormat` if it is none of ours."""
        match = _NAME.fullmatch(path.name)
        if match is None:
            raise StateFormat(
                f"{path} is not a history file that this version can read",
                path=str(path),
                found=path.name,
            )
        ordinal, bookmark, time, previous = match.groups()
        base = Mark(Bookmark.parse(bookmark), int(time, 16))
        return cls(path.parent, int(ordinal, 16), base, int(previous, 16))


def listed(folder: Path) -> list[BlockFile]:
    """All files of a folder, oldest first; none if the folder is missing."""
    try:
        paths = list(folder.iterdir())
    except FileNotFoundError:
        return []
    return sorted([BlockFile.parse(path) for path in paths], key=lambda file: file.ordinal)


def unbroken(files: list[BlockFile]) -> tuple[BlockFile, ...]:
    """The newest file and those before it without a hole.

    Names are removed oldest first, but a crash may bring back any of them.
    """
    start = max(len(files) - 1, 0)
    while start and files[start - 1].ordinal + 1 == files[start].ordinal:
        start -= 1
    return tuple(files[start:])
