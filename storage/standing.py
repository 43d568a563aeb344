"""Who a database is: its place in the tree of actors, and what the catalogue knows of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from storage.record import Entry, Place

if TYPE_CHECKING:
    from storage.catalogue import Row
    from storage.database import Database
    from storage.store import Store


class Standing:
    """The part of a `Database` that is so whether or not anybody reads or writes it."""

    __slots__ = (
        "_known", "_store", "born", "due", "generation", "has_file", "kind", "name", "parent",
        "path", "row", "uid",
    )  # fmt: skip

    def __init__(self, store: Store, parent: Database | None, kind: str, name: str) -> None:
        self._store = store
        self.parent = parent
        self.kind = kind
        self.name = name
        self._forget()

    def _forget(self) -> None:
        """Know nothing of what is on disk."""
        self.uid: int | None = None
        self.path: Path | None = None
        self.row = False
        """The catalogue has a row of this actor."""
        self.born = False
        """The catalogue knows that it has a file."""
        self.has_file = False
        """There is a file; before the first commit it is scratch."""
        self.due: int | None = None
        """What the catalogue says of its timers."""
        self.generation = 1
        self._known = False

    def _take(self, uid: int) -> int:
        """This is its uid, under which others find it."""
        raise NotImplementedError

    def children(self) -> list[str]:
        """Names of the facets that have state, in order."""
        self.look()
        return self._store.catalogue.names(self.uid, "") if self.row and self.uid else []

    def exists(self) -> bool:
        """Whether this actor or one below it has state."""
        self.look()
        return self.row

    def look(self) -> None:
        """Learn from the catalogue, once, whether there is state."""
        if self._known:
            return
        self._known = True
        above = 0
        if self.parent is not None:
            self.parent.look()
            if not self.parent.row or self.parent.uid is None:
                return
            above = self.parent.uid
        found = self._store.catalogue.find(above, self.kind, self.name)
        if found is not None:
            self.settle(found)

    def settle(self, row: Row) -> None:
        """This is the actor of that row."""
        self.row = self._known = True
        self.born = self.has_file = bool(row.file)
        self.generation = row.generation
        self.due = row.due
        self._take(row.uid)

    def take_uid(self) -> int:
        """Its uid, a new one if it has none; the catalogue hears of it with the first commit."""
        uid = self.uid
        return self._take(self._store.catalogue.new_uid()) if uid is None else uid

    @property
    def tree(self) -> int:
        """Whose history it is in: uid of the root above, which has one; its own if it is a root.
        What was moved is in the one that it began in."""
        one, homes = self, self._store.catalogue.homes if self.uid else {}
        while one.parent is not None:
            if homes and (home := homes.get(one.uid or 0)):
                return home
            one = one.parent
        one.look()  # a graft may have made it forget while what is below it stayed
        uid = one.uid or 0
        return homes.get(uid, uid)

    @property
    def above(self) -> int:
        """Uid of its parent, which has one; 0 for a root."""
        if self.parent is None:
            return 0
        self.parent.look()
        return self.parent.uid or 0

    def row_entry(self, kind: int) -> Entry:
        """What the journal keeps of an actor, or of its file, that begins."""
        assert self.uid is not None  # noqa: S101 - it is being committed
        place = Place(self.above, self.kind, self.name)
        return Entry(kind, self.uid, self.generation, None, self.tree, place)
