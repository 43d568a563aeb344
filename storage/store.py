"""An open state directory: the databases, the journal and the catalogue, wired."""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, NoReturn
from weakref import WeakValueDictionary

from storage import record
from storage.catalogue import Catalogue, Row
from storage.checkpoint import Background, Checkpointer, inline
from storage.chronicler import Chronicler
from storage.database import Database
from storage.disk import Disk
from storage.errors import DatabaseCorrupt, JournalFailed, StateClosed, StorageError, StorageFull
from storage.format import check_format
from storage.frames import Commit
from storage.history import Archive, Bookmark
from storage.history.lost import tell_lost
from storage.imaging import image
from storage.journal import Batch
from storage.layout import Layout, remove
from storage.leftovers import clear
from storage.limits import FileLimits, HistoryLimits, JournalLimits, StorageLimits
from storage.lock import Lock
from storage.meters import Charge, charge, forget
from storage.objects.folder import FolderStore
from storage.objects.store import ObjectStore
from storage.record import Entry, Record
from storage.recovery import recover
from storage.replica.lineage import begins
from storage.replica.opening import Opening
from storage.replica.shipper import Fence, Shipper
from storage.replica.snapshot import Image
from storage.spilled import Spilled
from storage.succession import began, replaced, stories
from storage.template import template

Change = tuple[Database, Commit]


class Store:
    """An open state directory. One process, one thread.

    `committed` counts the records queued so far, `durable` how many of them are on disk.
    """

    def __init__(
        self,
        layout: Layout,
        lock: Lock,
        disk: Disk,
        limits: StorageLimits,
        journal: JournalLimits,
        history: HistoryLimits,
        files: FileLimits,
        open_databases: int,
        opening: Opening | None,
        fence: Fence,
    ) -> None:
        """Use `Store.open`."""
        self.layout = layout
        self.disk = disk
        self.limits = limits
        self.thread = threading.get_ident()
        self.live: WeakValueDictionary[int, Database] = WeakValueDictionary()
        """Databases in memory by uid."""
        self.reshaped: Counter[int] = Counter()
        """How often something was deleted or put in place, by the root's uid."""
        self._lock = lock
        self._cap = open_databases
        self._open: OrderedDict[int, Database] = OrderedDict()
        self._roots: WeakValueDictionary[tuple[str, str], Database] = WeakValueDictionary()
        self._generations: dict[int, int] = {}
        """The newest generation of a database that was asked for in this process, by uid."""
        self._generating = threading.Lock()
        self.ended = False
        self.closing = False
        """Whether no new round of checkpoints is to begin."""
        recovered: list[Record] = []
        self.chronicler = Chronicler(
            self, Archive(disk, layout.history, history, begins(layout.root))
        )

        def before(records: Sequence[Record]) -> None:
            recovered.extend(records)
            tell_lost(disk, layout, self.chronicler.archive, records)

        self._journal = recover(disk, layout, before, journal)
        if opening is not None:
            opening.catch_up(disk, layout, recovered, self._journal.committed, self._journal.epoch)
        self._checkpointer = Checkpointer(
            disk, layout, self._journal, journal.size, self.chronicler
        )
        self._checkpointer.needed_besides = lambda: self.chronicler.endings.needed
        database = Database(self, None, "", "")
        database.settle(0, True)
        try:
            self.catalogue = Catalogue(database)
            clear(self)
            local = FolderStore(layout.objects, disk)
            where = local if opening is None else opening.objects(local, layout.objects)
            self.objects = Spilled(where, disk, layout.root)
            """Where large contents of files are."""
        except BaseException:
            database.close()
            self._journal.close()
            raise
        self.files = files
        self.replica: Shipper | None = None
        """Where records go besides the disk, if anywhere."""
        self.call: Callable[[Callable[[], Any]], Any] = _directly
        """Runs a function on the store's thread, for another one that waits for its result."""
        if opening is not None:
            self._journal.on_record = True
            self.replica = Shipper(
                opening.store, opening.lease, opening.tail, partial(image, self), fence
            )

    @classmethod
    def open(
        cls,
        root: Path | str,
        *,
        limits: StorageLimits | None = None,
        journal: JournalLimits | None = None,
        history: HistoryLimits | None = None,
        files: FileLimits | None = None,
        open_databases: int = 256,
        disk: Disk | None = None,
        replica: ObjectStore | None = None,
        host: str = "main",
        fence: Fence = "lease",
    ) -> Store:
        """Take the directory, making it if need be, and recover it. Blocks.

        With a `replica` this becomes the only incarnation of `host` there, and an empty
        directory is filled from it; `fence` is for `Shipper`.

        Raises `StateInUse` if another live process has it, `StateFormat` if it is not ours or
        of another version, `JournalCorrupt` if acknowledged data is damaged, `StateStale` if
        its replica has gone on without it.
        """
        layout, disk = Layout(Path(root)), disk or Disk()
        layout.root.mkdir(parents=True, exist_ok=True)
        lock = Lock(layout.root)
        try:
            opening = None if replica is None else Opening.claim(replica, host)
            check_format(layout, disk, opening.fill if opening else None)
            return cls(
                layout,
                lock,
                disk,
                limits or StorageLimits(),
                journal or JournalLimits(),
                history or HistoryLimits(),
                files or FileLimits(),
                open_databases,
                opening,
                fence,
            )
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
    def directory(self) -> Path:
        """The state directory."""
        return self.layout.root

    @property
    def committed(self) -> int:
        """Sequence of the newest record queued."""
        return self._journal.committed

    @property
    def durable(self) -> int:
        """Sequence up to which everything is on disk."""
        return self._journal.durable

    @property
    def epoch(self) -> int:
        """The number of this opening: every one has a higher one than those before."""
        return self._journal.epoch

    def bookmark(self) -> Bookmark:
        """The moment after the newest commit; good for every tree of this host."""
        return Bookmark(self.epoch, self.committed)

    def check_open(self) -> None:
        """Raise `StateClosed` if so: another process may have the directory."""
        if self.ended:
            raise StateClosed(f"{self.directory} was closed", path=str(self.directory))

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
        replica = {} if self.replica is None else {"replica": asdict(self.replica.stats())}
        return {
            **replica,
            "actors": self.catalogue.count(),
            "open": len(self._open),
            "committed": self.committed,
            "durable": self.durable,
            "journal": self._journal.size,
            "refused": len(self._checkpointer.refused),
            "swept": self.objects.removed,
        }

    # -- commits ------------------------------------------------------------------------

    def keep(self, changed: Sequence[Change]) -> int:
        """Queue one record of commits that SQLite has made; or take all of them back.

        The record's sequence. What the catalogue must learn of newborns is part of it.
        """
        at = record.now()
        changes = list(changed)
        newborn = [one for one, _ in changed if not one.born]
        charges = [charge for one, _ in changed for charge in one.charges]
        added: list[Database] = []
        try:
            rows = self._register(newborn, added, charges) if newborn or charges else None
            if rows is not None:
                changes.append((self.catalogue.database, rows))
            entries = [one.row_entry(record.ROW) for one in added]
            entries += [one.row_entry(record.CREATE) for one in newborn]
            entries += [one.pages_entry(made) for one, made in changes]
            sequence = self._journal.append(entries, at=at)
        except BaseException as error:
            for one in added:
                one.row = False
            self._take_back(changes)
            if isinstance(error, OSError):
                raise self._full(error) from error
            raise
        for one in newborn:
            one.born = True
        began(self, [one for one in added if one not in newborn], sequence)
        for one, made in changes:
            one.kept(sequence, at, made, began=one in added)
            self._checkpointer.wrote(one, sequence, one in newborn)
        if self._checkpointer.background is inline:
            self.tend()
        return sequence

    def commit_all(self, databases: Sequence[Database]) -> int:
        """Commit the open steps of several databases as one: all of them are kept, or none.

        When one cannot be kept, every step is undone and the error says why. The sequence of
        the record; 0 if nothing was written.
        """
        changes: list[Change] = []
        try:
            for one in databases:
                one.prepare()
            for one in databases:
                made = one.commit_frames()
                if made is not None:
                    changes.append((one, made))
        except BaseException:
            self._abandon(databases, changes)
            raise
        return self.keep(changes) if changes else 0

    def _abandon(self, databases: Sequence[Database], changes: Sequence[Change]) -> None:
        try:
            for one in databases:
                one.abandon()
        finally:
            self._take_back(changes)

    def _take_back(self, changes: Sequence[Change]) -> None:
        """Undo commits that no record was queued for. When that fails, the files hold what the
        journal does not, and this process must not go on with them."""
        try:
            for one, _ in reversed(changes):
                one.uncommit()
        except BaseException as error:
            self._journal.fail(error)

    def lost(self, error: BaseException) -> NoReturn:
        """SQLite made a commit that could not be read back: the journal will never have it, and
        this process must not go on with it. Raises `JournalFailed`."""
        self._journal.fail(error)

    def _full(self, error: OSError) -> StorageFull:
        return StorageFull(f"the journal has no room: {error}", path=str(self.directory))

    def _register(
        self, newborn: Sequence[Database], added: list[Database], charges: Sequence[Charge]
    ) -> Commit | None:
        """Write the rows of newborns, and of ancestors that have none, and what was spent."""
        catalogue = self.catalogue
        try:
            for one in newborn:
                self._add_row(one, added)
                catalogue.has_file(_uid(one))
            if charges:
                charge(catalogue, [(_uid(one), meter, more) for one, meter, more in charges])
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
        """Wipe a database and all below it, as one record; its sequence.

        Who is copying it goes on: the files stay as long as they are held."""
        database.look()
        living = list(database.family())
        if any(one.in_step or one.deferred for one in living):
            raise StorageError(
                f"{database.name!r} cannot be deleted while a step of it, or below it, is open"
            )
        if not database.row:
            for one in living:
                one.forget()
            return database.sequence
        rows = self.catalogue.subtree(_uid(database))
        told = stories(self, rows)
        living = list(database.family())  # again: telling of them has brought some to life
        tree = database.tree
        for one in living:
            one.close()
        try:
            self.catalogue.remove([row.uid for row in rows])
            forget(self.catalogue, [row.uid for row in rows])
            sequence = self.change([row.entry(record.DELETE, tree) for row in rows])
        except BaseException:
            self.catalogue.database.rollback()
            raise
        replaced(self, tree, sequence, told, ())
        for one in living:
            one.forget()
        database.sequence = sequence
        return sequence

    def gone(self, row: Row) -> int | None:
        """The file of this row is no longer its own; the first record that it may lack."""
        return self._checkpointer.forget(row.uid)

    def new_generation(self, uid: int, after: int) -> int:
        """A generation of a database that was not asked for before, later than `after`: two that
        replace the same file at the same time must not write to one. On any thread."""
        with self._generating:
            made = 1 + max(after, self._generations.get(uid, 0))
            self._generations[uid] = made
            return made

    def change(self, entries: Sequence[Entry]) -> int:
        """Commit the catalogue's open step together with `entries`, as one record."""
        catalogue = self.catalogue.database
        at = record.now()
        made = catalogue.commit_frames()
        assert made is not None  # noqa: S101 - something was changed
        try:
            sequence = self._journal.append([catalogue.pages_entry(made), *entries], at=at)
        except BaseException as error:
            self._take_back([(catalogue, made)])
            if isinstance(error, OSError):
                raise self._full(error) from error
            raise
        for tree in {one.tree for one in entries}:
            self.reshaped[tree] += 1
        catalogue.kept(sequence, at, made)
        self._checkpointer.wrote(catalogue, sequence, False)
        return sequence

    def at(self, row: Row) -> Database:
        """The database of a row, in memory or made to be."""
        found = self.live.get(row.uid)
        if found is None:
            above = self._above(row.parent)
            found = self.root(row.kind, row.name) if above is None else above.child(row.name)
            if not found.row:
                found.settle(row.uid, bool(row.file), row.generation)
        return found

    def _above(self, uid: int) -> Database | None:
        return None if uid == 0 else self.live.get(uid) or self.at(self.catalogue.row(uid))

    def uid_above(self, database: Database) -> int:
        """The uid of its parent, which may be without a row yet; 0 for a root."""
        parent = database.parent
        if parent is None:
            return 0
        parent.look()
        parent.take_uid()
        return _uid(parent)

    def add_above(self, database: Database, added: list[Database]) -> None:
        """Rows for ancestors that have none, as part of the catalogue's open step."""
        if database.parent is not None:
            database.parent.look()
            self._add_row(database.parent, added)

    # -- durability ---------------------------------------------------------------------

    def sync(self) -> None:
        """Make every commit so far durable, on this thread; `JournalFailed` if that fails."""
        self._journal.sync()
        self._settled()

    def take(self) -> Batch | None:
        """What is queued, for `write` on another thread; None if nothing, or one is out."""
        return self._journal.take()

    def write(self, batch: Batch) -> None:
        """Make a batch durable. On any thread; `settle` must follow on the store's own."""
        self._journal.write(batch)

    def settle(self) -> None:
        """Account for a batch that was written; `JournalFailed` if that failed."""
        self._journal.settle()
        self._settled()

    def _settled(self) -> None:
        if self.replica is not None:
            self.replica.push(self._journal.written())
        self._go_on()

    def _go_on(self, *, again: bool = False) -> None:
        """Tell of what ended durably, and remove what was told of."""
        if self.ended:
            return  # the journal has what there is to tell, for the next process
        endings, background = self.chronicler.endings, self._checkpointer.background
        endings.go_on(self.durable, background, again=again)
        if not self._checkpointer.running:
            endings.reap()

    @property
    def needed(self) -> int:
        """The oldest record with something that a file or the history may lack."""
        return self._checkpointer.needed

    def upload(self, row: Row, path: Path) -> None:
        """Give the replica, if there is one, the file that a record is about to bind. Blocks."""
        if self.replica is not None:
            self.replica.add(row.uid, Image(row.generation, self.durable, path.read_bytes()))

    @property
    def replica_lost(self) -> StorageError | None:
        """Why the replica will never have any more, if so: then nobody may be answered."""
        return None if self.replica is None else self.replica.lost

    def in_replica(self, sequence: int) -> bool:
        """Whether a reply may leave that depends on this record in the replica; 0 for on none.

        Raises why it never may, if so."""
        replica = self.replica
        if replica is None:
            return True
        if replica.lost is not None:
            raise replica.lost
        if replica.behind is not None and sequence > replica.acknowledged:
            raise replica.behind
        # Without the lease somebody else may have gone on, and what was read may be stale.
        return not sequence or (sequence <= replica.acknowledged and replica.held)

    @property
    def congested(self) -> bool:
        """Whether nobody should write more until there is room."""
        replica = self.replica
        return self._journal.congested or (replica is not None and replica.congested)

    def enforce(self) -> None:
        """Drop history that is over its limits. Blocks; on any thread."""
        self.chronicler.archive.enforce(record.now())

    @property
    def due(self) -> bool:
        """Whether `tend` has something to do."""
        return self._checkpointer.due

    def tend(self, *, everything: bool = False) -> bool:
        """Begin a round of checkpoints if one is due (`everything`: of all databases); whether
        one is running now."""
        if self.ended or self.closing:
            return self._checkpointer.running
        if not self._checkpointer.running and (everything or self._checkpointer.due):
            self.sync()  # only what is durable may be told or moved
            self._go_on(again=True)
            self._checkpointer.start(everything=everything)
        return self._checkpointer.running

    @property
    def makes_room(self) -> bool:
        """Whether something is under way, or can be begun, that ends a congestion."""
        replica = self.replica is not None and self.replica.congested
        # A round that moved nothing (no room, damage) would move nothing again.
        rounds = not self._checkpointer.stuck and self.tend()
        return rounds or self.durable < self.committed or replica

    def run_in(self, background: Background) -> None:
        """Where rounds do their slow work; without it, `tend` does it before it returns."""
        self._checkpointer.background = background

    # -- files --------------------------------------------------------------------------

    def create(self, path: Path) -> None:
        """A new file; whatever a dead process left under that name is replaced."""
        try:
            path.parent.mkdir(exist_ok=True)
            remove(self.disk, path)
            self.disk.write_file(path, template(), sync=False)
        except OSError as error:
            raise StorageFull(f"no room for a new database: {error}", path=str(path)) from error

    def adopt(self, path: Path) -> None:
        """First use of a file in this process: its -wal is scratch of an earlier one."""
        if not path.exists():
            raise DatabaseCorrupt(f"{path} is missing", path=str(path))
        try:
            self.disk.unlink(path.with_name(path.name + "-wal"))
        except OSError as error:
            raise StorageFull(f"the disk refused this step: {error}", path=str(path)) from error

    def used(self, database: Database) -> None:
        """A step begins: keep this connection, and close old ones over the cap."""
        uid = _uid(database)
        self._open[uid] = database
        self._open.move_to_end(uid)
        if len(self._open) > self._cap:
            self._close_oldest(database)

    def _close_oldest(self, kept: Database) -> None:
        """Put databases to sleep, those not used for longest first, down to the cap."""
        over = len(self._open) - self._cap
        found: list[Database] = []
        for one in self._open.values():
            if len(found) == over:
                break
            if one is not kept and one.uid != 0 and one.idle:
                found.append(one)
        for one in found:
            one.sleep()

    def closed(self, database: Database) -> None:
        """Its connection is closed."""
        self._open.pop(_uid(database), None)

    def close(self) -> None:
        """Sync the journal, close everything, let go of the directory. Idempotent."""
        if self.ended:
            return
        self.ended = True
        try:
            for one in list(self._open.values()):
                one.close()
            if self.failed is None:
                self.sync()
            if self.replica is not None:
                self.replica.close()
        finally:
            self._journal.close()
            self._lock.release()


def _directly(function: Callable[[], Any]) -> Any:
    return function()


def _uid(database: Database) -> int:
    assert database.uid is not None  # noqa: S101 - it has a row or a file
    return database.uid
