"""Errors a tool can meet, by the names they have outside; see the trusted tree for the whole."""

import errno


class FacetsError(Exception):
    """Root of every error here. `fields` are attributes; `hint` says what to do next."""

    hint = ""

    def __init__(self, message="", *, hint=None, **fields):
        super().__init__(message)
        self.message = message
        self.fields = fields
        if hint:
            self.hint = hint
        for name, value in fields.items():
            setattr(self, name, value)

    def __str__(self):
        return f"{self.message} ({self.hint})" if self.hint else self.message


class StorageError(FacetsError):
    """Something about an actor's durable state."""


class SqlError(StorageError):
    """A statement failed. Fields: `statement`, `code`."""


class ConstraintError(SqlError):
    """A constraint refused the change."""


class SqlDenied(SqlError, PermissionError):
    """The statement uses something that belongs to the runtime."""


class StatementTooLong(SqlError, ValueError):
    """The SQL text or one of its values is over its limit."""


class StatementTimeout(SqlError, TimeoutError):
    """The statement ran past its time budget and was interrupted."""


class StatementTooComplex(SqlError, ValueError):
    """Parameters, depth or patterns are over a limit."""


class ValueTooLarge(SqlError, ValueError):
    """A value or row is over its limit."""


class OutOfMemory(SqlError, MemoryError):
    """The memory limit of all databases is used up. The step was rolled back."""


class ResultTooLarge(StorageError):
    """The rows of a result take more memory than the limit."""


class NoRow(StorageError, LookupError):
    """A row was required and the result has none."""


class TooManyRows(StorageError):
    """The result has more rows than asked for, or than the limit allows."""


class NotStorable(StorageError, TypeError):
    """A value of this type cannot be kept."""


class FileError(StorageError, OSError):
    """The file system refused; nothing was changed. Fields: `path`, and what OSError has."""

    code = errno.EIO

    def __init__(self, message="", *, hint=None, **fields):
        super().__init__(message, hint=hint, **fields)
        self.errno = self.code
        self.strerror = message
        self.filename = fields.get("path")


class FileMissing(FileError, FileNotFoundError):
    """There is nothing under this path."""

    code = errno.ENOENT


class FileExists(FileError, FileExistsError):
    """There is something under this path already."""

    code = errno.EEXIST


class IsDirectory(FileError, IsADirectoryError):
    """A file is needed and this is a directory."""

    code = errno.EISDIR


class NotDirectory(FileError, NotADirectoryError):
    """A directory is needed and this is none."""

    code = errno.ENOTDIR


class DirectoryNotEmpty(FileError):
    """The directory is not empty."""

    code = errno.ENOTEMPTY


class LinkLoop(FileError):
    """More than 40 symbolic links."""

    code = errno.ELOOP


class PathTooLong(FileError):
    """A path or a name is too long."""

    code = errno.ENAMETOOLONG


class PathInvalid(FileError, ValueError):
    """Not a path, or not one for this operation."""

    code = errno.EINVAL


class FileDenied(FileError, PermissionError):
    """The path leads to a place that this view of the files does not show."""

    code = errno.EACCES


class FileTooLarge(FileError):
    """One file would be over its limit."""

    code = errno.EFBIG


class FilesQuota(FileError):
    """All files together would be over their limit."""

    code = errno.EDQUOT


class FileDamaged(FileError):
    """Stored content is not what was written."""

    code = errno.EIO


class StorageFull(StorageError):
    """The disk, or this database's own limit, is full. The step was rolled back."""


class TransactionAcrossAwait(StorageError):
    """A `with transaction():` block met a suspension or an outgoing call."""

    hint = "finish the block before you await; code between two awaits is already atomic"


class EgressError(FacetsError):
    """A request did not get its answer. Fields: `url` (without query), `rule`."""

    url = rule = ""


class EgressDenied(EgressError, PermissionError):
    """The request may not leave. Field: `reason`, which check says so."""

    reason = ""


class EgressTooLarge(EgressError):
    """A request or an answer is larger than its rule allows. Field: `limit`, bytes."""


class EgressTimeout(EgressError, TimeoutError):
    """Connecting, waiting or the whole exchange took too long. It may have arrived."""


class EgressFailed(EgressError, ConnectionError):
    """No connection, or what came back is not HTTP. It may have arrived."""


class EgressBudget(EgressError):
    """This isolate has used up what it may. Field: `limit`."""


class RequestBudget(EgressBudget):
    """Too many requests."""


class SentBudget(EgressBudget):
    """Too many bytes out."""


class ReceivedBudget(EgressBudget):
    """Too many bytes in."""


class TimeBudget(EgressBudget, TimeoutError):
    """Too many seconds in requests, added up."""


class ConcurrentBudget(EgressBudget):
    """Too many requests at once; wait for one to end, or close a stream."""


class StatusError(EgressError):
    """What `raise_for_status` raises for 4xx and 5xx. Fields: `status`, `url`."""

    status = 0


class ActorError(FacetsError):
    """Something about a call to an actor, or about its life."""


class NotCallable(ActorError, AttributeError):
    """The name exists but callers may not use it. Fields: `actor`, `method`."""


class NoSuchMethod(ActorError, AttributeError):
    """The actor has no method of that name. Fields: `actor`, `method`."""


class BadTimer(ActorError, ValueError):
    """What was to be scheduled cannot be: a time, an interval, a cron expression, a backoff."""


class TimerLimit(ActorError):
    """A timer is over a limit. Fields: `limit`, its name, and `most`."""


class QuotaExceeded(ActorError):
    """More than a quota allows. Fields: `owner`, `quota`, `limit`, `used`, `asked`."""


class MeterQuota(QuotaExceeded):
    """More of a meter would be spent than may be."""


class BytesQuota(QuotaExceeded, StorageFull):
    """The databases would take too many bytes; the step was undone."""


class DatabasesQuota(QuotaExceeded, StorageFull):
    """Too many actors would have a database; the step was undone."""


class OpenDatabasesQuota(QuotaExceeded):
    """Too many databases are open, and all of them are needed."""


class ExclusiveReentered(FacetsError, RuntimeError):
    """A call chain entered an exclusive section that it already holds."""

    hint = "it would wait for itself; split the method in an exclusive shell and a plain core"


class NotCopyable(FacetsError, TypeError):
    """A value cannot travel to another actor. Field: `path`, where in the value it stands."""


class NotTransferable(NotCopyable):
    """A value cannot cross the boundary of the isolate. Field: `path`."""


class CapabilityError(FacetsError, PermissionError):
    """A capability cannot be used like this."""


class CapabilityDenied(CapabilityError):
    """It allows other methods or other arguments."""


class CapabilityRevoked(CapabilityError):
    """Whoever gave it has taken it back, or what it stood for has ended."""


class CapabilityExpired(CapabilityError):
    """It was good for a time or a number of calls, and that is over."""
