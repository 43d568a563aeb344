"""Restore: a subtree as it was at a bookmark, in the place of what it is now.

History is not rewritten: the restored files are new generations, put in place by one record,
and the bookmark before that record leads back. Actors to which nothing happened since keep their
files, so that a restore costs what was done, and not what there is.

The target keeps the place that it has; all below it stand where they stood. An actor that was
below it then and has been moved out since stays where it is: what it was comes back as a copy of
it. One that came in since is deleted.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from storage.catalogue import Row
from storage.errors import NoState
from storage.graft import DUE, Graft, Scion
from storage.history import Node
from storage.limits import PAGE_SIZE
from storage.past import Past

if TYPE_CHECKING:
    from storage.database import Database
    from storage.history import Bookmark
    from storage.store import Store


class Restore:
    """`target` and all below it on the way back to `bookmark`.

    `work` on any thread, then `finish` on the store's, or `cancel`. What is written meanwhile is
    replaced like everything else, and the bookmark that undoes it leads back to it.
    """

    def __init__(self, store: Store, target: Database, bookmark: Bookmark) -> None:
        self._past = Past(store, target, bookmark)
        self._store = store
        self._target = target
        self._inside = {row.uid for row in store.catalogue.subtree(self._past.uid)}
        self._graft: Graft | None = None
        self._kept: dict[int, Row] = {}
        """Those that keep their files."""
        self._standing: set[int] = set()
        """Those that stood then where they stand."""

    def work(self) -> None:
        """Make the files. `BookmarkGone`, `HistoryCorrupt` and `NoState` change nothing."""
        self._past.work()
        self._graft = Graft(self._store, self._target, list(self._scions()))
        self._graft.work()

    @property
    def size(self) -> tuple[int, int]:
        """Bytes of the databases there will be, and how many there are."""
        assert self._graft is not None  # noqa: S101 - `work` comes first
        made, count = self._graft.size
        kept = [self._past.databases[uid].size for uid, row in self._kept.items() if row.file]
        return made + sum(kept) * PAGE_SIZE, count + len(kept)

    def finish(self) -> tuple[int, Bookmark]:
        """Put it in place: the record's sequence, and the bookmark that undoes it."""
        assert self._graft is not None  # noqa: S101 - `work` comes first
        self._target.look()
        if self._target.uid != self._past.uid:
            self.cancel()
            raise NoState(f"{self._target.name!r} was deleted meanwhile", name=self._target.name)
        undo = self._store.bookmark()
        try:
            self._make_late(self._graft)
        except BaseException:
            self.cancel()
            raise
        self._past.close()
        return self._graft.finish(), undo

    def cancel(self) -> None:
        """Forget it; what was made is removed."""
        self._past.close()
        if self._graft is not None:
            self._graft.cancel()

    def _scions(self) -> Iterator[Scion]:
        """The target and what was below it then, parents first."""
        copies: dict[int, int] = {}
        for uid in self._past.databases:
            if uid in self._past.alive and uid not in self._inside:
                copies[uid] = self._store.call(self._store.catalogue.new_uid)
            yield self._scion(uid, copies)

    def _make_late(self, graft: Graft) -> None:
        """Files of those to which something happened while the others were made: few."""
        rows = {row.uid: row for row in self._store.catalogue.subtree(self._past.uid)}
        elsewhere: set[int] = set()
        late: list[int] = []
        for uid in self._past.databases:
            was, now = self._past.alive.get(uid), rows.get(uid)
            if was is None or now is None or was.place != now.place or was.parent in elsewhere:
                elsewhere.add(uid)
            kept = self._kept.get(uid)
            if kept is not None and (uid in elsewhere or self._is_changed(kept, rows[uid])):
                late.append(uid)
        if late:
            graft.make([self._made(uid, {}) for uid in late])

    def _is_changed(self, was: Row, now: Row) -> bool:
        return now[:DUE] != was[:DUE] or self._past.is_written(was.uid)

    def _keeps(self, uid: int) -> bool:
        """Whether nothing happened to it since, and it stands where it stood, as do all above it:
        who has its database now finds it there. The target is always made: it stands for the rest,
        and a record that changes nothing is none."""
        then, now = self._past.databases[uid], self._past.alive.get(uid)
        if uid == self._past.uid:
            self._standing.add(uid)
            return False
        if now is None or Node(*now.place) != then.node or now.parent not in self._standing:
            return False
        self._standing.add(uid)
        return not then.undone and bool(then.size) == bool(now.file)

    def _scion(self, uid: int, copies: dict[int, int]) -> Scion:
        if not self._keeps(uid):
            return self._made(uid, copies)
        row = self._kept[uid] = self._past.alive[uid]
        return Scion(row, None, self._past.homes[uid])

    def _made(self, uid: int, copies: dict[int, int]) -> Scion:
        then, now = self._past.databases[uid], self._past.alive.get(uid)
        kept = uid == self._past.uid and now is not None  # it keeps the place that it has
        parent, kind, name = now.place if kept and now is not None else then.node
        # Without a file then, an empty one is as good: for the journal, and for what happens until
        # `finish`, it is a switch like any other.
        make = self._past.maker(uid)
        parent = copies.get(parent, parent)
        if uid in copies:
            return Scion(Row(copies[uid], parent, kind, name, 1, 1), make)
        newest = max(then.generation, now.generation if now else 0)
        generation = self._store.databases.new_generation(uid, newest)
        return Scion(Row(uid, parent, kind, name, generation, 1), make, self._past.homes[uid])
