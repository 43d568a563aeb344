"""A subtree as it was at a bookmark, held so that another thread can read it."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from storage.catalogue import Row
from storage.errors import BookmarkAhead, NoState
from storage.history import NOTHING, Bookmark, Image, Node, PastDatabase, rewind
from storage.history.story import Reading
from storage.limits import PAGE_SIZE
from storage.template import template

if TYPE_CHECKING:
    from storage.database import Database
    from storage.disk import Disk
    from storage.store import Store


class Past:
    """`target` and all below it at `bookmark`: made on the store's thread, then `work` on the one
    that tells of the history, then everything else on any; `close` on the store's."""

    def __init__(self, store: Store, target: Database, bookmark: Bookmark) -> None:
        target.look()
        store.sync()  # what is told must be durable, and what ended before must be told first
        if not target.row or target.uid is None:
            raise NoState(f"{target.name!r} has no state", name=target.name)
        newest = store.bookmark()
        if bookmark > newest:
            said = f"{bookmark} is newer than the newest commit, {newest}"
            raise BookmarkAhead(said, newest=str(newest))
        self._store = store
        self._name = target.name
        self.bookmark = bookmark
        self.uid = target.uid
        catalogue = store.catalogue
        self._logs = {home: catalogue.members(home) for home in catalogue.linked(target.tree)}
        """Who lives, by the history that it is in: all that may have been below the target."""
        self.alive = {row.uid: row for rows in self._logs.values() for row in rows}
        """The same, by uid."""
        self._held = [store.databases.at(row) for row in self.alive.values() if row.file]
        self._telling = store.chronicler.keep(self._held)
        self._readings = {
            one.uid: Reading(store.disk, store.chronicler.story(one))
            for one in self._held
            if one.uid
        }
        self._sequences = {one.uid: (one, one.sequence) for one in self._held}
        self._over = False
        self.homes: dict[int, int] = {}
        """Whose history each actor of then is in."""
        self.databases: dict[int, PastDatabase] = {}
        """The target and what was below it, by uid, parents first."""
        store.objects.hold()
        for one in self._held:
            one.held += 1

    def work(self) -> None:
        """Find out who was there. `BookmarkGone`, `HistoryCorrupt` and `NoState` change nothing."""
        if self._telling is not None:
            self._telling.all()
        found = self._rewound()
        if self.uid not in found:
            raise NoState(f"{self._name!r} did not exist at {self.bookmark}", name=self._name)
        below: dict[int, list[int]] = {}
        for uid, one in found.items():
            below.setdefault(one.node.parent, []).append(uid)
        waiting = [self.uid]
        while waiting:
            uid = waiting.pop()
            self.databases[uid] = found[uid]
            waiting += below.get(uid, [])

    def _rewound(self) -> dict[int, PastDatabase]:
        """Everybody whose past may matter, by uid."""
        found: dict[int, PastDatabase] = {}
        for home, rows in self._logs.items():
            log = self._store.chronicler.archive.tree(home)
            nodes = {row.uid: Node(*row.place) for row in rows}
            state = rewind(log, nodes, self._current, self.bookmark)
            found |= state.databases
            self.homes |= dict.fromkeys(state.databases, home)
        return found

    def _current(self, uid: int) -> Image:
        reading = self._readings.get(uid)
        return NOTHING if reading is None else reading.image

    @property
    def rows(self) -> list[Row]:
        """Who was there, parents first, as the catalogue said it then, but for generations."""
        return [Row(one.uid, *one.node, 1, int(one.size > 0)) for one in self.databases.values()]

    def make(self, row: Row) -> Callable[[Path], None] | None:
        """How the file of a row is written."""
        return self.maker(row.uid) if row.file else None

    def is_now(self, row: Row) -> bool:
        """Whether nothing happened to it since."""
        return not self.databases[row.uid].undone

    def is_written(self, uid: int) -> bool:
        """Whether a commit was made to it since it is held. On the store's thread."""
        one, sequence = self._sequences.get(uid, (None, 0))
        return one is not None and one.sequence != sequence

    def maker(self, uid: int) -> Callable[[Path], None]:
        """How the file of an actor is written, not synced; an empty one if it had none."""
        return partial(self._write, self.databases[uid])

    def _write(self, past: PastDatabase, path: Path) -> None:
        disk, reading = self._store.disk, self._readings.get(past.uid)
        try:
            if past.size:
                _write(disk, past, path)
            else:
                disk.write_file(path, template(), sync=False)
        finally:
            if reading is not None:
                reading.close()

    def close(self) -> None:
        """Let everything go."""
        for reading in self._readings.values():
            reading.close()
        held, self._held = self._held, []
        for one in held:
            one.held -= 1
        if not self._over:
            self._over = True
            self._store.objects.let_go()


def _write(disk: Disk, past: PastDatabase, path: Path) -> None:
    fd = disk.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    try:
        for number, page in past.pages():
            disk.write(fd, page, (number - 1) * PAGE_SIZE)
    finally:
        disk.close(fd)


def bookmark_at(store: Store, database: Database, at: float) -> Callable[[], Bookmark]:
    """Work, for any thread, that finds the newest bookmark of a tree made at or before `at`, in
    seconds since 1970. `BookmarkGone` if its history begins later."""
    database.look()
    store.sync()  # what is told must be durable
    tree, now = database.tree, store.bookmark()
    rows = store.catalogue.members(tree)
    telling = store.chronicler.keep(store.databases.at(row) for row in rows if row.file)

    def find() -> Bookmark:
        if telling is not None:
            telling.all()
        log = store.chronicler.archive.tree(tree)
        return now if log.newest.time <= at * 1e6 else log.at(int(at * 1e6))

    return find
