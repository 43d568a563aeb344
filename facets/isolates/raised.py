"""The errors that guests raised, as exceptions of the host.

The guest names its exception and the classes it derives from. Only names listed here take
effect: a guest must not choose what `except JournalFailed` or `except KeyboardInterrupt` sees.
"""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from functools import lru_cache
from itertools import islice
from typing import Any

import actors.errors
import storage.errors
from actors.quotas import errors as quotas
from facets.capabilities import errors as capabilities
from facets.egress import errors as egress
from facets.isolates.errors import GuestError, NotTransferable

_REFUSED = (StopIteration, StopAsyncIteration, Warning)
_OURS: dict[str, type[Exception]] = {
    cls.__name__: cls
    for cls in (
        storage.errors.SqlError,
        storage.errors.ConstraintError,
        storage.errors.SqlDenied,
        storage.errors.StatementTooLong,
        storage.errors.StatementTooComplex,
        storage.errors.StatementTimeout,
        storage.errors.ValueTooLarge,
        storage.errors.OutOfMemory,
        storage.errors.NoRow,
        storage.errors.TooManyRows,
        storage.errors.ResultTooLarge,
        storage.errors.NotStorable,
        storage.errors.FileError,
        storage.errors.FileMissing,
        storage.errors.FileExists,
        storage.errors.IsDirectory,
        storage.errors.NotDirectory,
        storage.errors.DirectoryNotEmpty,
        storage.errors.LinkLoop,
        storage.errors.PathTooLong,
        storage.errors.PathInvalid,
        storage.errors.FileDenied,
        storage.errors.FileTooLarge,
        storage.errors.FilesQuota,
        storage.errors.FileDamaged,
        storage.errors.StorageFull,
        storage.errors.StorageError,
        storage.errors.TransactionAcrossAwait,
        actors.errors.ExclusiveReentered,
        quotas.QuotaExceeded,
        quotas.BytesQuota,
        quotas.DatabasesQuota,
        quotas.OpenDatabasesQuota,
        quotas.MeterQuota,
        capabilities.CapabilityError,
        capabilities.CapabilityDenied,
        capabilities.CapabilityRevoked,
        capabilities.CapabilityExpired,
        egress.EgressError,
        egress.EgressDenied,
        egress.EgressTooLarge,
        egress.EgressTimeout,
        egress.EgressFailed,
        egress.EgressBudget,
        egress.RequestBudget,
        egress.SentBudget,
        egress.ReceivedBudget,
        egress.TimeBudget,
        egress.ConcurrentBudget,
    )
}
_TAKEN = frozenset({"self", "message", "fields", "hint", "type", "traceback", "notes", "kind"}) | {
    "characters_written",  # of OSError: takes nothing but an int
    *dir(BaseException),
}
"""Names that a field of a guest's cannot have: an exception uses them for something else."""
_SHORT = 64 << 10
_FEW = 32
"""Fields that an exception may have, and classes it derives from."""


def raised(description: object) -> Exception:
    """The exception for what a guest said about one of its own; nothing in it is trusted."""
    said = description if isinstance(description, Mapping) else {}
    kinds = [kind for kind in _list(said.get("kinds"))[:_FEW] if type(kind) is str]
    some = islice(_mapping(said.get("fields")).items(), _FEW)
    fields = {key: value for key, value in some if _is_field(key, value)}
    message, hint = _text(said.get("message")), _text(said.get("hint"))
    if kinds[:1] == ["NotTransferable"]:
        return NotTransferable(message, hint=hint, path=_text(fields.get("path")))
    fields |= {
        "type": _text(said.get("type")) or "Exception",
        "traceback": _text(said.get("traceback")),
        "notes": tuple(_text(note) for note in _list(said.get("notes"))[:16]),
        "kind": next((kind for kind in kinds if _base(kind)), "Exception"),
    }
    return rebuild(message, hint, fields)


def rebuild(message: str, hint: str, fields: dict[str, Any]) -> GuestError:
    """Make the exception again, as pickle does."""
    error = _class(fields["kind"], fields["type"])(message, hint=hint or None, **fields)
    for note in fields["notes"]:
        error.add_note(note)
    if fields["traceback"]:
        error.add_note(f"Inside the isolate:\n{fields['traceback'].rstrip()}")
    return error


@lru_cache(maxsize=256)
def _class(kind: str, name: str) -> type[GuestError]:
    """A GuestError that is also a `kind`, and shows the class name it had inside."""
    base = _base(kind)
    bases: tuple[type, ...] = (GuestError,) if base in (None, Exception) else (GuestError, base)
    made = type(name if name.isidentifier() else "GuestError", bases, {"__module__": "isolate"})
    try:
        made("probe", type="probe")
    except Exception:  # its constructor wants more than a message: UnicodeDecodeError, groups
        return _class(base.__base__.__name__, name) if base and base.__base__ else GuestError
    return made


def _base(kind: str) -> type[Exception] | None:
    ours = _OURS.get(kind)
    if ours is not None:
        return ours
    found = getattr(builtins, kind, None)
    if isinstance(found, type) and issubclass(found, Exception) and not issubclass(found, _REFUSED):
        return found
    return None


def _is_field(key: object, value: object) -> bool:
    plain = isinstance(value, (str, int, float, bool, type(None)))
    return (
        isinstance(key, str)
        and key.isidentifier()
        and key[0] != "_"
        and key not in _TAKEN
        and plain
    )


def _text(value: object) -> str:
    return value[:_SHORT] if isinstance(value, str) else ""


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _mapping(value: object) -> Mapping[Any, Any]:
    return value if isinstance(value, Mapping) else {}
