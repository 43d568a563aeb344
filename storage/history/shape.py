"""Which files make up the history of a tree, at one moment."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from storage.history.bookmark import Mark
from storage.history.file import BlockFile
from storage.history.scan import Tail


@dataclass(frozen=True, slots=True)
class Section:
    """A file with what its successor, or the log, knows of it."""

    file: BlockFile
    end: int
    newest: Mark
    """The newest bookmark and time up to its end."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The files at one moment. Replaced as a whole: readers take it once and need no lock."""

    files: tuple[BlockFile, ...]
    tail: Tail

    @property
    def oldest(self) -> Mark:
        """What the files lead back to."""
        return self.files[0].base if self.files else self.tail.newest

    @property
    def sections(self) -> list[Section]:
        """All files, newest first."""
        ends = [(file, after.previous, after.base) for file, after in pairwise(self.files)]
        if self.files:
            ends.append((self.files[-1], self.tail.end, self.tail.newest))
        return [Section(*one) for one in reversed(ends)]

    @property
    def size(self) -> int:
        """Bytes that count."""
        return sum(section.end for section in self.sections)
