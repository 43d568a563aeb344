"""One open SQLite connection, set up so that the journal alone makes a commit durable.

WAL, exclusive locking, `synchronous=OFF`, no automatic checkpoint and none on close: SQLite
syncs nothing. With `synchronous=NORMAL` the first transaction of a new file cost 680 us
instead of 113, for syncs that recovery does not use.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import apsw

from storage.authorizer import why_denied
from storage.errors import (
    ConstraintError,
    DatabaseCorrupt,
    NotStorable,
    SqlDenied,
    SqlError,
    StatementTimeout,
    StatementTooLong,
    StorageError,
    StorageFull,
    TooManyRows,
)
from storage.frames import Commit, FrameReader
from storage.limits import PAGE_SIZE, StorageLimits

_OWN = apsw.SQLITE_PREPARE_PERSISTENT
"""Marks the runtime's statements: the flag is part of the statement cache's key."""
_SETUP = (
    "pragma locking_mode=exclusive; pragma synchronous=off; pragma temp_store=memory;"
    "pragma foreign_keys=on; pragma cell_size_check=on; pragma wal_autocheckpoint=0;"
)

Bindings = Sequence[Any] | Mapping[str, Any]


class Connection:
    """An open database. Lives on one thread; every call is synchronous."""

    __slots__ = (
        "_columns", "_db", "_deadline", "_denied", "_hooked", "_own", "_reader", "limits", "path",
    )  # fmt: skip

    def __init__(
        self, path: Path, reader: FrameReader, limits: StorageLimits, vfs: str = ""
    ) -> None:
        self.path = path
        self.limits = limits
        self._reader = reader
        self._hooked = 0
        self._own = True
        self._denied = ""
        self._deadline = 0.0
        self._columns: tuple[str, ...] = ()
        try:
            self._db = apsw.Connection(str(path), apsw.SQLITE_OPEN_READWRITE, vfs or None)
        except apsw.Error as error:
            raise _translate(error, "open", self) from error
        try:
            self._prepare()
        except BaseException as error:
            self._db.close(True)
            if isinstance(error, apsw.Error):
                raise _translate(error, "open", self) from error
            raise

    def _prepare(self) -> None:
        db, limits = self._db, self.limits
        for _ in db.execute(_SETUP + f"pragma max_page_count={limits.database // PAGE_SIZE}"):
            pass
        db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        db.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 1)
        db.config(apsw.SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0)
        db.limit(apsw.SQLITE_LIMIT_LENGTH, limits.value)
        db.limit(apsw.SQLITE_LIMIT_SQL_LENGTH, limits.statement)
        db.limit(apsw.SQLITE_LIMIT_ATTACHED, 0)
        db.limit(apsw.SQLITE_LIMIT_WORKER_THREADS, 0)
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

    def run(
        self, query: str, args: Bindings | None = None
    ) -> tuple[tuple[str, ...], list[tuple[Any, ...]], int]:
        """Run an actor's statement to its end: columns, all rows, number of changes."""
        self._own = False
        try:
            return self._run(query, args, 0)
        finally:
            self._own = True

    def own(self, query: str, args: Bindings | None = None) -> list[tuple[Any, ...]]:
        """Run a statement of the runtime's own; it may name reserved tables."""
        return self._run(query, args, _OWN)[1]

    def many(self, query: str, rows: Sequence[Bindings]) -> int:
        """Run an actor's statement once for each row; the number of changes."""
        self._own = False
        self._columns = ()
        before = self._db.total_changes()
        try:
            self._start_budget()
            for _ in self._db.executemany(query, rows):
                pass
        except Exception as error:
            raise _translate(error, query, self) from error
        finally:
            self._own = True
        return self._db.total_changes() - before

    def _run(
        self, query: str, args: Bindings | None, flags: int
    ) -> tuple[tuple[str, ...], list[tuple[Any, ...]], int]:
        db, limit = self._db, self.limits.rows
        self._columns = ()
        before = db.total_changes()
        try:
            self._start_budget()
            cursor = db.execute(query, args, prepare_flags=flags)
            rows: list[tuple[Any, ...]] = list(islice(cursor, limit + 1)) if self._columns else []
            if len(rows) > limit:
                cursor.close(True)
        except Exception as error:
            raise _translate(error, query, self) from error
        if len(rows) > limit:
            raise TooManyRows(f"the statement returned more than {limit} rows", hint="use LIMIT")
        return self._columns, rows, db.total_changes() - before

    def prepare(self) -> None:
        """Let everything fail now that could fail at COMMIT."""
        if self._db.status(apsw.SQLITE_DBSTATUS_DEFERRED_FKS)[0]:
            raise ConstraintError(
                "a deferred foreign key is violated", statement="commit", code=787
            )
        try:
            self._db.cache_flush()
        except apsw.Error as error:
            raise _translate(error, "commit", self) from error

    def commit(self) -> Commit | None:
        """COMMIT the step; what it wrote, or None. On failure the step is rolled back."""
        self._hooked = 0
        try:
            self._db.execute("commit", prepare_flags=_OWN)
        except apsw.Error as error:
            self.rollback()
            raise _translate(error, "commit", self) from error
        return self._reader.read(self._hooked) if self._hooked else None

    def rollback(self) -> None:
        """Undo the open step; nothing happens without one (SQLite may have undone it itself)."""
        if self._db.in_transaction:
            self._db.execute("rollback", prepare_flags=_OWN)

    def checkpoint(self) -> None:
        """Move every page of the -wal into the database file; nothing is synced."""
        try:
            total, moved = self._db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        except apsw.Error as error:
            raise _translate(error, "commit", self) from error
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
        self._columns = tuple([column[0] for column in cursor.get_description()])
        return True

    def _authorize(
        self, action: int, first: str | None, second: str | None, _db: Any, _by: Any
    ) -> int:
        if self._own:
            return apsw.SQLITE_OK
        reason = why_denied(action, first, second)
        if reason is None:
            return apsw.SQLITE_OK
        self._denied = reason
        return apsw.SQLITE_DENY

    def _overdue(self) -> bool:
        return time.monotonic() > self._deadline

    def _start_budget(self) -> None:
        if self.limits.seconds is not None:
            self._deadline = time.monotonic() + self.limits.seconds


def _translate(error: Exception, query: str, connection: Connection) -> Exception:
    """The error of ours for one of apsw's; bugs of the caller keep their own class."""
    text = query if len(query) <= 500 else query[:500] + "..."
    if isinstance(error, (TypeError, OverflowError, UnicodeError)) and not isinstance(
        error, apsw.Error
    ):
        return NotStorable(
            f"a value cannot be stored: {error}",
            hint="SQLite holds None, int (64 bit), float, str and bytes",
            statement=text,
        )
    if isinstance(error, KeyError):
        return SqlError(f"no value was given for parameter {error}", statement=text, code=0)
    if not isinstance(error, apsw.Error):
        return error
    code = getattr(error, "extendedresult", 0)
    path = str(connection.path)
    match error:
        case apsw.AuthError():
            return SqlDenied(
                "the statement is not for actors",
                hint=connection._denied,
                statement=text,
                code=code,
            )
        case apsw.ConstraintError():
            return ConstraintError(str(error), statement=text, code=code)
        case apsw.TooBigError():
            return StatementTooLong(str(error), statement=text, code=code)
        case apsw.InterruptError():
            return StatementTimeout(
                f"the statement took over {connection.limits.seconds} s", statement=text, code=code
            )
        case apsw.FullError():
            return StorageFull(f"no room for this step: {error}", path=path)
        case apsw.IOError() if query in {"commit", "open"} or "WRITE" in _code_name(code):
            return StorageFull(f"the disk refused this step: {error}", path=path)
        case apsw.CorruptError() | apsw.NotADBError() | apsw.CantOpenError():
            return DatabaseCorrupt(f"{path}: {error}", path=path)
        case _:
            return SqlError(str(error), statement=text, code=code)


def _code_name(code: int) -> str:
    return str(apsw.mapping_extended_result_codes.get(code, ""))
