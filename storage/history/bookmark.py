"""Bookmarks: names of moments in the life of a tree."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

from storage.errors import NotABookmark

_FORM = re.compile(r"[0-9a-f]{8}-[0-9a-f]{16}")


@dataclass(frozen=True, slots=True, order=True)
class Bookmark:
    """The moment after a commit of this host: `epoch(8 hex)-sequence(16 hex)`.

    Later ones compare greater, and so do their texts. A tree at a bookmark is as its newest
    commit at or before it left it, so every bookmark of a host is good for every tree.
    """

    epoch: int
    sequence: int

    def __str__(self) -> str:
        return f"{self.epoch:08x}-{self.sequence:016x}"

    @classmethod
    def parse(cls, text: str) -> Bookmark:
        """The bookmark that prints as `text`; `NotABookmark` if none does."""
        if not _FORM.fullmatch(text):
            raise NotABookmark(f"{text[:60]!r} is not a bookmark", text=text)
        epoch, sequence = text.split("-")
        return cls(int(epoch, 16), int(sequence, 16))


ORIGIN = Bookmark(0, 0)
"""Before everything."""


class Mark(NamedTuple):
    """A bookmark and when it was made."""

    bookmark: Bookmark
    time: int
    """Microseconds since 1970."""


START = Mark(ORIGIN, 0)
