"""Clones: a subtree as of now, or of a bookmark, under another name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from storage.catalogue import Row
from storage.databases import uid_above
from storage.errors import NoState, StorageError
from storage.graft import Graft, Scion
from storage.past import Past
from storage.snapshot import Cut, copy, cut

if TYPE_CHECKING:
    from storage.database import Database
    from storage.history import Bookmark
    from storage.store import Store


class Source:
    """A subtree of a store at one moment, with everything needed to copy it elsewhere."""

    def __init__(self, store: Store, database: Database) -> None:
        database.look()
        if not database.row or database.uid is None:
            raise NoState(f"{database.name!r} has no state", name=database.name)
        self.rows: list[Row] = store.catalogue.subtree(database.uid)
        self.held = [store.databases.at(row) for row in self.rows if row.file]
        busy = [one.name for one in self.held if one.in_step or one.deferred]
        if busy:
            raise StorageError(f"{busy[0]!r} is in a step or a transaction and cannot be copied")
        self.sequence = store.committed
        """The newest commit that the copy may hold."""
        self._disk = store.disk
        self._cuts: dict[int, Cut] = {}
        for one in self.held:
            assert one.uid is not None  # noqa: S101 - it has a row
            self._cuts[one.uid] = cut(one)

    def make(self, row: Row) -> Callable[[Path], None] | None:
        """How the file of a row is copied."""
        one = self._cuts.get(row.uid)
        return None if one is None else partial(copy, self._disk, one)


def clone(store: Store, source: Database, target: Database) -> Graft:
    """A copy of `source` and all below it, to take the place of `target`; both keep running.

    What `target` held is wiped in the same record. `NoState` if there is nothing to copy.
    """
    found = Source(store, source)
    above = uid_above(target)
    scions = adopt(store, target, above, found.rows, found.make)
    return Graft(store, target, scions, found.held)


class PastClone:
    """`source` and all below it as of a bookmark, on the way to the place of `target`.

    `work` on any thread, then `finish` on the store's, or `cancel`. `NoState` if it did not exist
    then; `BookmarkGone` and the like are of `Restore`.
    """

    def __init__(
        self, store: Store, source: Database, target: Database, bookmark: Bookmark
    ) -> None:
        self._store = store
        self._target = target
        self._past = Past(store, source, bookmark)
        self._above = uid_above(target)
        self._graft: Graft | None = None

    def work(self) -> None:
        """Make the files."""
        past, target = self._past, self._target
        past.work()
        scions = self._store.call(
            partial(adopt, self._store, target, self._above, past.rows, past.make)
        )
        self._graft = Graft(self._store, target, scions)
        self._graft.work()

    @property
    def size(self) -> tuple[int, int]:
        """Bytes of the files that `work` made, and how many there are."""
        assert self._graft is not None  # noqa: S101 - `work` comes first
        return self._graft.size

    def finish(self) -> int:
        """Put it in place; the sequence of the record that says so."""
        assert self._graft is not None  # noqa: S101 - `work` comes first
        self._past.close()
        return self._graft.finish()

    def cancel(self) -> None:
        """Forget it; what was made is removed."""
        self._past.close()
        if self._graft is not None:
            self._graft.cancel()


def adopt(
    store: Store,
    target: Database,
    above: int,
    rows: list[Row],
    make: Callable[[Row], Callable[[Path], None] | None],
) -> list[Scion]:
    """The rows of a subtree under new uids, its root as `target`."""
    uids = {row.uid: store.catalogue.new_uid() for row in rows}
    scions = []
    for row in rows:
        parent = uids.get(row.parent, above)
        kind, name = (target.kind, target.name) if row is rows[0] else (row.kind, row.name)
        maker = make(row)
        new = Row(uids[row.uid], parent, kind, name, 1, int(maker is not None))
        scions.append(Scion(new, maker))
    return scions
