"""Errors of the storage layer, and the root of every error in the project.

    FacetsError                       root: carries fields and a hint, survives pickling
    └── StorageError
        ├── SqlError                  the statement failed; its step is still open
        │   ├── ConstraintError       a constraint refused the row
        │   ├── SqlDenied             the statement is not for actors (PermissionError)
        │   ├── StatementTooLong      a statement or value over its limit (ValueError)
        │   └── StatementTimeout      the statement ran past its time budget (TimeoutError)
        ├── NoRow                     a row was asked for and there is none (LookupError)
        ├── TooManyRows               more rows than the limit, or than one() allows
        ├── NotStorable               a value the database cannot hold (TypeError)
        ├── StorageFull               no room: the step was rolled back
        ├── MigrationFailed           a migration raised; none of it was applied
        ├── NoState                   what was to be copied was never written (LookupError)
        ├── BadArchive                a file to import is not what it should be (ValueError)
        ├── TransactionAcrossAwait    `with transaction():` met a suspension or a call
        ├── WrongThread               storage used off the thread of its runtime
        ├── DatabaseCorrupt           one database file is damaged
        ├── JournalCorrupt            acknowledged data in the journal is damaged
        ├── JournalFailed             a journal write or sync failed; the host stops
        ├── StateInUse                another live process owns the state directory
        └── StateFormat               the directory holds something this version cannot read

Branches follow what a caller can do: an `SqlError` is about one statement, the three
`Journal*`/`Database*` errors are about the disk, the `State*` errors about the directory.
"""

from __future__ import annotations

from typing import Any


class FacetsError(Exception):
    """Root of every error here. `fields` are attributes; `hint` says what to do next."""

    hint: str = ""

    def __init__(self, message: str, *, hint: str | None = None, **fields: Any) -> None:
        super().__init__(message)
        self.message = message
        self.fields = fields
        if hint is not None:
            self.hint = hint
        for name, value in fields.items():
            setattr(self, name, value)

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.message, self.hint, self.fields)


def _rebuild(
    kind: type[FacetsError], message: str, hint: str, fields: dict[str, Any]
) -> FacetsError:
    return kind(message, hint=hint, **fields)


class StorageError(FacetsError):
    """Something about an actor's durable state."""


class SqlError(StorageError):
    """A statement failed. Fields: `statement`, `code` (SQLite's extended result code)."""

    statement: str
    code: int


class ConstraintError(SqlError):
    """A UNIQUE, CHECK, NOT NULL, FOREIGN KEY or type constraint refused the change."""


class SqlDenied(SqlError, PermissionError):
    """The statement uses something that belongs to the runtime (ATTACH, BEGIN, a PRAGMA ...)."""


class StatementTooLong(SqlError, ValueError):
    """The SQL text or one of its values is over its limit."""


class StatementTimeout(SqlError, TimeoutError):
    """The statement ran past its time budget and was interrupted."""


class NoRow(StorageError, LookupError):
    """A row was required and the result has none."""


class TooManyRows(StorageError):
    """The result has more rows than asked for, or than the limit allows."""


class NotStorable(StorageError, TypeError):
    """A value of this type cannot be kept. Field: `key` or `statement`."""


class StorageFull(StorageError):
    """The disk, or this database's own limit, is full. The step was rolled back."""


class MigrationFailed(StorageError):
    """A migration failed and was rolled back. Fields: `index`, `statement`."""


class NoState(StorageError, LookupError):
    """An actor that has never written was asked for its state. Field: `name`."""


class BadArchive(StorageError, ValueError):
    """A file to import is damaged, of another version, or odd. Nothing was changed.
    Field: `path`."""


class TransactionAcrossAwait(StorageError):
    """A `with transaction():` block met a suspension or an outgoing call."""

    hint = "finish the block before you await; code between two awaits is already atomic"


class WrongThread(StorageError):
    """Storage was used from another thread than the one of its runtime's loop."""

    hint = "move the sql to the actor's own coroutine; only pure computation may leave the loop"


class DatabaseCorrupt(StorageError):
    """A database file is damaged. Field: `path`. Nothing was changed."""

    hint = "restore this file from a backup; other actors are not affected"


class JournalCorrupt(StorageError):
    """The journal is damaged before its end, where data was already acknowledged."""

    hint = "nothing was changed; copy the state directory before any attempt to repair it"


class JournalFailed(StorageError):
    """A journal write or sync failed. No later commit of this host can become durable."""

    hint = "close this runtime and open it again; acknowledged data is safe in the journal"


class StateInUse(StorageError):
    """Another live process owns the state directory. Fields: `path`, `pid`, `command`."""

    pid: int


class StateFormat(StorageError):
    """The state directory was written by another format. Fields: `path`, `found`."""
