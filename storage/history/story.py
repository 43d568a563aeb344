"""What happened to one database, on its way into the history.

A story is told in order: first the commits that a checkpoint is about to move into the file,
then, if something ends the file, that. Telling takes time and belongs on a worker thread;
what it reads stays as it is until it is done: the caller holds the database, or its file is
not removed before.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

from storage.disk import Disk
from storage.frames import Commit, read_commit
from storage.history.block import Block, Node
from storage.history.bookmark import Bookmark, Mark
from storage.history.encode import Change, Image, changed, created, thin
from storage.limits import PAGE_SIZE
from storage.pages import MAX_PAGES, ZERO


@dataclass(frozen=True, slots=True)
class Pending:
    """A commit in a -wal."""

    mark: Mark
    first: int
    last: int
    before: int
    began: bool
    """The actor began with it."""


class Told:
    """How far the history knows a database. Outlives the database's being forgotten.

    Whoever tells of it holds `lock` until `upto` says so: two tellings of one commit would be two
    changes to the history, and lead nowhere.
    """

    __slots__ = ("lock", "upto")

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.upto = 0
        """Sequence of the newest commit that history has; of those that are still marked."""


@dataclass(frozen=True, slots=True)
class Story:
    """A database file and its -wal at one moment."""

    uid: int
    generation: int
    node: Node
    path: Path
    size: int
    """Pages it has, the -wal included."""
    commits: Sequence[Pending]
    """Those that are not in the file."""
    known: Told
    """Which of them the history has; it may learn of more before this is told."""

    @property
    def pending(self) -> list[Pending]:
        """What the history does not have."""
        upto = self.known.upto
        return [one for one in self.commits if one.mark.bookmark.sequence > upto]

    @property
    def too_large(self) -> bool:
        """Whether it is, or was at a pending commit, of a size that has no history."""
        return max(self.size, *(one.before for one in self.pending), 0) >= MAX_PAGES

    def blocks(self, disk: Disk, *, joined: bool) -> Generator[Block, None, None]:
        """The blocks of what is pending; `joined` makes one change of them all. Files are open
        until it is exhausted or closed. The caller has the lock of `known`."""
        pending = self.pending
        if not pending:
            return
        with _Files(disk, self.path) as files:
            changes = [
                Change(one.mark, one.before, files.commit(one.first, one.last)) for one in pending
            ]
            if pending[0].began:
                yield created(self.uid, self.generation, changes[0].mark, self.node)
            if joined and len(changes) > 1:
                changes = [thin(changes)]
            older = files.folded(self.commits[: -len(pending)])
            yield from changed(
                self.uid,
                self.generation,
                changes,
                lambda number: older.get(number) or files.page(number),
            )


class Reading:
    """All of a story, to be read until `close`. Its files are open from the first page on that is
    asked for: of a large tree not all can be at a time."""

    def __init__(self, disk: Disk, story: Story) -> None:
        self._disk = disk
        self._story = story
        self._open: tuple[_Files, dict[int, bytes]] | None = None

    @property
    def image(self) -> Image:
        """What is read."""
        return Image(self._story.size, self._page)

    def _page(self, number: int) -> bytes:
        files, newer = self._open or self._opened()
        return newer.get(number) or files.page(number)

    def _opened(self) -> tuple[_Files, dict[int, bytes]]:
        files = _Files(self._disk, self._story.path)
        files.__enter__()
        try:
            self._open = files, files.folded(self._story.commits)
        except BaseException:
            files.__exit__()
            raise
        return self._open

    def close(self) -> None:
        """Close them; whoever reads on opens them again."""
        if self._open is not None:
            self._open[0].__exit__()
            self._open = None


class _Files:
    """A database file and its -wal, open for reading."""

    def __init__(self, disk: Disk, path: Path) -> None:
        self._disk = disk
        self._path = path
        self._wal = path.with_name(path.name + "-wal")

    def __enter__(self) -> _Files:
        self._fd = self._disk.open(self._path, os.O_RDONLY)
        self._wal_fd = -1
        return self

    def __exit__(self, *_: object) -> None:
        self._disk.close(self._fd)
        if self._wal_fd >= 0:
            self._disk.close(self._wal_fd)

    def page(self, number: int) -> bytes:
        return self._disk.read(self._fd, PAGE_SIZE, (number - 1) * PAGE_SIZE) or ZERO

    def commit(self, first: int, last: int) -> Commit:
        if self._wal_fd < 0:
            self._wal_fd = self._disk.open(self._wal, os.O_RDONLY)
        return read_commit(self._wal_fd, self._wal, first, last)

    def folded(self, commits: Sequence[Pending]) -> dict[int, bytes]:
        """The newest image of each page that these commits wrote."""
        pages: dict[int, bytes] = {}
        for one in commits:
            pages.update(self.commit(one.first, one.last).pages)
        return pages


def bookmark(epoch: int, sequence: int, time: int) -> Mark:
    """The moment after a record."""
    return Mark(Bookmark(epoch, sequence), time)
