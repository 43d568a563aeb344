"""One root actor out of a replica, in the place of what it is here.

The replica is only read: it may be this host's own or any other's, alive or gone, and nobody's
lease is needed. What it has of the actor is as of its newest record, or of any other one behind
its newest manifest. The root keeps its uid, so its history goes on, and the bookmark before the
record leads back; the facets below it are new ones.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from storage.catalogue import Row
from storage.errors import BookmarkAhead, NoState, ObjectStoreFailed
from storage.files.chunks import check_object
from storage.graft import Graft, Scion
from storage.history import Bookmark
from storage.layout import remove
from storage.reading import look, tree_of
from storage.replica.contents import Contents
from storage.replica.restore import Moment, Restoration, gone
from storage.template import template

if TYPE_CHECKING:
    from storage.database import Database
    from storage.disk import Disk
    from storage.objects.store import ObjectStore
    from storage.replica.entries import Stamp
    from storage.store import Store

ATTEMPTS = 3
"""A live host may replace what a slow reader is about to read."""
When = Bookmark | int | None
"""A bookmark of the replica's host, a time in microseconds since 1970, or the newest state."""


class Retrieval:
    """A root actor on its way from a replica to `target`, of the same kind and name.

    `read` on any thread, `graft` on the store's, `Graft.work` on any thread again, and then
    `finish` on the store's; or `cancel` at any time. Until `finish` nothing has happened.
    """

    def __init__(
        self, store: Store, target: Database, replica: ObjectStore, host: str, when: When = None
    ) -> None:
        self._store = store
        self._target = target
        self._replica = replica
        self._host = host
        self._when = when
        self._rows: list[Row] = []
        self._files: dict[int, Path] = {}
        """By the uid in the replica, aside."""
        self._graft: Graft | None = None
        self._uid: int | None = None
        self._over = False
        store.objects.hold()

    # -- reading --------------------------------------------------------------------------

    def read(self) -> None:
        """Write the files aside. Blocks.

        `NoState` if the replica has no such actor; `BookmarkGone` and `BookmarkAhead` if it was
        not asked for a moment that it has; `ReplicaCorrupt` if it is damaged.
        """
        for attempt in range(1, ATTEMPTS + 1):
            try:
                self._read()
            except ObjectStoreFailed:
                self._remove()
                if attempt == ATTEMPTS:
                    raise
            else:
                return

    def _read(self) -> None:
        found = Restoration(self._replica, self._host, upto=self._upto())
        self._check(found.begins, found.ends)
        self._store.layout.staging.mkdir(exist_ok=True)
        with self._written(found, 0) as catalogue:
            self._rows = tree_of(catalogue, self._target.kind, self._target.name)
        if not self._rows:
            where = f"{self._host} in the replica"
            raise NoState(f"{where} has no {self._target.name!r}", name=self._target.name)
        for row in self._rows:
            if row.file:
                self._files[row.uid] = self._write(found, row)

    def _upto(self) -> Callable[[int, Stamp], bool] | None:
        when = self._when
        if isinstance(when, Bookmark):
            newest = when.sequence
            return lambda sequence, _: sequence <= newest
        if when is not None:
            return lambda _, stamp: stamp.time <= when
        return None

    def _check(self, begins: Moment, ends: Moment) -> None:
        """Whether what was found is what was asked for."""
        when = self._when
        if isinstance(when, Bookmark):
            if when.sequence < begins.sequence:
                raise gone(str(when), begins.sequence, begins)
            if when.sequence > ends.sequence:
                newest = str(Bookmark(ends.stamp.epoch, ends.sequence))
                said = f"{when} is newer than the newest record in the replica, {newest}"
                raise BookmarkAhead(said, newest=newest)
        elif when is not None and when < begins.stamp.time:
            raise gone(f"the time {when}", begins.sequence, begins)

    def _write(self, found: Restoration, row: Row) -> Path:
        if found.files.get(row.uid) != row.generation:
            raise gone(f"the database of {row.name!r}", found.ends.sequence + 1, found.begins)
        with self._written(found, row.uid) as path:
            self._bring(look(path).objects)
            return path.rename(path.with_suffix(".db"))

    @contextlib.contextmanager
    def _written(self, found: Restoration, uid: int) -> Iterator[Path]:
        """The file of a database, under a name that is gone afterwards."""
        path = self._store.layout.staging / f"retrieved-{secrets.token_hex(8)}.part"
        try:
            self._store.disk.write_file(path, found.image(uid).data, sync=True)
            yield path
        finally:
            path.unlink(missing_ok=True)

    def _bring(self, keys: set[str]) -> None:
        """Put large contents where files here look for them."""
        shipper = self._store.replica
        mine = (shipper.store, shipper.lease.host) if shipper is not None else None
        if mine == (self._replica, self._host):
            return
        there = Contents(self._replica, self._host, 0)
        for key in keys:
            data = there.get(key)
            check_object(key, data)
            self._store.objects.put(key, data)

    # -- putting it in place --------------------------------------------------------------

    def graft(self) -> Graft:
        """What was read, to take the place of the target."""
        store, target = self._store, self._target
        target.look()
        self._uid = target.uid if target.row else None
        uids = {row.uid: store.catalogue.new_uid() for row in self._rows[1:]}
        first = self._rows[0]
        if self._uid is None:
            uids[first.uid], generation = store.catalogue.new_uid(), 1
        else:
            uids[first.uid] = self._uid
            generation = store.databases.new_generation(self._uid, target.generation)
        # A root without a file gets an empty one, which is as good: it may replace one.
        make = self._make(first) or partial(_write_empty, store.disk)
        top = Row(uids[first.uid], 0, first.kind, first.name, generation, 1)
        scions = [Scion(top, make)]
        for row in self._rows[1:]:
            below = self._make(row)
            made = Row(
                uids[row.uid], uids[row.parent], row.kind, row.name, 1, int(below is not None)
            )
            scions.append(Scion(made, below))
        self._graft = Graft(store, target, scions)
        return self._graft

    def _make(self, row: Row) -> Callable[[Path], None] | None:
        path = self._files.get(row.uid)
        return None if path is None else partial(self._store.disk.rename, path)

    def finish(self) -> tuple[int, Bookmark]:
        """Put it in place: the record's sequence, and the bookmark that undoes it."""
        assert self._graft is not None  # noqa: S101 - `graft` comes first
        self._target.look()
        if (self._target.uid if self._target.row else None) != self._uid:
            self.cancel()
            name = self._target.name
            raise NoState(f"{name!r} began or was deleted meanwhile", name=name)
        undo = self._store.bookmark()
        self._let_go()
        return self._graft.finish(), undo

    def cancel(self) -> None:
        """Forget it; what was made is removed."""
        if self._graft is not None:
            self._graft.cancel()
        self._remove()
        self._let_go()

    def _let_go(self) -> None:
        if not self._over:
            self._over = True
            self._store.objects.let_go()

    def _remove(self) -> None:
        files, self._files = self._files, {}
        for path in files.values():
            with contextlib.suppress(OSError):  # staging is emptied by the next opening
                remove(self._store.disk, path)


def _write_empty(disk: Disk, path: Path) -> None:
    disk.write_file(path, template(), sync=True)
