"""Errors of the storage layer, and the root of every error in the project.

    FacetsError                       root: carries fields and a hint, survives pickling
    └── StorageError
        ├── SqlError                  the statement failed; its step is still open
        │   ├── ConstraintError       a constraint refused the row
        │   ├── SqlDenied             the statement is not for actors (PermissionError)
        │   ├── ReadOnly              a shared method wrote (PermissionError)
        │   ├── StatementTooLong      SQL text over its limit (ValueError)
        │   ├── StatementTooComplex   parameters, depth or patterns over a limit (ValueError)
        │   ├── ValueTooLarge         a value or row over its limit (ValueError)
        │   ├── StatementTimeout      the statement ran past its time budget (TimeoutError)
        │   └── OutOfMemory           SQLite's memory limit is used up (MemoryError)
        ├── NoRow                     a row was asked for and there is none (LookupError)
        ├── TooManyRows               more rows than the limit, or than one() allows
        ├── ResultTooLarge            the rows of a result take more memory than the limit
        ├── NotStorable               a value the database cannot hold (TypeError)
        ├── FileError                 the file system refused (OSError): errno, path
        │   ├── FileMissing           ENOENT (FileNotFoundError)
        │   ├── FileExists            EEXIST (FileExistsError)
        │   ├── IsDirectory           EISDIR (IsADirectoryError)
        │   ├── NotDirectory          ENOTDIR (NotADirectoryError)
        │   ├── DirectoryNotEmpty     ENOTEMPTY
        │   ├── LinkLoop              ELOOP: more than 40 symbolic links
        │   ├── PathTooLong           ENAMETOOLONG
        │   ├── PathInvalid           EINVAL: not a path, or not one for this operation (ValueError)
        │   ├── FileDenied            EACCES: the path leads out of a view (PermissionError)
        │   ├── FileTooLarge          EFBIG: over the limit of one file
        │   ├── FilesQuota            EDQUOT: over the limit of all files
        │   └── FileDamaged           EIO: stored content is not what was written
        ├── StorageFull               no room: the step was rolled back
        ├── MigrationFailed           a migration raised; none of it was applied
        ├── NoState                   what was to be copied was never written (LookupError)
        ├── NameTaken                 an actor is to move where one is already (ValueError)
        ├── BelowItself               an actor is to move below itself (ValueError)
        ├── MovedMeanwhile            what was about to be replaced is not where it was
        ├── BadArchive                a file to import is not what it should be (ValueError)
        ├── TransactionAcrossAwait    `with transaction():` met a suspension or a call
        ├── WrongThread               storage used off the thread of its runtime
        ├── DatabaseCorrupt           one database file is damaged
        ├── JournalCorrupt            acknowledged data in the journal is damaged
        ├── JournalFailed             a journal write or sync failed; the host stops
        ├── NotABookmark              a text that no bookmark prints as (ValueError)
        ├── BookmarkGone              older than what the history keeps (LookupError)
        ├── BookmarkAhead             newer than the newest commit (LookupError)
        ├── HistoryCorrupt            part of a tree's history is damaged
        ├── StateInUse                another live process owns the state directory
        ├── StateStale                the directory is older than its replica
        ├── StateFormat               the directory holds something this version cannot read
        ├── StateClosed               the store was closed; nothing of it can be used any more
        ├── ObjectMissing             the object store has nothing under that key (LookupError)
        ├── ObjectStoreFailed         the object store did not do what it was asked, or did not say
        ├── ObjectKeyInvalid          not a key that every object store can hold (ValueError)
        ├── ObjectStoreUnknown        not the url of an object store (ValueError)
        ├── LeaseLost                 another incarnation of the host took over, or may have
        │   └── LeaseLapsed           nobody is known to have, but it was not renewed in time
        ├── ReplicaBehind             too much waits for a replica whose store fails
        └── ReplicaCorrupt            the replica has a gap or damage where data was acknowledged

Branches follow what a caller can do: an `SqlError` is about one statement, the three
`Journal*`/`Database*` errors are about the disk, the `State*` errors about the directory, the
`Object*` errors about a store outside the machine. After `ObjectStoreFailed` the call may be
repeated; after `LeaseLost` nothing may.

What a failed statement did is undone, and the step goes on with what came before it. Undone is
the whole step, and a note on the error says so, when the disk or the memory is full, and when a
statement that writes is stopped by a limit on time, rows or bytes.
"""

from __future__ import annotations

import errno
from typing import Any, ClassVar


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
        state = (type(self), self.message, self.hint, self.fields)
        notes = getattr(self, "__notes__", None)
        return (_rebuild, state, {"__notes__": list(notes)}) if notes else (_rebuild, state)


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


class ReadOnly(SqlError, PermissionError):
    """A shared method sees one moment of its actor, and changes nothing."""

    hint = "write in a method that is not shared"


class StatementTooLong(SqlError, ValueError):
    """The SQL text is over its limit. Field: `limit`, bytes. Nothing was run."""

    hint = "pass values as parameters, and split the text into several statements"


class StatementTooComplex(SqlError, ValueError):
    """The statement has more of something than SQLite is allowed to work on: parameters, nested
    expressions, tables in a join, terms of a UNION, arguments, a LIKE pattern's bytes."""

    hint = "split the statement; for many values use sql.many, or json_each(?) over one list"


class ValueTooLarge(SqlError, ValueError):
    """A value, or a row that is stored, is over its limit. Field: `limit`, bytes.

    The limit is lower in a result so wide that one of its rows could fill the memory.
    """

    hint = "keep it in pieces"


class StatementTimeout(SqlError, TimeoutError):
    """The statement ran past its time budget and was interrupted. Field: `limit`, seconds.

    A statement that only read leaves the step open; one that wrote takes the step with it.
    """

    hint = "add an index, or do the work in smaller parts"


class OutOfMemory(SqlError, MemoryError):
    """SQLite's memory in this process is used up: a sort, an aggregate, a row. The step was
    rolled back. Field: `limit`, bytes."""

    hint = "sort and group less at a time, along an index"


class NoRow(StorageError, LookupError):
    """A row was required and the result has none."""


class TooManyRows(StorageError):
    """The result has more rows than asked for, or than the limit allows."""


class ResultTooLarge(StorageError):
    """The rows of one result take more memory than the limit. Field: `limit`, bytes."""

    hint = "use LIMIT, and select only the columns you need"


class NotStorable(StorageError, TypeError):
    """A value of this type cannot be kept. Field: `key` or `statement`."""


class FileError(StorageError, OSError):
    """The file system refused; nothing was changed. Fields: `path`, and what OSError has."""

    code: ClassVar[int] = errno.EIO
    path: str

    def __init__(self, message: str, *, hint: str | None = None, **fields: Any) -> None:
        super().__init__(message, hint=hint, **fields)
        self.errno = self.code
        self.strerror = message
        self.filename = fields.get("path")


class FileMissing(FileError, FileNotFoundError):
    """There is nothing under this path, or the open file was removed or replaced."""

    code = errno.ENOENT


class FileExists(FileError, FileExistsError):
    """There is something under this path already."""

    code = errno.EEXIST


class IsDirectory(FileError, IsADirectoryError):
    """A file is needed and this is a directory."""

    code = errno.EISDIR


class NotDirectory(FileError, NotADirectoryError):
    """A directory is needed and this, or something on the way to it, is none."""

    code = errno.ENOTDIR


class DirectoryNotEmpty(FileError):
    """The directory still has entries."""

    code = errno.ENOTEMPTY
    hint = "use remove_tree to remove everything below it as well"


class LinkLoop(FileError):
    """The path leads through more than 40 symbolic links."""

    code = errno.ELOOP


class PathTooLong(FileError):
    """The path is over 4,096 bytes, or one of its names over 255."""

    code = errno.ENAMETOOLONG


class PathInvalid(FileError, ValueError):
    """Text that cannot be a path, or a path that this operation cannot have."""

    code = errno.EINVAL


class FileDenied(FileError, PermissionError):
    """The path leads, by a link, to a place that this view of the files does not show."""

    code = errno.EACCES


class FileTooLarge(FileError):
    """One file would be over its limit. Fields: `path`, `size`, `limit`."""

    code = errno.EFBIG


class FilesQuota(FileError):
    """All files together would be over their limit. Fields: `path`, `what`, `used`, `limit`."""

    code = errno.EDQUOT
    hint = "remove files, or raise the FileLimits of this runtime"


class FileDamaged(FileError):
    """An object's content is not what was stored under its name. Fields: `path`, `key`."""

    code = errno.EIO


class StorageFull(StorageError):
    """The disk, or this database's own limit, is full. The step was rolled back."""


class MigrationFailed(StorageError):
    """A migration failed and was rolled back. Fields: `index`, `statement`."""


class NoState(StorageError, LookupError):
    """An actor that has never written was asked for its state. Field: `name`."""


class NameTaken(StorageError, ValueError):
    """An actor of that name is there already, with state or running. Field: `name`."""

    hint = "delete or rename what is there first, or choose another name"


class BelowItself(StorageError, ValueError):
    """An actor was to move below itself, or below one of its own facets. Field: `name`."""


class MovedMeanwhile(StorageError):
    """What a restore, clone or import was about to put in place, or to replace, was moved before
    it was done. Nothing was changed. Field: `name`."""

    hint = "do it again"


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


class NotABookmark(StorageError, ValueError):
    """A text is not a bookmark. Field: `text`."""

    hint = "a bookmark is 8 hex digits, a dash, and 16 hex digits"


class BookmarkGone(StorageError, LookupError):
    """The history does not reach back that far. Field: `oldest`, the oldest bookmark kept."""

    oldest: str


class BookmarkAhead(StorageError, LookupError):
    """Nothing has happened yet at that bookmark. Field: `newest`, the bookmark of the present.

    Nothing was changed. Not raised for a time in the future, which is as good as now.
    """

    hint = "it is of another host, or of a state directory that went on differently"
    newest: str


class HistoryCorrupt(StorageError):
    """A tree's history is damaged or does not fit its databases. Nothing was changed.

    Fields: `path`, and `first` and `last`: bookmarks from `first` up to, not including, `last`
    are lost; `last` and newer ones can still be restored.
    """

    hint = "the present state is not affected; only the named bookmarks cannot be restored"
    path: str
    first: str
    last: str


class StateInUse(StorageError):
    """Another live process owns the state directory. Fields: `path`, `pid`, `command`, `machine`.

    The pid means something on that machine only, which may be another one that shares the disk.
    """

    pid: int
    machine: str


class StateFormat(StorageError):
    """The state directory was written by another format. Fields: `path`, `found`."""


class StateClosed(StorageError):
    """The store of this database was closed, and its directory may be another process's by now."""

    hint = "open the runtime again"


class ObjectMissing(StorageError, LookupError):
    """There is no such object. Fields: `url` of the store, `key`. Never raised by `delete`."""

    url: str
    key: str


class ObjectStoreFailed(StorageError):
    """An object store failed or did not answer. Fields: `url`, `key`, `cause` (text).

    A write may have happened all the same. Every call of an `ObjectStore` may be repeated.
    """

    url: str
    key: str
    cause: str


class ObjectKeyInvalid(StorageError, ValueError):
    """A key or prefix outside of what every object store can hold. Field: `key`."""

    hint = "a key is parts of A-Z a-z 0-9 . _ = - joined by /, at most 255 a part and 1000 in all"
    key: str


class ObjectStoreUnknown(StorageError, ValueError):
    """The url names no kind of object store that is known here. Field: `url`."""

    hint = "use s3://bucket/prefix, gs://bucket/prefix, az://account/container, file:///... , memory://"
    url: str


class LeaseLost(StorageError):
    """This incarnation of the host may not serve or acknowledge any more. Fields: `host`, `token`.

    What was acknowledged before is safe. What was being written may or may not have been kept.
    """

    hint = "stop serving; to serve again claim a new lease and recover"
    host: str
    token: int


class LeaseLapsed(LeaseLost):
    """The lease was not renewed in time; nobody is known to have taken over.

    A host whose disk is its fence goes on and takes the lease up again; any other one stops.
    """


class ReplicaBehind(StorageError):
    """While its store failed, too much came together for the replica. Fields: `host`,
    `acknowledged`, the newest record that is there.

    The disk has everything, and the host goes on; what waits for the replica does not.
    """

    hint = "open the runtime again when the store is back: the replica is then brought up to date"
    host: str
    acknowledged: int


class ReplicaCorrupt(StorageError):
    """The replica is damaged, or lacks what it must have. Field: `key`. Nothing was changed."""

    hint = "do not delete anything of this replica; the state directory of its host is intact"
    key: str


class StateStale(StorageError):
    """The directory is older than its replica: another went on from there. Field: `path`."""

    hint = "move this directory away and open an empty one; it is filled from the replica"
