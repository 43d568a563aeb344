"""The databases in memory: one object for each actor, found by its place or its uid."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from storage.database import Database

if TYPE_CHECKING:
    from storage.catalogue import Row
    from storage.store import Store


class Databases:
    """Those of one store, for as long as somebody refers to them."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.live: WeakValueDictionary[int, Database] = WeakValueDictionary()
        """By uid."""
        self._roots: WeakValueDictionary[tuple[str, str], Database] = WeakValueDictionary()
        self._generations: dict[int, int] = {}
        """The newest generation of a database that was asked for in this process, by uid."""
        self._generating = threading.Lock()

    def root(self, kind: str, name: str) -> Database:
        """The database of a root actor; no I/O."""
        key = (kind, name)
        found = self._roots.get(key)
        if found is None:
            found = self._roots[key] = Database(self._store, None, kind, name)
        return found

    def move(self, database: Database, parent: Database | None, kind: str, name: str) -> None:
        """A database stands somewhere else from now on, and who was there is nobody."""
        if database.parent is None:
            self._roots.pop((database.kind, database.name), None)
        database.stand(parent, kind, name)
        if parent is None:
            self._roots[kind, name] = database

    def knows(self, database: Database) -> bool:
        """Whether this is the one that stands in its place, and nobody took that meanwhile."""
        if database.parent is None:
            return self._roots.get((database.kind, database.name)) is database
        return database.parent.child(database.name) is database and self.knows(database.parent)

    def at(self, row: Row) -> Database:
        """The database of a row, in memory or made to be."""
        found = self.live.get(row.uid)
        if found is None:
            above = self._above(row.parent)
            found = self.root(row.kind, row.name) if above is None else above.child(row.name)
            if not found.row:
                found.settle(row)
        return found

    def _above(self, uid: int) -> Database | None:
        return None if uid == 0 else self.live.get(uid) or self.at(self._store.catalogue.row(uid))

    def new_generation(self, uid: int, after: int) -> int:
        """A generation of a database that was not asked for before, later than `after`: two that
        replace the same file at the same time must not write to one. On any thread."""
        with self._generating:
            made = 1 + max(after, self._generations.get(uid, 0))
            self._generations[uid] = made
            return made


def ancestry(database: Database) -> Iterator[Database]:
    """It and all above it."""
    one: Database | None = database
    while one is not None:
        yield one
        one = one.parent


def uid_above(database: Database) -> int:
    """The uid of its parent, which may be without a row yet; 0 for a root."""
    parent = database.parent
    if parent is None:
        return 0
    parent.look()
    return parent.take_uid()
