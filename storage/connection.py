"""One open SQLite connection, set up so that the journal alone makes a commit durable.

WAL, exclusive locking, `synchronous=OFF`, no automatic checkpoint and none on close: SQLite
syncs nothing. With `synchronous=NORMAL` the first transaction of a new file cost 680 us
instead of 113, for syncs that recovery does not use.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import apsw

from storage import functions
from storage.authorizer import why_denied, why_own_denied
from storage.errors import (
    ConstraintError,
    OutOfMemory,
    ResultTooLarge,
    StorageError,
    StorageFull,
    TooManyRows,
)
from storage.frames import Commit, FrameReader
from storage.limits import PAGE_SIZE, StorageLimits
from storage.refusals import Circumstances, translate

_OWN = apsw.SQLITE_PREPARE_PERSISTENT
"""Marks the runtime's statements: the flag is part of the statement cache's key."""
SETUP = (
    "pragma locking_mode=exclusive; pragma synchronous=off; pragma temp_store=memory;"
    "pragma foreign_keys=on; pragma cell_size_check=on; pragma wal_autocheckpoint=0;"
)

_ROW, _VALUE = 56, 40
"""Bytes of memory: of a tuple and its place in a list, of a small value and its place there."""

WhyDenied = Callable[[int, "str | None"], "str | None"]
"""Why a statement may not do this to that, or None when it may."""
Bindings = Sequence[Any] | Mapping[str, Any]
Result = tuple[tuple[str, ...], list[tuple[Any, ...]], int]
"""Columns, all rows, number of changes."""


class Connection:
    """An open database. Lives on one thread; every call is synchronous."""

    flags = apsw.SQLITE_OPEN_READWRITE
    setup = SETUP

    __slots__ = (
        "_begun", "_columns", "_confined", "_db", "_deadline", "_denied", "_hooked", "_narrow",
        "_own", "_reader", "_reads", "_text", "limits", "path",
    )  # fmt: skip

    def __init__(
        self, path: Path, reader: FrameReader, limits: StorageLimits, vfs: str = ""
    ) -> None:
        self.path = path
        self.limits = limits
        self._reader = reader
        self._hooked = 0
        self._own = True
        self._text = ""
        self._denied = ""
        self._confined: WhyDenied | None = None
        """What the statement may not do besides what no statement may."""
        self._deadline = math.inf
        self._begun = False
        """A statement began since the last row was read."""
        self._reads = True
        """The newest statement writes nothing."""
        self._narrow = 0
        """Bytes of a value, while a wide statement has them limited further."""
        self._columns: tuple[str, ...] = ()
        try:
            self._db = apsw.Connection(str(path), self.flags, vfs or None)
        except apsw.Error as error:
            raise self._translate(error, "open") from error
        try:
            self._prepare()
        except BaseException as error:
            with suppress(apsw.Error):  # the error to tell is the first one
                self._db.close(True)
            if isinstance(error, apsw.Error):
                raise self._translate(error, "open") from error
            raise

    def _prepare(self) -> None:
        db, limits = self._db, self.limits
        # First: closed without it, after an error here, SQLite would move what is not durable.
        db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        for _ in db.execute(self.setup + f"pragma max_page_count={limits.database // PAGE_SIZE}"):
            pass
        db.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 1)
        db.config(apsw.SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0)
        functions.define(db)
        db.limit(apsw.SQLITE_LIMIT_LENGTH, limits.value)
        db.limit(apsw.SQLITE_LIMIT_SQL_LENGTH, limits.statement)
        db.limit(apsw.SQLITE_LIMIT_VARIABLE_NUMBER, limits.parameters)
        db.limit(apsw.SQLITE_LIMIT_LIKE_PATTERN_LENGTH, limits.pattern)
        db.limit(apsw.SQLITE_LIMIT_ATTACHED, 0)
        db.limit(apsw.SQLITE_LIMIT_WORKER_THREADS, 0)
        apsw.hard_heap_limit(limits.heap)
        db.exec_trace = self._trace
        db.authorizer = self._authorize
        if limits.seconds is not None:
            db.set_progress_handler(self._overdue, 4000)
        # After `wal_autocheckpoint`, which replaces the hook.
        db.set_wal_hook(self._committed)

    @property
    def in_transaction(self) -> bool:
        """Whether a step is open."""
        return self._db.in_transaction

    @property
    def writes(self) -> bool:
        """Whether the open step has written something."""
        return self._db.txn_state("main") == apsw.SQLITE_TXN_WRITE

    def begin(self) -> None:
        """Open a step."""
        self._db.execute("begin", prepare_flags=_OWN)

    def begin_part(self) -> None:
        """Open a step inside a transaction that goes on after it."""
        if not self._db.in_transaction:
            self.begin()
        self._db.execute("savepoint step", prepare_flags=_OWN)

    def end_part(self) -> None:
        """End such a step, keeping it in the transaction."""
        self._db.execute("release step", prepare_flags=_OWN)

    def undo_part(self) -> None:
        """End such a step, undoing it; nothing happens if SQLite undid everything itself."""
        if self._db.in_transaction:
            self._db.execute("rollback to step", prepare_flags=_OWN)
            self._db.execute("release step", prepare_flags=_OWN)

    def run(self, query: str, args: Bindings | None = None) -> Result:
        """Run an actor's SQL to its end, each statement of it; the rows are the last one's."""
        was, self._own = self._own, False
        try:
            return self._run(query, args, 0)
        finally:
            self._own = was

    def own(self, query: str, args: Bindings | None = None) -> list[tuple[Any, ...]]:
        """Run a statement of the runtime's own; it may name reserved tables."""
        was, self._own = self._own, True
        try:
            return self._run(query, args, _OWN)[1]
        finally:
            self._own = was

    def run_confined(self, query: str, args: Bindings | None, why_denied: WhyDenied) -> Result:
        """Run a stranger's SQL; `why_denied` is asked of everything that it does."""
        was, self._own = self._own, False
        self._confined = why_denied
        try:
            # Not from the cache, where a statement has been asked about already, for others.
            return self._run(query, args, 0, cached=False)
        finally:
            self._own = was
            self._confined = None

    @contextmanager
    def within(self, limits: StorageLimits) -> Iterator[None]:
        """Hold statements to other limits on value, rows, result and seconds for a while."""
        usual, self.limits = self.limits, limits
        self._db.limit(apsw.SQLITE_LIMIT_LENGTH, limits.value)
        if usual.seconds is None:
            self._db.set_progress_handler(self._overdue, 4000)
        try:
            yield
        finally:
            self.limits = usual
            self._db.limit(apsw.SQLITE_LIMIT_LENGTH, usual.value)
            if usual.seconds is None:
                self._db.set_progress_handler(None)

    def many(self, query: str, rows: Sequence[Bindings]) -> int:
        """Run an actor's statement once for each row; the number of changes."""
        was, self._own = self._own, False
        before = self._db.total_changes()
        self._start(query)
        try:
            for _ in self._db.executemany(query, rows):
                pass
        except Exception as error:
            raise self._failed(error, query) from error
        finally:
            self._finish()
            self._own = was
        return self._db.total_changes() - before

    def _run(self, query: str, args: Bindings | None, flags: int, cached: bool = True) -> Result:
        before = self._db.total_changes()
        cursor = None
        self._start(query)
        try:
            cursor = self._db.execute(query, args, can_cache=cached, prepare_flags=flags)
            rows = self._fetch(cursor) if self._columns else []
        except BaseException as error:
            if cursor is not None and not isinstance(error, apsw.Error):
                self._abandon(cursor)
            if isinstance(error, Exception):
                raise self._failed(error, query) from error
            raise
        finally:
            self._finish()
        return self._columns, rows, self._db.total_changes() - before

    def _fetch(self, cursor: apsw.Cursor) -> list[tuple[Any, ...]]:
        """All rows of the last statement that the cursor runs."""
        limits = self.limits
        rows: list[tuple[Any, ...]] = []
        self._begun = False
        room = limits.result
        for row in cursor:
            if self._begun:  # a row of the next statement of the text
                rows.clear()
                self._begun = False
                room = limits.result
            room -= _ROW + _VALUE * len(row)
            for value in row:
                kind = type(value)
                if kind is str or kind is bytes:
                    room -= len(value)
            if room < 0:
                raise ResultTooLarge(
                    f"the rows take more than {limits.result} bytes", limit=limits.result
                )
            rows.append(row)
            if len(rows) > limits.rows:
                raise TooManyRows(
                    f"the statement returned more than {limits.rows} rows",
                    hint="use LIMIT",
                    limit=limits.rows,
                )
        return [] if self._begun else rows

    def _abandon(self, cursor: apsw.Cursor) -> None:
        """End a statement in the middle. What it wrote by then stays, so the step goes."""
        cursor.close(True)
        if not self._reads:
            self.rollback()

    def _failed(self, error: Exception, query: str) -> Exception:
        """The error of ours; after a full disk or memory, SQLite undid the step or only the
        statement, as it happened to keep its journal: the step, so that one can rely on it."""
        ours = self._translate(error, query)
        if isinstance(ours, (StorageFull, OutOfMemory)):
            self.rollback()
        return ours

    def _translate(self, error: Exception, query: str) -> Exception:
        largest = self._narrow or self.limits.value
        return translate(error, query, Circumstances(self.path, self.limits, self._denied, largest))

    def _start(self, query: str) -> None:
        self._columns = ()
        self._text = query
        self._denied = ""
        self._start_budget()

    def _finish(self) -> None:
        # SQLite counts instructions over all runs of a prepared statement: sooner or later it
        # asks during a BEGIN or COMMIT too, long after the statement that had the time.
        self._deadline = math.inf
        if self._narrow:
            self._narrow = 0
            self._db.limit(apsw.SQLITE_LIMIT_LENGTH, self.limits.value)

    def prepare(self) -> None:
        """Let everything fail now that could fail at COMMIT."""
        if self._db.status(apsw.SQLITE_DBSTATUS_DEFERRED_FKS)[0]:
            raise ConstraintError(
                "a deferred foreign key is violated", statement="commit", code=787
            )
        try:
            self._db.cache_flush()
        except apsw.Error as error:
            raise self._translate(error, "commit") from error

    def commit(self) -> Commit | None:
        """COMMIT the step; what it wrote, or None. On failure the step is rolled back."""
        self._hooked = 0
        self._denied = ""
        try:
            self._reader.open()
            self._db.execute("commit", prepare_flags=_OWN)
        except OSError as error:
            self.rollback()
            raise StorageFull(f"no room for this step: {error}", path=str(self.path)) from error
        except apsw.Error as error:
            self.rollback()
            raise self._translate(error, "commit") from error
        return self._reader.read(self._hooked) if self._hooked else None

    @property
    def committed(self) -> bool:
        """Whether SQLite made the newest `commit`, even if that raised: its frames could not be
        read then."""
        return self._hooked > 0

    def rollback(self) -> None:
        """Undo the open step; nothing happens without one (SQLite may have undone it itself)."""
        if self._db.in_transaction:
            was, self._own = self._own, True
            try:
                self._db.execute("rollback", prepare_flags=_OWN)
            finally:
                self._own = was

    def checkpoint(self) -> None:
        """Move every page of the -wal into the database file; nothing is synced."""
        try:
            total, moved = self._db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        except apsw.Error as error:
            raise self._translate(error, "commit") from error
        if total != moved:
            raise StorageError(f"checkpoint of {self.path} moved {moved} of {total} frames")

    def close(self) -> None:
        """Close without a checkpoint; the -wal keeps what the file lacks."""
        self._db.close(True)
        self._reader.close()

    # -- called by SQLite -------------------------------------------------------------

    def _committed(self, _db: apsw.Connection, _name: str, pages: int) -> int:
        self._hooked = pages
        return 0

    def _trace(self, cursor: apsw.Cursor, _sql: str, _bindings: Any) -> bool:
        # The only moment at which a statement without rows still knows its columns.
        columns = tuple([column[0] for column in cursor.get_description()])
        self._reads = cursor.is_readonly
        if self._reads and not columns:
            return True  # a comment behind the last statement is run like one
        self._columns = columns
        self._begun = True
        # SQLite may hand one value out in every column, and each becomes a copy: 2,000 columns
        # of 16 MB are 32 GB that no other limit sees.
        room = self.limits.heap // (len(columns) or 1)
        if room < (self._narrow or self.limits.value):
            self._narrow = room
            self._db.limit(apsw.SQLITE_LIMIT_LENGTH, room)
        return True

    def _authorize(
        self,
        action: int,
        first: str | None,
        second: str | None,
        database: str | None,
        trigger: str | None,
    ) -> int:
        if self._own:
            reason = why_own_denied(action, trigger)
        else:
            reason = why_denied(action, first, second, database, self._text)
            if reason is None and self._confined is not None:
                reason = self._confined(action, first)
        if reason is None:
            return apsw.SQLITE_OK
        self._denied = reason
        return apsw.SQLITE_DENY

    def _overdue(self) -> bool:
        return time.monotonic() > self._deadline

    def _start_budget(self) -> None:
        if self.limits.seconds is not None:
            self._deadline = time.monotonic() + self.limits.seconds
