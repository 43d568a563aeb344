"""What SQLite and apsw refuse, as errors of ours."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

import apsw

from storage.errors import (
    ConstraintError,
    DatabaseCorrupt,
    NotStorable,
    OutOfMemory,
    ReadOnly,
    SqlDenied,
    SqlError,
    StatementTimeout,
    StatementTooComplex,
    StatementTooLong,
    StorageError,
    StorageFull,
    ValueTooLarge,
)
from storage.limits import StorageLimits

# SQLite has one code for these and for a misspelt name: only the text tells them apart.
_COMPLEX = re.compile(
    r"(fts5?:? )?(too many |at most \d|expression tree is too|like or glob|recursion limit"
    r"|parser stack|views and/or|triggers nested|variable number)",
    re.IGNORECASE,
)


_NO_MEMORY = frozenset({apsw.SQLITE_NOMEM, apsw.SQLITE_IOERR_NOMEM})
_UNREADABLE = frozenset({
    apsw.SQLITE_IOERR_READ, apsw.SQLITE_IOERR_SHORT_READ, apsw.SQLITE_IOERR_CORRUPTFS,
    apsw.SQLITE_IOERR_DATA,
})  # fmt: skip


class Circumstances(NamedTuple):
    """What has to be known to explain an error."""

    path: Path
    limits: StorageLimits
    denied: str
    """What the authorizer said during this statement."""
    value: int
    """Bytes of the largest value that was allowed."""


def translate(error: Exception, query: str, met: Circumstances) -> Exception:
    """The error of ours for one of apsw's; bugs of the caller keep their own class."""
    if isinstance(error, apsw.Error):
        return _of_sqlite(error, query, met)
    if not isinstance(query, str):
        return error
    text = _short(query)
    if isinstance(error, KeyError):
        return SqlError(f"no value was given for parameter {error}", statement=text, code=0)
    if isinstance(error, UnicodeError) and not _is_unicode(query):
        return SqlError(f"the statement is not valid Unicode: {error}", statement=text, code=0)
    if isinstance(error, (TypeError, OverflowError, UnicodeError)):
        return NotStorable(
            f"a value cannot be stored: {error}",
            hint="SQLite holds None, int (64 bit), float, str and bytes",
            statement=text,
        )
    if isinstance(error, ValueError) and "\0" in query:
        return SqlError("the statement holds a NUL character", statement=text, code=0)
    return error


def _of_sqlite(error: apsw.Error, query: str, met: Circumstances) -> Exception:
    limits, path = met.limits, str(met.path)
    said: dict[str, Any] = {
        "statement": _short(query),
        "code": getattr(error, "extendedresult", 0),
    }
    match error:
        case apsw.AuthError():
            return _refused(met, said)
        case apsw.ReadOnlyError():
            return ReadOnly("a shared method cannot write", **said)
        case apsw.ConstraintError():
            return ConstraintError(str(error), **said)
        case apsw.TooBigError() if len(query.encode()) > limits.statement:
            return StatementTooLong(str(error), limit=limits.statement, **said)
        case apsw.TooBigError():
            return ValueTooLarge(str(error), limit=met.value, **said)
        case apsw.InterruptError():
            return StatementTimeout(
                f"the statement took over {limits.seconds} s", limit=limits.seconds, **said
            )
        case apsw.NoMemError() | apsw.IOError() if said["code"] in _NO_MEMORY:
            return OutOfMemory(
                f"SQLite may use {limits.heap} bytes in this process", limit=limits.heap, **said
            )
        case apsw.FullError():
            return StorageFull(f"no room for this step: {error}", path=path)
        case apsw.IOError() if said["code"] not in _UNREADABLE:
            return StorageFull(f"the disk refused this step: {error}", path=path)
        case apsw.CantOpenError() if met.path.exists():
            return StorageError(
                f"{path} cannot be opened: {error}", hint="are too many files open?", path=path
            )
        case apsw.IOError() | apsw.CorruptError() | apsw.NotADBError() | apsw.CantOpenError():
            return DatabaseCorrupt(f"{path}: {error}", path=path)
    if met.denied or str(error).startswith("cannot VACUUM"):
        return _refused(met, said)
    return (StatementTooComplex if _COMPLEX.match(str(error)) else SqlError)(str(error), **said)


def _refused(met: Circumstances, said: dict[str, Any]) -> SqlDenied:
    hint = met.denied or "the runtime keeps the file compact, not the actor"
    return SqlDenied("the statement is not for actors", hint=hint, **said)


def _short(query: str) -> str:
    return query if len(query) <= 500 else query[:500] + "..."


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
