"""An open state directory: the databases, the journal and the catalogue, wired."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from storage import record
from storage.catalogue import Catalogue, Row
from storage.checkpoint import Background, Checkpointer
from storage.chronicler import Chronicler
from storage.commits import Commits
from storage.connections import Connections
from storage.database import Database
from storage.databases import Databases
from storage.disk import Disk
from storage.errors import JournalFailed, StateClosed, StorageError, StorageFull
from storage.format import check_format
from storage.history import Archive, Bookmark
from storage.history.lost import tell_lost
from storage.imaging import image
from storage.journal import Batch
from storage.layout import Layout
from storage.leftovers import clear
from storage.limits import FileLimits, HistoryLimits, JournalLimits, StorageLimits
from storage.lock import Lock
from storage.objects.folder import FolderStore
from storage.objects.store import ObjectStore
from storage.record import Record
from storage.recovery import recover
from storage.replica.lineage import begins
from storage.replica.opening import Opening
from storage.replica.shipper import Fence, Shipper
from storage.replica.snapshot import Image
from storage.spilled import Spilled


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
        self.databases = Databases(self)
        self.connections = Connections(disk, open_databases)
        self._lock = lock
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
        self.commits = Commits(self, self._journal, self._checkpointer)
        self._checkpointer.needed_besides = lambda: self.chronicler.endings.needed
        database = Database(self, None, "", "")
        database.settle(Row(0, 0, "", "", 1, 1))
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
        self.on_due: Callable[[Database], None] = _ignore
        """Told of a database whose `next_due` a commit changed."""
        self.on_graft: Callable[[Mapping[int, int | None]], None] = _ignore
        """Told of the uids whose rows were replaced or removed, with what is `due` there now."""
        if opening is not None:
            opening.lease.keep()  # what is open may serve: it is the shipper's from here on
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

    def fail(self, failure: JournalFailed) -> None:
        """Nothing more becomes durable, for this reason; what is queued is lost."""
        self._journal.failed = self._journal.failed or failure

    def root(self, kind: str, name: str) -> Database:
        """The database of a root actor; no I/O."""
        return self.databases.root(kind, name)

    def names(self, kind: str) -> list[str]:
        """Root actors of a kind that have state, in order."""
        return self.catalogue.names(0, kind)

    @property
    def journal_size(self) -> int:
        """Bytes of records that are not in synced files yet."""
        return self._journal.size

    def stats(self) -> dict[str, Any]:
        """The present moment."""
        replica = {} if self.replica is None else {"replica": asdict(self.replica.stats())}
        return {
            **replica,
            "actors": self.catalogue.count(),
            "open": len(self.connections),
            "committed": self.committed,
            "durable": self.durable,
            "journal": self.journal_size,
            "refused": len(self._checkpointer.refused),
            "swept": self.objects.removed,
        }

    # -- commits ------------------------------------------------------------------------

    def commit_all(self, databases: Sequence[Database]) -> int:
        """Commit the open steps of several databases as one (see `Commits.keep_all`)."""
        return self.commits.keep_all(databases)

    def gone(self, row: Row) -> int | None:
        """The file of this row is no longer its own; the first record that it may lack."""
        return self._checkpointer.forget(row.uid)

    def postpone(self, row: Row) -> None:
        """Nothing of this database is told to the history before what is told next."""
        self._checkpointer.postpone(row.uid)

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
            endings.reap(background)

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

    @property
    def due_again(self) -> bool:
        """Whether it has, now that something else is over."""
        return self._checkpointer.due_again

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

    def close(self) -> None:
        """Sync the journal, close everything, let go of the directory. Idempotent."""
        if self.ended:
            return
        self.ended = True
        try:
            self.connections.close()
            if self.failed is None:
                self.sync()
            if self.replica is not None:
                self.replica.close()
        finally:
            self._journal.close()
            self._lock.release()


def _ignore(_: object) -> None:
    """Nobody has asked."""


def _directly(function: Callable[[], Any]) -> Any:
    return function()
