"""The durable state of one directory.

format          the version of everything here
lock            who owns it, while it lives
journal-0 / -1  the two segments
catalogue.db    which actors there are
db/XX/UID.db    their databases, by uid in 256 folders
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from storage import record
from storage.catalogue import Catalogue, first_image
from storage.database import Database, remove
from storage.errors import DatabaseCorrupt, JournalFailed, StateFormat, StorageError, StorageFull
from storage.frames import Commit
from storage.journal import Journal, sync_directory
from storage.limits import StorageLimits
from storage.lock import Lock
from storage.record import Entry
from storage.recovery import recover
from storage.template import template

FORMAT = "facets state 1\n"


class Store:
    """An open state directory. One process, one thread.

    `committed` counts the records queued so far, `durable` how many of them are on disk.
    """

    def __init__(self, root: Path, lock: Lock, limits: StorageLimits, open_databases: int) -> None:
        """Use `Store.open`."""
        self.directory = root
        self.limits = limits
        self.thread = threading.get_ident()
        self.live: WeakValueDictionary[int, Database] = WeakValueDictionary()
        """Databases in memory by uid."""
        self._lock = lock
        self._cap = open_databases
        self._open: OrderedDict[int, Database] = OrderedDict()
        self._dirty: dict[int, Database] = {}
        """Those with a record in the current segment; kept alive, their position matters."""
        self._young: set[int] = set()
        """Of those, the ones whose file is younger than the segment."""
        self._roots: WeakValueDictionary[tuple[str, str], Database] = WeakValueDictionary()
        self._dead: list[tuple[int, Path]] = []
        """Files to remove once the record that deletes them is durable."""
        self._closed = False
        self._journal: Journal = recover(root, self.path_of)
        database = Database(self, None, "", "")
        database.settle(0, True)
        self.catalogue = Catalogue(database)

    @classmethod
    def open(
        cls, root: Path | str, *, limits: StorageLimits | None = None, open_databases: int = 256
    ) -> Store:
        """Take the directory, making it if need be, and recover it. Blocks.

        Raises `StateInUse` if another live process has it, `StateFormat` if it is not ours or
        of another version, `JournalCorrupt` if acknowledged data is damaged.
        """
        root = Path(root)
        root.mkdir(parents=True, exist_ok=True)
        lock = Lock(root)
        try:
            _check_format(root)
            return cls(root, lock, limits or StorageLimits(), open_databases)
        except OSError as error:
            lock.release()
            raise StorageFull(f"{root} cannot be opened: {error}", path=str(root)) from error
        except BaseException:
            lock.release()
            raise

    def bind_thread(self) -> None:
        """Hand the store to the calling thread."""
        self.thread = threading.get_ident()

    @property
    def committed(self) -> int:
        """Sequence of the newest record queued."""
        return self._journal.committed

    @property
    def durable(self) -> int:
        """Sequence up to which everything is on disk."""
        return self._journal.durable

    @property
    def failed(self) -> JournalFailed | None:
        """Why nothing more can become durable, if so."""
        return self._journal.failed

    def root(self, kind: str, name: str) -> Database:
        """The database of a root actor; no I/O."""
        key = (kind, name)
        found = self._roots.get(key)
        if found is None:
            found = self._roots[key] = Database(self, None, kind, name)
        return found

    def names(self, kind: str) -> list[str]:
        """Root actors of a kind that have state, in order."""
        return self.catalogue.names(0, kind)

    def stats(self) -> dict[str, Any]:
        """The present moment."""
        return {
            "actors": self.catalogue.count(),
            "open": len(self._open),
            "committed": self.committed,
            "durable": self.durable,
            "journal": self._journal.size,
        }

    # -- commits ------------------------------------------------------------------------

    def keep(self, database: Database, commit: Commit) -> None:
        """Queue the record of a commit that SQLite has made; or take the commit back."""
        entries: list[Entry] = []
        changed = [(database, commit)]
        added: list[Database] = []
        try:
            if not database.born:
                rows = self._register(database, added)
                if rows is not None:
                    changed.append((self.catalogue.database, rows))
                entries.append(Entry(record.CREATE, _uid(database), database.generation))
            entries += [one.pages_entry(made) for one, made in changed]
            sequence = self._journal.append(entries)
        except BaseException as error:
            for one in added:
                one.row = False
            for one, _ in reversed(changed):
                one.uncommit()
            if isinstance(error, OSError):
                raise StorageFull(
                    f"the journal has no room: {error}", path=str(self.directory)
                ) from error
            raise
        if not database.born:
            database.born = True
            self._young.add(database.uid or 0)
        for one, _ in changed:
            one.sequence = sequence
            self._dirty[_uid(one)] = one
        if self._journal.full:
            self._release()

    def _register(self, database: Database, added: list[Database]) -> Commit | None:
        """Write the row of a newborn, and of ancestors that have none."""
        catalogue = self.catalogue
        try:
            self._add_row(database, added)
            catalogue.has_file(_uid(database))
            return catalogue.database.commit_frames()
        except BaseException:
            catalogue.database.rollback()
            raise

    def _add_row(self, database: Database, added: list[Database]) -> None:
        if database.row:
            return
        above = 0
        if database.parent is not None:
            database.parent.look()
            self._add_row(database.parent, added)
            above = _uid(database.parent)
        database.take_uid()
        self.catalogue.add(_uid(database), above, database.kind, database.name)
        database.row = True
        added.append(database)

    def delete(self, database: Database) -> int:
        """Wipe a database and all below it, as one record; its sequence."""
        database.look()
        if not database.row:
            database.forget()
            return database.sequence
        tree = self.catalogue.subtree(_uid(database))
        living = [self.live[uid] for uid, _ in tree if uid in self.live]
        if any(one.in_step for one in living):
            raise StorageError(
                f"{database.name!r} cannot be deleted while a step of it, or below it, is open"
            )
        for one in living:
            one.close()
        self.catalogue.remove([uid for uid, _ in tree])
        made = self.catalogue.database.commit_frames()
        assert made is not None  # noqa: S101 - there was a row
        files = [uid for uid, has_file in tree if has_file]
        entries = [self.catalogue.database.pages_entry(made)]
        entries += [Entry(record.DELETE, uid) for uid in files]
        try:
            sequence = self._journal.append(entries)
        except OSError as error:
            self.catalogue.database.uncommit()
            raise StorageFull(
                f"the journal has no room: {error}", path=str(self.directory)
            ) from error
        except BaseException:
            self.catalogue.database.uncommit()
            raise
        self.catalogue.database.sequence = sequence
        self._dirty[0] = self.catalogue.database
        for uid in files:
            self._dirty.pop(uid, None)
            self._young.discard(uid)
            self._dead.append((sequence, self.path_of(uid)))
        for one in living:
            one.forget()
        return sequence

    def sync(self) -> None:
        """Make everything committed durable; `JournalFailed` for ever if that fails."""
        self._journal.sync()
        if self._dead:
            self._bury()

    def _bury(self) -> None:
        """Remove the files of deleted actors; a file that outlives a crash here is only scratch."""
        durable = [path for sequence, path in self._dead if sequence <= self.durable]
        self._dead = [one for one in self._dead if one[0] > self.durable]
        for path in durable:
            remove(path)

    def _release(self) -> None:
        """Move everything the segment holds into synced files, and begin an empty one.

        Put off while a step is open on one of the databases, or while the disk has no room:
        the journal grows instead and keeps every record.
        """
        if any(one.in_step for one in self._dirty.values()):
            return
        self.sync()
        try:
            for one in self._dirty.values():
                one.checkpoint()
        except StorageFull:
            return
        try:
            for one in self._dirty.values():
                one.sync_file()
            for folder in {self.path_of(uid).parent for uid in self._young}:
                sync_directory(folder)
            if self._young:
                sync_directory(self.directory / "db")
        except OSError as error:
            # A sync that failed once may lie the next time: the journal must not be released.
            self._journal.fail(error)
        self._journal.rotate()
        self._dirty.clear()
        self._young.clear()

    # -- files --------------------------------------------------------------------------

    def path_of(self, uid: int) -> Path:
        """The file of a uid."""
        if uid == 0:
            return self.directory / "catalogue.db"
        return self.directory / "db" / f"{uid & 255:02x}" / f"{uid}.db"

    def create(self, path: Path) -> None:
        """A new file; whatever a dead process left under that name is replaced."""
        try:
            path.parent.mkdir(exist_ok=True)
            remove(path)
            path.write_bytes(template())
        except OSError as error:
            with contextlib.suppress(OSError):
                remove(path)
            raise StorageFull(f"no room for a new database: {error}", path=str(path)) from error

    def adopt(self, path: Path) -> None:
        """First use of a file in this process: its -wal is scratch of an earlier one."""
        if not path.exists():
            raise DatabaseCorrupt(f"{path} is missing", path=str(path))
        path.with_name(path.name + "-wal").unlink(missing_ok=True)

    def used(self, database: Database) -> None:
        """A step begins: keep this connection, and close old ones over the cap."""
        uid = _uid(database)
        self._open[uid] = database
        self._open.move_to_end(uid)
        if len(self._open) > self._cap:
            for one in [one for one in self._open.values() if not one.in_step][
                : len(self._open) - self._cap
            ]:
                if one is not database and one.uid != 0:
                    one.sleep()

    def closed(self, database: Database) -> None:
        """Its connection is closed."""
        self._open.pop(_uid(database), None)

    def close(self) -> None:
        """Sync the journal, close everything, let go of the directory. Idempotent."""
        if self._closed:
            return
        self._closed = True
        try:
            for one in list(self._open.values()):
                one.close()
            if self.failed is None:
                self.sync()
        finally:
            self._journal.close()
            self._lock.release()


def _uid(database: Database) -> int:
    assert database.uid is not None  # noqa: S101 - it has a row or a file
    return database.uid


def _check_format(root: Path) -> None:
    """Make an empty directory ours; refuse one that is not."""
    path = root / "format"
    if path.exists():
        found = path.read_text(errors="replace")
        if found != FORMAT:
            raise StateFormat(
                f"{root} holds {found.strip()[:100]!r}, this version reads {FORMAT.strip()!r}",
                path=str(root),
                found=found,
            )
        return
    others = {one.name for one in root.iterdir()} - {"lock", "catalogue.db", "db", "format.new"}
    if others or any(path_db.iterdir() for path_db in [root / "db"] if path_db.exists()):
        raise StateFormat(
            f"{root} is not empty and not a state directory",
            hint="choose a new or empty directory",
            path=str(root),
            found=", ".join(sorted(others)[:5]),
        )
    _initialise(root, path)


def _initialise(root: Path, path: Path) -> None:
    """Lay out a new directory; the format file comes last and says that all is there."""
    (root / "db").mkdir(exist_ok=True)
    _write_synced(root / "catalogue.db", first_image())
    new = root / "format.new"
    _write_synced(new, FORMAT.encode())
    sync_directory(root)
    new.rename(path)
    sync_directory(root)
    sync_directory(root.parent)


def _write_synced(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
