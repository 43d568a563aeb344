"""What the history of a tree tells: its bookmarks, and its blocks on the way back."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from itertools import islice

from storage.disk import Disk
from storage.errors import BookmarkGone, HistoryCorrupt
from storage.history.block import Entry
from storage.history.bookmark import Bookmark, Mark
from storage.history.file import BlockFile
from storage.history.scan import Damage, Located, load, scan
from storage.history.shape import Section, Shape

_NEVER = Bookmark(1 << 32, 0)
"""Newer than any bookmark."""


class TreeView:
    """A history as it is read. Blocks; one thread may read while another writes."""

    def __init__(self, disk: Disk, shape: Shape) -> None:
        self.disk = disk
        self._shape = shape

    @property
    def oldest(self) -> Mark:
        """The oldest bookmark that can be restored, if nothing is damaged or joined across
        it; `START` if every moment since the tree began can."""
        return self._shape.oldest

    @property
    def newest(self) -> Mark:
        """The newest bookmark and time of all entries. Newer bookmarks are the present."""
        return self._shape.tail.newest

    @property
    def size(self) -> int:
        """Bytes on disk that count."""
        return self._shape.size

    def at(self, time: int) -> Bookmark:
        """The newest bookmark made at or before `time`, in microseconds since 1970.

        A bookmark counts as made no earlier than those before it, whatever the clock said.
        `BookmarkGone` if the history begins later. Commits that are not yet appended are
        unknown here.
        """
        shape = self._shape
        if shape.tail.newest.time <= time:
            return shape.tail.newest.bookmark
        over: list[Bookmark] = []
        upto: list[Bookmark] = []
        for section in shape.sections:
            for entry in self._all_entries(section):
                (upto if entry.mark.time <= time else over).append(entry.mark.bookmark)
            base, end = section.file.base, min(over, default=_NEVER)
            if base.time <= time and base.bookmark < end:
                return self.whole(max([base.bookmark, *[mark for mark in upto if mark < end]]))
        raise self.gone(f"the time {time}")

    def whole(self, bookmark: Bookmark) -> Bookmark:
        """The newest bookmark up to this one that is not inside a run of joined commits."""
        for item in self.walk(bookmark):
            if not isinstance(item, Located) or item.header.oldest.bookmark > bookmark:
                continue
            for entry in self.entries(item):
                if entry.since <= bookmark < entry.mark.bookmark:
                    return self.whole(Bookmark(entry.since.epoch, entry.since.sequence - 1))
        if bookmark < self.oldest.bookmark:
            raise self.gone(bookmark)
        return bookmark

    def marks(self, limit: int, before: Bookmark | None = None) -> list[Mark]:
        """The newest bookmarks of commits and events, newest first, at most `limit` of them,
        all older than `before`. What is joined, damaged or dropped is not among them."""
        found: dict[Bookmark, int] = {}
        runs: set[tuple[Bookmark, Bookmark]] = set()
        newest: list[tuple[Bookmark, int]] = []
        for section in self._shape.sections:
            for entry in self._all_entries(section):
                found[entry.mark.bookmark] = entry.mark.time
                if entry.since < entry.mark.bookmark:
                    runs.add((entry.since, entry.mark.bookmark))
            older = [one for one in found.items() if before is None or one[0] < before]
            newest = list(islice(_outside(sorted(older, reverse=True), runs), limit))
            if len(newest) == limit and section.file.base.bookmark < newest[-1][0]:
                break
        return [Mark(*one) for one in newest]

    def recorded(self, uids: Iterable[int]) -> dict[int, Bookmark]:
        """For each database the bookmark up to which the history has, or has dropped, its
        changes: recovery encodes what the journal has after it."""
        oldest = self.oldest.bookmark
        found: dict[int, Bookmark] = {}
        wanted = set(uids)
        for item in self.walk(oldest):
            if isinstance(item, Damage):
                # Whatever it held: the bookmarks up to there are lost already.
                found |= dict.fromkeys(wanted - found.keys(), item.upto)
            elif item.header.uid in wanted:
                found.setdefault(item.header.uid, item.header.newest.bookmark)
            if len(found) == len(wanted):
                break
        return {uid: max(oldest, found.get(uid, oldest)) for uid in wanted}

    def walk(self, bookmark: Bookmark) -> Iterator[Located | Damage]:
        """All blocks that may be newer than `bookmark`, newest first, and the damage between."""
        for section in self._shape.sections:
            if section.newest.bookmark <= bookmark:
                return
            yield from reversed(self._scan(section))

    def gone(self, what: object) -> BookmarkGone:
        """The error for something older than the history."""
        oldest = str(self.oldest.bookmark)
        return BookmarkGone(
            f"the history does not reach back to {what}",
            hint=f"the oldest bookmark kept is {oldest}",
            oldest=oldest,
        )

    def joined(self, bookmark: Bookmark, later: Bookmark) -> BookmarkGone:
        """The error for a bookmark inside a run of commits that were joined up to `later`."""
        return BookmarkGone(
            f"{bookmark} was joined with later commits",
            hint=f"the nearest bookmarks kept are {self.whole(bookmark)} and {later}",
            oldest=str(self.oldest.bookmark),
        )

    def corrupt(self, damage: Damage, what: str = "is damaged") -> HistoryCorrupt:
        """The error for a bookmark that lies behind damage."""
        path, first, last = damage.file.path, str(self.oldest.bookmark), str(damage.upto)
        return HistoryCorrupt(
            f"{path} {what} at byte {damage.at}: "
            f"the bookmarks from {first} to before {last} are lost",
            path=str(path),
            first=first,
            last=last,
        )

    def entries(self, block: Located) -> list[Entry]:
        """What a block says, oldest first. HistoryCorrupt, or BookmarkGone if it was dropped."""
        try:
            entries = load(self.disk, block)
        except FileNotFoundError as error:
            raise self._missing(block.file, block.header.newest.bookmark) from error
        if isinstance(entries, Damage):
            raise self.corrupt(entries)
        return entries

    def _all_entries(self, section: Section) -> Iterator[Entry]:
        """All that a file says, but for what is damaged or was dropped meanwhile."""
        with contextlib.suppress(BookmarkGone):
            for item in self._scan(section):
                if isinstance(item, Located):
                    with contextlib.suppress(HistoryCorrupt):
                        yield from self.entries(item)

    def _scan(self, section: Section) -> list[Located | Damage]:
        newest = section.newest.bookmark
        try:
            return scan(self.disk, section.file, section.end, newest)
        except FileNotFoundError as error:
            raise self._missing(section.file, newest) from error

    def _missing(self, file: BlockFile, newest: Bookmark) -> BookmarkGone | HistoryCorrupt:
        if file not in self._shape.files:
            return self.gone("there: it was dropped just now")
        return self.corrupt(Damage(file, 0, newest), "is missing")


def _outside(
    found: list[tuple[Bookmark, int]], runs: set[tuple[Bookmark, Bookmark]]
) -> Iterator[tuple[Bookmark, int]]:
    """Those that lie in no run of joined commits."""
    for one in found:
        if not any(first <= one[0] < last for first, last in runs):
            yield one
