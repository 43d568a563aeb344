"""The sweep of large contents: mark what any database names, and remove what nobody can reach.

    store's thread    `next`, then for each row `look`, again while it says so; in the end `mark`
    any thread        the work that `look` gives, `begin` before all and `end` behind all

Safe at every cut: candidates are durable before anything is deleted (`storage.spilled`). It
deletes nothing while a file that names objects is on its way, and nothing of which it is not
certain: a database that cannot be read ends the sweep.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from storage.catalogue import Row
from storage.files.chunks import object_key
from storage.reading import FILES, OBJECTS, look
from storage.spilled import PREFIX, Generation

if TYPE_CHECKING:
    from storage.database import Database
    from storage.store import Store

PAGE = 64
"""Rows of the catalogue taken at a time."""
PACE = 0.005
"""Seconds between two databases, and between two deletions, in the background."""
Work = Callable[[], None]


class Sweep:
    """One sweep over an open store."""

    def __init__(
        self, store: Store, stop: threading.Event | None = None, pace: float = 0.0
    ) -> None:
        """`stop` ends it between two deletions, which are `pace` seconds apart."""
        self._store = store
        self._pace = pace
        self._stop = stop or threading.Event()
        self._since = time.monotonic()
        self._there: set[str] = set()
        self._named: set[str] = set()
        self._upto = 0
        self._mark = Generation(0, 0, 0, ())
        self._needed = 0
        self._reading: Database | None = None
        self.removed = 0

    def begin(self) -> None:
        """See what objects there are. Blocks; on any thread."""
        self._there = set(self._store.objects.list(PREFIX))

    @property
    def due(self) -> bool:
        """Whether there are any."""
        return bool(self._there)

    def next(self) -> list[Row]:
        """The next actors to look at; none at the end."""
        rows = self._store.catalogue.with_files(self._upto, PAGE)
        if rows:
            self._upto = rows[-1].uid
        return rows

    def look(self, row: Row) -> Work | bool:
        """What one actor names: False for later, True if that is done, or work that does it, after
        which `leave` is to be called."""
        try:
            row = self._store.catalogue.row(row.uid)
        except LookupError:
            return True  # deleted meanwhile; what replaced it has said what it names
        database = self._store.databases.at(row)
        if database.in_step or database.deferred or database.unkept:
            return False
        if database.at_rest:
            assert database.path is not None  # noqa: S101 - it has a file
            path = database.path
            self._reading = database  # in memory, or nobody would know that it is held
            database.held += 1
            return lambda: self._named.update(look(path).objects)
        if database.peek(FILES):
            self._named |= {object_key(digest) for (digest,) in database.peek(OBJECTS)}
        return True

    def leave(self) -> None:
        """That work is done."""
        database, self._reading = self._reading, None
        if database is not None:
            database.held -= 1

    def mark(self) -> None:
        """All were looked at: from this moment on nobody names what none of them did."""
        store = self._store
        now = store.bookmark()
        uids = store.catalogue.next_uid
        self._mark = Generation(now.epoch, now.sequence, uids, ())
        self._needed = store.needed

    def end(self) -> None:
        """Note the candidates, and remove those that no past leads to. Blocks; on any thread."""
        objects = self._store.objects
        generations = objects.settle(self._there - self._named, self._since, self._mark)
        for one in generations:
            if not self._is_past(one):
                continue
            for key in one.keys:
                if self._stop.is_set() or not self._may_remove():
                    return
                self._stop.wait(self._pace)
                self.removed += objects.remove(key)

    def _may_remove(self) -> bool:
        replica = self._store.replica
        return not self._store.ended and (replica is None or replica.held)

    def _is_past(self, one: Generation) -> bool:
        """Whether nothing leads back to where a database may have named these."""
        # Commits that no history knows yet, and those that the replica may be restored to.
        replica = self._store.replica
        if one.sequence >= self._needed or (replica and one.sequence >= replica.needs):
            return False
        return self._store.chronicler.archive.begins_behind(one.bookmark, one.uids)


def sweep_now(store: Store) -> int:
    """A whole sweep, on the store's own thread, with nothing else going on; how many went."""
    sweep = Sweep(store)
    sweep.begin()
    if not sweep.due:
        return 0
    store.tend(everything=True)
    store.enforce()
    while rows := sweep.next():
        for row in rows:
            work = sweep.look(row)
            if not isinstance(work, bool):
                try:
                    work()
                finally:
                    sweep.leave()
    sweep.mark()
    sweep.end()
    return sweep.removed
