"""The logical database of one actor: no file and no connection until it needs them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from storage import record
from storage.connection import Bindings, Connection
from storage.errors import StorageError, WrongThread
from storage.frames import Commit, FrameReader, Mark
from storage.history.story import Told
from storage.kv import Kv
from storage.layout import remove
from storage.limits import CATALOGUE, PAGE_SIZE
from storage.meters import Charge
from storage.migrations import migrate
from storage.record import Entry
from storage.rows import Rows
from storage.schedule import Schedule
from storage.sql import Sql
from storage.standing import Standing
from storage.views.view import confined

if TYPE_CHECKING:
    from storage.files import Files
    from storage.limits import StorageLimits
    from storage.store import Store


class Database(Standing):
    """State of one actor, written in steps.

    The first statement of a step opens a transaction, `commit` or `rollback` ends it. A commit
    is queued in the journal when `commit` returns and durable when the store says so.
    """

    __slots__ = (
        "__weakref__", "_children", "_connection", "_files", "_migrated", "_reader", "charges",
        "commits", "deferred", "held", "in_step", "kv", "limits", "marks", "migrations", "next_due",
        "on_begin", "owner", "pages", "rescheduled", "schedule", "sequence", "spills", "sql",
        "told", "transaction_depth", "unkept",
    )  # fmt: skip

    def __init__(self, store: Store, parent: Database | None, kind: str, name: str) -> None:
        super().__init__(store, parent, kind, name)
        self._children: WeakValueDictionary[str, Database] = WeakValueDictionary()
        self._connection: Connection | None = None
        self.migrations: Sequence[str] = ()
        self.on_begin: Callable[[], None] | None = None
        """Called before a step's transaction opens; may raise to refuse it."""
        self.owner: object = None
        """Who runs over it, for whoever finds the database first."""
        self.commits = 0
        """How many were kept in this process."""
        self.sequence = 0
        """The newest record of this database in this process."""
        self.limits = store.limits
        """What this database may hold, and one statement do; `limit` changes it."""
        self.charges: Sequence[Charge] = ()
        """What the commit that is being made adds to the catalogue's sums of meters."""
        self.spills = True
        """Large files may leave it for the object store, where nobody counts them."""
        self.in_step = False
        self.transaction_depth = 0
        """Open `with transaction():` blocks."""
        self.deferred = False
        """Steps end without a commit: a transaction over several databases is open."""
        self.held = 0
        """Who needs the file and the -wal to stay as they are: no checkpoint meanwhile."""
        self.unkept = False
        """SQLite made a commit that has no record yet: it must be kept or taken back."""
        self.sql = Sql(self)
        self.kv = Kv(self)
        self.schedule = Schedule(self)
        self.rescheduled = False
        """The open step, or the commit that is being kept, changed timers."""
        self.next_due: int | None = None
        """When the first one is due, as of the commit that is being kept."""
        self._files: Files | None = None

    def _forget(self) -> None:
        """Know nothing of what is on disk."""
        super()._forget()
        self.pages = 0
        self.marks: list[Mark] = []
        """Commits that a checkpoint would move into the file."""
        self.told = Told()
        self._migrated: Sequence[str] = ()
        self._reader: FrameReader | None = None

    @property
    def fs(self) -> Files:
        """Its file system; made when first asked for."""
        if self._files is None:
            from storage.files import Files

            self._files = Files(self, self._store.objects, self._store.files)
        return self._files

    # -- identity -----------------------------------------------------------------------

    def child(self, name: str) -> Database:
        """The database of a facet; no I/O."""
        found = self._children.get(name)
        if found is None:
            found = self._children[name] = Database(self._store, self, "", name)
        return found

    def family(self) -> Iterator[Database]:
        """It and all below it that are in memory, whether or not they have state."""
        yield self
        for one in list(self._children.values()):
            yield from one.family()

    def size(self) -> int:
        """Bytes of the database; 0 without one, and before its first commit."""
        self.look()
        if self.born and not self.pages and self.path is not None and self.path.exists():
            self.pages = self.path.stat().st_size // PAGE_SIZE
        return self.pages * PAGE_SIZE if self.born else 0

    def growth(self) -> tuple[int, int]:
        """Bytes that the open step adds to the database, and 1 if it is its first commit."""
        connection = self._connection
        if connection is None or not connection.writes:
            return 0, 0
        pages: int = connection.own("pragma page_count")[0][0]
        return (pages - self.pages * self.born) * PAGE_SIZE, int(not self.born)

    def stand(self, parent: Database | None, kind: str, name: str) -> None:
        """It was moved there."""
        if self.parent is not None:
            self.parent._children.pop(self.name, None)
        self.parent, self.kind, self.name = parent, kind, name
        if parent is not None:
            parent._children[name] = self

    def _take(self, uid: int) -> int:
        self.uid = uid
        self.path = self._store.layout.path(uid, self.generation)
        self._store.databases.live[uid] = self
        return uid

    # -- statements ---------------------------------------------------------------------

    def run(self, query: str, bindings: Bindings | None) -> Rows:
        """Run an actor's statement in the current step."""
        if not self.in_step:
            self.begin()
        connection = self._connection
        assert connection is not None  # noqa: S101 - a step has one
        try:
            return Rows(*connection.run(query, bindings))
        except StorageError as error:
            self._lost(error)
            raise

    def run_many(self, query: str, rows: Sequence[Bindings]) -> int:
        """Run an actor's statement for each of these rows; the number of changes."""
        if not self.in_step:
            self.begin()
        connection = self._connection
        assert connection is not None  # noqa: S101 - a step has one
        self.begin_savepoint()
        try:
            changes = connection.many(query, rows)
        except Exception as error:
            self._lost(error)
            if self.in_step:
                self.rollback_savepoint()
            raise
        self.release_savepoint()
        return changes

    def run_own(self, query: str, bindings: Bindings | None = None) -> list[tuple[Any, ...]]:
        """Run a statement of the runtime's own in the current step."""
        if not self.in_step:
            self.begin()
        connection = self._connection
        assert connection is not None  # noqa: S101 - a step has one
        try:
            return connection.own(query, bindings)
        except StorageError as error:
            self._lost(error)
            raise

    def run_confined(
        self,
        query: str,
        bindings: Bindings | None,
        why_denied: Callable[[int, str | None], str | None],
    ) -> Rows:
        """Run a stranger's statement, which may do no more than `why_denied` lets pass."""
        if not self.in_step:
            self.begin()
        connection = self._connection
        assert connection is not None  # noqa: S101 - a step has one
        try:
            with connection.within(confined(self.limits)):
                return Rows(*connection.run_confined(query, bindings, why_denied))
        except StorageError as error:
            self._lost(error)
            raise

    @contextmanager
    def confined(self, *, reads: bool) -> Iterator[None]:
        """Statements of the runtime's own on a stranger's behalf, under a stranger's limits."""
        self.look()
        if reads and not self.has_file:
            yield  # there is nothing, and reading it makes no database
            return
        if not self.in_step:
            self.begin()
        connection = self._connection
        assert connection is not None  # noqa: S101 - a step has one
        with connection.within(confined(self.limits)):
            yield

    def _lost(self, error: Exception) -> None:
        """SQLite may have rolled the whole step back by itself (a full disk)."""
        connection = self._connection
        if connection is not None and not connection.in_transaction:
            self._end_step()
            self._unmake()
            error.add_note("the whole step was rolled back")

    # -- steps --------------------------------------------------------------------------

    def begin(self) -> None:
        """Open a step: a transaction, with the migrations in it if any are missing."""
        if threading.get_ident() != self._store.thread:
            raise WrongThread("storage was used from a thread that is not its runtime's")
        if self.on_begin is not None:
            self.on_begin()
        connection = self._connection or self._connect()
        self._store.connections.used(self)
        if self.deferred:
            connection.begin_part()
        else:
            connection.begin()
        self.in_step = True
        if self.migrations and self._migrated is not self.migrations:
            try:
                migrate(connection, self.migrations)
            except BaseException:
                self.rollback()
                raise
            self._migrated = self.migrations

    def commit(self) -> int:
        """End the step: keep it, and queue its record. The newest sequence of this database.

        When it cannot be kept, it is undone as a whole and the error says why.
        """
        if not self.in_step:
            return self.sequence
        if self.deferred:
            assert self._connection is not None  # noqa: S101 - a step has one
            self._end_step()
            self._connection.end_part()
            return self.sequence
        made = self.commit_frames()
        if made is not None:
            self._store.commits.keep([(self, made)])
        return self.sequence

    def kept(self, sequence: int, at: int, made: Commit, *, began: bool = False) -> None:
        """Its newest commit is in the journal's queue, as record `sequence`; `began`: and so is
        the actor's row."""
        reader = self._reader
        assert reader is not None  # noqa: S101 - it was committed
        self.unkept = self.rescheduled = False
        self.commits += 1
        self.sequence = sequence
        self.marks.append(Mark(sequence, at, reader.first, reader.base, self.pages, began))
        self.pages = made.size

    def prepare(self) -> None:
        """Have everything of the open step in the -wal, so that its COMMIT cannot fail for want
        of space, and no constraint left to check. Raises what COMMIT would."""
        if self._connection is not None and self._connection.in_transaction:
            self._connection.prepare()

    def commit_frames(self) -> Commit | None:
        """The SQLite half of a commit; what it wrote, which the journal does not have yet."""
        if self.rescheduled and self._connection is not None:
            self.next_due = self.schedule.next(self._connection)
        self._end_step()
        if self._connection is None or not self._connection.in_transaction:
            return None
        connection = self._connection
        try:
            made = connection.commit()
        except BaseException as error:
            self._unmake()
            if connection.committed:
                self._store.commits.lost(error)
            raise
        self.unkept = made is not None
        self.rescheduled = self.rescheduled and self.unkept
        return made

    def rollback(self) -> None:
        """End the step: undo it. Nothing happens without one."""
        if not self.in_step:
            return
        self._end_step()
        if self._connection is not None:
            if self.deferred:
                self._connection.undo_part()
            else:
                self._connection.rollback()
        self._unmake()

    def defer(self) -> None:
        """From now on steps end without a commit, until `Store.commit_all` or `abandon`."""
        self.deferred = True
        self.held += 1

    def undefer(self) -> None:
        """Steps are commits again; what is still open is undone."""
        self.abandon()
        self.deferred = False
        self.held -= 1

    def abandon(self) -> None:
        """Undo everything since `defer`."""
        self._end_step()
        if self._connection is not None and self._connection.in_transaction:
            self._connection.rollback()
            self._unmake()

    def _end_step(self) -> None:
        self.in_step = False
        self.transaction_depth = 0

    def _unmake(self) -> None:
        """What the undone step may have made has to be looked for again."""
        self._migrated = ()
        self.kv.forget()
        self.schedule.forget()
        self.rescheduled = self.rescheduled and self.deferred
        if self._files is not None:
            self._files.forget()

    def begin_savepoint(self) -> None:
        """Open a part of the step that can be undone alone."""
        self.run_own(f"savepoint s{self.transaction_depth + 1}")
        self.transaction_depth += 1

    def release_savepoint(self) -> None:
        """Keep the innermost part."""
        self.run_own(f"release s{self.transaction_depth}")
        self.transaction_depth -= 1

    def rollback_savepoint(self) -> None:
        """Undo the innermost part."""
        self.run_own(f"rollback to s{self.transaction_depth}")
        self.release_savepoint()
        self._unmake()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """A part of the step that is undone alone when an exception leaves it."""
        self.begin_savepoint()
        depth = self.transaction_depth
        try:
            yield
        except BaseException:
            if self.in_step and self.transaction_depth == depth:
                self.rollback_savepoint()
            raise
        if self.in_step and self.transaction_depth == depth:
            self.release_savepoint()

    # -- file and connection ------------------------------------------------------------

    def _connect(self) -> Connection:
        """Open it for a step, if that may be."""
        if self._store.connections.on_open is not None:
            self._store.connections.on_open(self)
        return self._open()

    def _open(self) -> Connection:
        self._store.check_open()
        self.look()
        self.take_uid()
        path = self.path
        assert path is not None  # noqa: S101 - it goes with the uid
        if not self.has_file:
            self._store.connections.create(path)
            self._reader = None
        elif self._reader is None:
            self._store.connections.adopt(path)
            self.pages = path.stat().st_size // PAGE_SIZE
        if self._reader is None:
            self._reader = FrameReader(path.with_name(path.name + "-wal"))
        self._reader.reset()
        self.has_file = True
        limits = self.limits if self.uid else CATALOGUE
        self._connection = Connection(path, self._reader, limits, self._store.disk.vfs)
        return self._connection

    @property
    def undecided(self) -> bool:
        """Whether something may be written that is neither kept nor undone yet."""
        return self._connection is not None and self._connection.in_transaction

    @property
    def at_rest(self) -> bool:
        """Whether everything is in its file, and nobody has that open."""
        return self._connection is None and not self.marks and not self.unkept

    def peek(self, query: str, bindings: Bindings | None = None) -> list[tuple[Any, ...]]:
        """Rows as of the newest commit, without a step. Not in a step."""
        was_open = self._connection is not None
        connection = self._connection or self._open()
        try:
            return connection.own(query, bindings)
        finally:
            if not was_open:
                self.close()

    def limit(self, limits: StorageLimits) -> None:
        """Use these limits from the next step on. Not in a step."""
        if limits != self.limits:
            self.limits = limits
            if not self.held:
                self.close()

    def close(self) -> None:
        """Close the connection; an open step is undone."""
        self._disconnect()
        self.tidy()

    def _disconnect(self) -> None:
        self.rollback()
        if self._connection is not None:
            self._connection.close()
            self._connection = None
            self._store.connections.closed(self)
            if self._reader is not None and not self.marks and not self.unkept:
                self._reader.stale = True

    def tidy(self) -> None:
        """Give back the room of a -wal that nobody needs any more. On any thread."""
        if self._reader is not None:
            self._reader.reset()

    @property
    def idle(self) -> bool:
        """Whether nobody needs the connection, or the file as it stands."""
        return not self.in_step and not self.held and not self.unkept

    def sleep(self) -> None:
        """Close the connection, unless a step needs it. A file without a commit goes with it."""
        if self._connection is not None and self.idle:
            self.close()
            if not self.born:
                self._discard()

    def _discard(self) -> None:
        if self.path is not None and self.has_file:
            remove(self._store.disk, self.path)
        self.has_file = False
        self._reader = None
        self._unmake()

    def uncommit(self) -> None:
        """Take the newest commit back: its record could not be queued."""
        self.close()
        if self._reader is not None:
            self._reader.truncate_last()
        self.unkept = False
        self._unmake()
        if not self.born:
            self._discard()

    def forget(self) -> None:
        """Close, and know nothing: the actor was deleted, or another took its place."""
        self.close()
        if not self.born:
            with suppress(OSError):  # scratch; whoever gets this name begins by removing it
                self._discard()
        self._unmake()
        if self.uid is not None and self._store.databases.live.get(self.uid) is self:
            del self._store.databases.live[self.uid]
        self._forget()

    def yield_place(self) -> None:
        """Another one stands here: this one, if somebody has it still, is nobody for good."""
        self.forget()
        self._known = True

    @property
    def frames(self) -> int:
        """Frames that a checkpoint would move."""
        return self.marks[-1].last - self.marks[0].first + 1 if self.marks else 0

    def backfill(self) -> None:
        """Move every page from the -wal into the file, unsynced; `tidy` is left. Not in a step."""
        was_open = self._connection is not None
        connection = self._connection or self._open()
        try:
            connection.checkpoint()
            self.marks = []
        finally:
            if not was_open:
                self._disconnect()

    def pages_entry(self, commit: Commit) -> Entry:
        """What the journal keeps of a commit."""
        assert self.uid is not None  # noqa: S101 - it was committed
        return Entry(record.PAGES, self.uid, self.generation, commit, self.tree)

    def delete(self) -> int:
        """Wipe this database and all below it; the sequence of the record."""
        from storage.delete import delete

        return delete(self._store, self)
