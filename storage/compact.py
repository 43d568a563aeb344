"""Compaction: a database file without the space that deleted rows left.

VACUUM would need rights that actors do not have, and send every page through the journal. Here
a copy is vacuumed aside and takes the place of the file in one record.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import apsw

from storage.errors import NoState, StorageError
from storage.graft import Graft, Scion
from storage.snapshot import Cut, copy, cut

if TYPE_CHECKING:
    from storage.database import Database
    from storage.disk import Disk
    from storage.store import Store


class Compaction:
    """One database on its way to a smaller file: `work` on any thread, then `finish`, or
    `cancel`. What is written meanwhile makes `finish` False, and nothing has happened."""

    def __init__(self, store: Store, database: Database) -> None:
        database.look()
        if not database.has_file or not database.born or database.uid is None:
            raise NoState(f"{database.name!r} has no database", name=database.name)
        if database.in_step or database.deferred:
            raise StorageError(f"{database.name!r} is in a step or a transaction")
        self._database = database
        self._was = (database.uid, database.generation, database.sequence)
        one, disk = cut(database), store.disk

        def make(path: Path) -> None:
            _vacuum(disk, one, path)

        row = store.catalogue.row(database.uid)
        new = row._replace(generation=store.databases.new_generation(row.uid, row.generation))
        self._graft = Graft(store, database, [Scion(new, make)], [database], alone=True)

    def work(self) -> None:
        """Make the file."""
        self._graft.work()

    def finish(self) -> int | None:
        """Put it in place, and the record's sequence; None if the database was written to, or is
        another one by now."""
        one = self._database
        one.look()
        if one.in_step or (one.uid, one.generation, one.sequence) != self._was:
            self.cancel()
            return None
        return self._graft.finish()

    def cancel(self) -> None:
        """Forget it."""
        self._graft.cancel()


def _vacuum(disk: Disk, one: Cut, path: Path) -> None:
    whole = path.with_name(path.name + ".whole")
    copy(disk, one, whole)
    try:
        db = apsw.Connection(str(whole))
        try:
            db.execute("pragma temp_store=memory")
            db.execute("vacuum into ?", (str(path),))
        finally:
            db.close()
        _as_ours(path)
    finally:
        for name in (whole.name, whole.name + "-wal", whole.name + "-shm"):
            disk.unlink(whole.with_name(name))
    fd = disk.open(path, 2)
    try:
        disk.sync(fd)
    finally:
        disk.close(fd)


def _as_ours(path: Path) -> None:
    """VACUUM INTO makes a file without WAL; ours all have it in their headers."""
    db = apsw.Connection(str(path))
    db.pragma("journal_mode", "wal")
    db.close()
