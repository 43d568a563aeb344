"""The history of one tree: a folder of block files, added to at the end, dropped at the front.

An append is durable when it returns and happens as a whole or not at all. When it fails, the
file it wrote to is left as it is and the next append begins another one, whose name says how
much of that file counts: a descriptor whose sync failed is never trusted again.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

from storage.disk import Disk
from storage.errors import BookmarkGone, HistoryCorrupt
from storage.history.block import Block, Entry, encode, seed
from storage.history.bookmark import START, Bookmark, Mark
from storage.history.file import BlockFile, listed, unbroken
from storage.history.scan import Damage, Located, Tail, find_tail, load, scan
from storage.history.shape import Section, Shape
from storage.limits import HistoryLimits

FILE = 8 << 20
"""Bytes after which a file is full."""
_NEVER = Bookmark(1 << 32, 0)
"""Newer than any bookmark."""
SHARE = 16
"""A file holds at most this part of a tree's size and age: dropping it costs no more."""


class TreeLog:
    """What happened to the databases of one tree, for walking backwards.

    One thread may append, trim and cut while another reads; further ones wait. Every method
    blocks. A tree that had state before its history began needs `cut` first, with the newest
    bookmark it had; a tree whose folder is missing begins at `ORIGIN`, as nothing.
    """

    def __init__(self, disk: Disk, folder: Path, limits: HistoryLimits) -> None:
        self.disk = disk
        self.folder = folder
        self.limits = limits
        self._lock = threading.Lock()
        files = unbroken(listed(folder))
        tail = find_tail(disk, files[-1]) if files else Tail(0, False, 0, START, 0)
        self._shape = Shape(files, tail)

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

    # -- writing ------------------------------------------------------------------------

    def append(self, blocks: Iterable[Block]) -> None:
        """Add blocks, all of them or none. Durable on return.

        The blocks of one database must come in the order of its commits, over all appends;
        those of different databases in any order. They are taken one by one, so a generator
        of many needs no memory. Full and overdue files are dropped on the way.

        OSError if the disk refuses: nothing was added, and the same may be appended again.
        Only if the process ends before that can it be there; `recorded` says so.
        """
        with self._lock:
            if self._is_full():
                # Before the write: once that is done nothing may raise.
                self._trim(self.newest.time)
            try:
                self._append(blocks)
            except BaseException:
                self._shape = replace(self._shape, tail=self._shape.tail._replace(torn=True))
                raise

    def trim(self, now: int) -> None:
        """Drop what is over the limits; `now` in microseconds since 1970."""
        with self._lock:
            self._trim(now)

    def drop_oldest(self) -> int:
        """Drop the oldest file that holds anything, for room; the bytes it had, 0 if none."""
        with self._lock:
            sizes = [section.end for section in reversed(self._shape.sections)]
            count = next((n for n, size in enumerate(sizes, 1) if size), 0)
            self._drop(count)
            return sum(sizes[:count])

    def cut(self, mark: Mark) -> None:
        """Forget all that is older: from now on `mark`, or the newest entry if that is newer,
        is the oldest bookmark. For what no delta can lead back through."""
        with self._lock:
            self._seal(_later(mark, self.newest), skip=1)
            self._drop(len(self._shape.files) - 1)

    def _append(self, blocks: Iterable[Block]) -> None:
        files, tail = self._shape.files, self._shape.tail
        fresh = self._is_full()
        file = self._successor(tail.newest) if fresh else files[-1]
        tail = self._write(file, Tail(0, False, 0, tail.newest, 0) if fresh else tail, blocks)
        if tail.group:
            self._shape = Shape((*files, file) if fresh else files, tail)

    def _is_full(self) -> bool:
        """Whether the next append begins a file."""
        files, tail = self._shape.files, self._shape.tail
        if not files or tail.torn or not tail.group:
            return not files or tail.torn
        age = int(self.limits.age * 1_000_000) // SHARE
        full = tail.end >= min(FILE, self.limits.size // SHARE)
        return full or tail.newest.time - tail.begun > age

    def _successor(self, base: Mark, skip: int = 0) -> BlockFile:
        files = self._shape.files
        ordinal = 1 + skip + (files[-1].ordinal if files else 0)
        return BlockFile(self.folder, ordinal, base, self._shape.tail.end)

    def _write(self, file: BlockFile, tail: Tail, blocks: Iterable[Block]) -> Tail:
        """Write one group behind `tail` and sync it; where the file ends now."""
        pending = iter(blocks)
        block = next(pending, None)
        if block is None:
            return tail
        first = not tail.group
        made = first and self._make_folder()
        tail = tail._replace(group=tail.group + 1, begun=tail.begun or block.oldest.time)
        fd = self.disk.open(file.path, os.O_WRONLY | (os.O_CREAT | os.O_TRUNC if first else 0))
        try:
            while block is not None:
                after = next(pending, None)
                tail = self._write_block(fd, file, tail, block, after is not None)
                block = after
            self.disk.sync(fd)
        finally:
            self.disk.close(fd)
        if first:
            self._sync_names(made)
        return tail

    def _write_block(self, fd: int, file: BlockFile, tail: Tail, block: Block, more: bool) -> Tail:
        place = seed(file.seed, tail.end)
        data = encode(block, tail.newest.bookmark, tail.group, more, place)
        self.disk.write(fd, data, tail.end)
        newest = _later(tail.newest, block.newest)
        return tail._replace(end=tail.end + len(data), newest=newest)

    def _make_folder(self) -> bool:
        made = not self.folder.exists()
        self.folder.mkdir(parents=True, exist_ok=True)
        return made

    def _sync_names(self, made: bool) -> None:
        self.disk.sync_directory(self.folder)
        if made:
            for folder in list(self.folder.parents)[:2]:
                self.disk.sync_directory(folder)

    def _seal(self, base: Mark, skip: int = 0) -> None:
        """Begin an empty file, so that all others can go; a skipped ordinal voids them at once."""
        file = self._successor(base, skip)
        made = self._make_folder()
        self.disk.write_file(file.path, b"", sync=True)
        self._sync_names(made)
        self._shape = Shape((*self._shape.files, file), Tail(0, False, 0, base, 0))

    def _trim(self, now: int) -> None:
        since = now - int(self.limits.age * 1_000_000)
        size, count = self.size, 0
        for section in reversed(self._shape.sections):
            young = section.newest.time > since
            if not size or (young and size <= self.limits.size):
                break
            size -= section.end
            count += 1
        self._drop(count)

    def _drop(self, count: int) -> None:
        """Forget the oldest files. Names that a crash brings back are ignored: `unbroken`."""
        if not count:
            return
        if count == len(self._shape.files):
            self._seal(self.newest)
        dropped, kept = self._shape.files[:count], self._shape.files[count:]
        self._shape = Shape(kept, self._shape.tail)
        for file in dropped:
            self.disk.unlink(file.path)

    # -- reading ------------------------------------------------------------------------

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


def _later(one: Mark, other: Mark) -> Mark:
    return Mark(max(one.bookmark, other.bookmark), max(one.time, other.time))


def _outside(
    found: list[tuple[Bookmark, int]], runs: set[tuple[Bookmark, Bookmark]]
) -> Iterator[tuple[Bookmark, int]]:
    """Those that lie in no run of joined commits."""
    for one in found:
        if not any(first <= one[0] < last for first, last in runs):
            yield one
