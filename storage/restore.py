"""Restore: a subtree as it was at a bookmark, in the place of what it is now.

History is not rewritten: the restored files are new generations, put in place by one record,
and the bookmark before that record leads back.

The target keeps the place that it has; all below it stand where they stood. An actor that was
below it then and has been moved out since stays where it is: what it was comes back as a copy of
it. One that came in since is deleted.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from storage.catalogue import Row
from storage.errors import BookmarkAhead, NoState
from storage.graft import Graft, Scion
from storage.history import NOTHING, Bookmark, Image, Node, PastDatabase, rewind
from storage.limits import PAGE_SIZE
from storage.template import template

if TYPE_CHECKING:
    from storage.database import Database
    from storage.disk import Disk
    from storage.history.story import Story
    from storage.store import Store


class Restore:
    """`target` and all below it on the way back to `bookmark`.

    `work` on any thread, then `finish` on the store's, or `cancel`. What is written meanwhile is
    replaced like everything else, and the bookmark that undoes it leads back to it.
    """

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
        self._target = target
        self._bookmark = bookmark
        self._uid = target.uid
        catalogue = store.catalogue
        self._logs = {home: catalogue.members(home) for home in catalogue.linked(target.tree)}
        """Who lives, by the history that it is in: all that may have been below the target."""
        self._rows = {row.uid: row for rows in self._logs.values() for row in rows}
        self._inside = {row.uid for row in catalogue.subtree(self._uid)}
        self._held = [store.databases.at(row) for row in self._rows.values() if row.file]
        self._telling = store.chronicler.keep(self._held)
        self._stories = {one.uid: store.chronicler.story(one) for one in self._held if one.uid}
        self._stack = ExitStack()
        self._graft: Graft | None = None
        self._over = False
        store.objects.hold()
        for one in self._held:
            one.held += 1

    def work(self) -> None:
        """Make the files. `BookmarkGone`, `HistoryCorrupt` and `NoState` change nothing."""
        if self._telling is not None:
            self._telling.all()
        scions = list(self._scions(self._rewound()))
        self._graft = Graft(self._store, self._target, scions)
        self._graft.work()

    def finish(self) -> tuple[int, Bookmark]:
        """Put it in place: the record's sequence, and the bookmark that undoes it."""
        assert self._graft is not None  # noqa: S101 - `work` comes first
        self._target.look()
        if self._target.uid != self._uid:
            self.cancel()
            raise NoState(f"{self._target.name!r} was deleted meanwhile", name=self._target.name)
        undo = self._store.bookmark()
        self._let_go()
        return self._graft.finish(), undo

    def cancel(self) -> None:
        """Forget it; what was made is removed."""
        self._let_go()
        if self._graft is not None:
            self._graft.cancel()

    def _let_go(self) -> None:
        self._stack.close()
        held, self._held = self._held, []
        for one in held:
            one.held -= 1
        if not self._over:
            self._over = True
            self._store.objects.let_go()

    def _rewound(self) -> dict[int, tuple[int, PastDatabase]]:
        """Everybody as of then by uid, and whose history it is in."""
        found: dict[int, tuple[int, PastDatabase]] = {}
        for home, rows in self._logs.items():
            log = self._store.chronicler.archive.tree(home)
            nodes = {row.uid: Node(*row.place) for row in rows}
            state = rewind(log, nodes, self._current, self._bookmark)
            found |= {uid: (home, one) for uid, one in state.databases.items()}
        return found

    def _current(self, uid: int) -> Image:
        story: Story | None = self._stories.get(uid)
        return NOTHING if story is None else story.image(self._store.disk, self._stack)

    def _scions(self, past: dict[int, tuple[int, PastDatabase]]) -> Iterator[Scion]:
        """The target and what was below it then, parents first."""
        if self._uid not in past:
            raise NoState(
                f"{self._target.name!r} did not exist at {self._bookmark}", name=self._target.name
            )
        below: dict[int, list[int]] = {}
        for uid, (_, one) in past.items():
            below.setdefault(one.node.parent, []).append(uid)
        copies: dict[int, int] = {}
        waiting = [self._uid]
        while waiting:
            uid = waiting.pop()
            if uid in self._rows and uid not in self._inside:
                copies[uid] = self._store.call(self._store.catalogue.new_uid)
            yield self._scion(*past[uid], copies)
            waiting += below.get(uid, [])

    def _scion(self, home: int, past: PastDatabase, copies: dict[int, int]) -> Scion:
        now, node = self._rows.get(past.uid), past.node
        if past.uid == self._uid and now is not None:  # it keeps the place that it has
            node = Node(*now.place)
        # Without a file then, an empty one is as good: for the journal, and for what happens until
        # `finish`, it is a switch like any other.
        disk = self._store.disk
        make = partial(_write, disk, past) if past.size else partial(_write_empty, disk)
        newest = max(past.generation, now.generation if now else 0)
        place = node._replace(parent=copies.get(node.parent, node.parent))
        if past.uid in copies:
            return Scion(Row(copies[past.uid], *place, 1, 1), make)
        generation = self._store.databases.new_generation(past.uid, newest)
        return Scion(Row(past.uid, *place, generation, 1), make, home)


def _write_empty(disk: Disk, path: Path) -> None:
    disk.write_file(path, template(), sync=True)


def _write(disk: Disk, past: PastDatabase, path: Path) -> None:
    fd = disk.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    try:
        for number, page in past.pages():
            disk.write(fd, page, (number - 1) * PAGE_SIZE)
        disk.sync(fd)
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
