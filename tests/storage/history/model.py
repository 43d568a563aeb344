"""A made-up database with a history, small enough to try everything with."""

from __future__ import annotations

import random
from pathlib import Path

from storage.disk import Disk
from storage.errors import FacetsError
from storage.frames import Commit
from storage.history import (
    Bookmark,
    Change,
    Image,
    Mark,
    Node,
    TreeLog,
    bound,
    changed,
    created,
    deleted,
    rewind,
    thin,
)
from storage.limits import PAGE_SIZE, HistoryLimits
from storage.pages import ZERO

NODE = Node(0, "Lead", "alice")


def mark(sequence: int) -> Mark:
    return Mark(Bookmark(1, sequence), sequence)


def page(seed: int) -> bytes:
    """A page with the type of none: its first byte is 0."""
    return b"\0" + random.Random(seed).randbytes(9) + bytes([seed % 251]) * (PAGE_SIZE - 10)


class Quick(Disk):
    """A disk that forgets nothing: where syncs are not the question, they only take time."""

    def sync(self, fd: int) -> None:
        pass

    def sync_directory(self, path: Path) -> None:
        pass


class Model:
    """A database as a list of pages, with a history; `past` is what it was."""

    def __init__(
        self, folder: Path, disk: Disk | None = None, limits: HistoryLimits | None = None
    ) -> None:
        self.folder = folder
        self.disk = disk or Quick()
        self.limits = limits or HistoryLimits()
        self.log = self.reopened()
        self.log.append([created(1, 1, mark(1), NODE)])
        self.sequence = 1
        self.alive = True
        self.pages: list[bytes] = []
        self.file: list[bytes] = []
        """What has been moved into the database file."""
        self.pending: list[Change] = []
        self.past: dict[int, list[bytes] | None] = {0: None, 1: []}

    def commit(self, size: int, written: dict[int, bytes]) -> None:
        self.sequence += 1
        before = len(self.pages)
        self.pages = (self.pages + [ZERO] * size)[:size]
        for number, image in written.items():
            if number <= size:
                self.pages[number - 1] = image
        kept = {number: image for number, image in written.items() if number <= size}
        self.pending.append(Change(mark(self.sequence), before, Commit(size, kept)))
        self.past[self.sequence] = list(self.pages)

    def flush(self, join: int) -> None:
        changes, self.pending = self.pending, []
        runs = [changes[at : at + join] for at in range(0, len(changes), join)]
        for run in runs:
            for one in run[:-1]:
                del self.past[one.mark.bookmark.sequence]
        if runs:
            self.log.append(changed(1, 1, [thin(run) for run in runs], self.old))
        self.file = list(self.pages)

    def old(self, number: int) -> bytes:
        return self.file[number - 1]

    def delete(self) -> None:
        self.flush(1)
        self.sequence += 1
        self.log.append(deleted(1, 1, mark(self.sequence), NODE, Image(len(self.file), self.old)))
        self.alive = False
        self.past[self.sequence] = None

    def bind(self, pages: list[bytes]) -> None:
        self.flush(1)
        self.sequence += 1
        old, new = Image(len(self.file), self.old), Image(len(pages), lambda n: pages[n - 1])
        self.log.append(bound(1, 2, mark(self.sequence), old, new))
        self.pages = self.file = list(pages)
        self.past[self.sequence] = list(pages)

    def reopened(self) -> TreeLog:
        return TreeLog(self.disk, self.folder, self.limits)

    def write(self, seed: int) -> Bookmark:
        """A commit of two pages of a database of four, on its way into the history at once."""
        self.commit(4, {1 + seed % 4: page(seed), 4: page(seed + 1)})
        self.flush(1)
        return mark(self.sequence).bookmark

    def restore(self, sequence: int, log: TreeLog | None = None) -> list[bytes] | None:
        """The pages at a bookmark; None if the database did not live."""
        image = Image(len(self.file), self.old)
        nodes = {1: NODE} if self.alive else {}
        state = rewind(log or self.log, nodes, lambda _: image, mark(sequence).bookmark)
        if not state.databases:
            return None
        found = list(state.databases[1].pages())
        assert [number for number, _ in found] == list(range(1, len(found) + 1))
        return [page for _, page in found]

    def check(self, log: TreeLog | None = None) -> None:
        """Every bookmark that is kept is what it was."""
        oldest = (log or self.log).oldest.bookmark.sequence
        for sequence in [one for one in self.past if one >= oldest]:
            assert self.restore(sequence, log) == self.past[sequence]

    def lost(self, log: TreeLog) -> dict[int, FacetsError]:
        """The bookmarks that cannot be restored; the others are what they were."""
        lost: dict[int, FacetsError] = {}
        for sequence, pages in self.past.items():
            try:
                assert self.restore(sequence, log) == pages
            except FacetsError as error:
                lost[sequence] = error
        return lost
