"""Restore: a subtree as it was at a bookmark, in the place of what it is now.

History is not rewritten: the restored files are new generations, put in place by one record,
and the bookmark before that record leads back.

The target keeps the place that it has; all below it stand where they stood. An actor that was
below it then and has been moved out since stays where it is: what it was comes back as a copy of
it. One that came in since is deleted.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from storage.catalogue import Row
from storage.errors import NoState
from storage.graft import Graft, Scion
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

    def work(self) -> None:
        """Make the files. `BookmarkGone`, `HistoryCorrupt` and `NoState` change nothing."""
        self._past.work()
        self._graft = Graft(self._store, self._target, list(self._scions()))
        self._graft.work()

    @property
    def size(self) -> tuple[int, int]:
        """Bytes of the files that `work` made, and how many there are."""
        assert self._graft is not None  # noqa: S101 - `work` comes first
        return self._graft.size

    def finish(self) -> tuple[int, Bookmark]:
        """Put it in place: the record's sequence, and the bookmark that undoes it."""
        assert self._graft is not None  # noqa: S101 - `work` comes first
        self._target.look()
        if self._target.uid != self._past.uid:
            self.cancel()
            raise NoState(f"{self._target.name!r} was deleted meanwhile", name=self._target.name)
        undo = self._store.bookmark()
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

    def _scion(self, uid: int, copies: dict[int, int]) -> Scion:
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
