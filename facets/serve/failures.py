"""Errors as HTTP answers, and back.

What the caller may do decides the status: 400 ask differently, 401 and 403 ask as somebody else,
404 ask for something else, 409 look again, 413 and 429 ask for less, 503 and 504 ask later, 500
what the method raised. Every answer says the same in JSON, with the error's hint and fields.
"""

from __future__ import annotations

import builtins
import math
import traceback
from typing import Any

import msgspec

import facets.errors
from facets.errors import FacetsError
from facets.serve import errors as mine
from facets.serve.encoding import encode

STATUSES: tuple[tuple[type[BaseException], int], ...] = (
    (mine.NotServed, 404),
    (mine.BadArguments, 400),
    (mine.NotAuthenticated, 401),
    (mine.NotAllowed, 403),
    (mine.TooLarge, 413),
    (mine.TooMany, 429),
    (facets.errors.BadName, 400),
    (facets.errors.NoSuchMethod, 404),
    (facets.errors.NotCallable, 404),
    (facets.errors.Busy, 429),
    (facets.errors.QuotaExceeded, 429),
    (facets.errors.DeadlineExceeded, 504),
    (facets.errors.ConstraintError, 409),
    (facets.errors.ActorBroken, 409),
    (facets.errors.KeyReused, 409),
    (facets.errors.HostLost, 503),
    (facets.errors.FacetDown, 503),
    (facets.errors.RuntimeClosed, 503),
    (facets.errors.StorageFull, 503),
    (facets.errors.LeaseLost, 503),
    (facets.errors.ReplicaBehind, 503),
    (facets.errors.JournalFailed, 503),
)
"""The first that fits counts; what is not here is 500, the method's own."""
_LATER = (429, 503)


def status_of(error: BaseException) -> int:
    """The status of the answer to a call that failed so."""
    return next((status for kind, status in STATUSES if isinstance(error, kind)), 500)


def headers_of(error: BaseException, status: int) -> dict[str, str]:
    """What the answer says besides: how to authenticate, and when to try again."""
    if status == 401:
        return {"www-authenticate": "Bearer"}
    if status not in _LATER:
        return {}
    after = getattr(error, "retry_after", 1.0)
    return {"retry-after": str(max(1, math.ceil(after)))}


def said(error: BaseException, *, debug: bool = False) -> dict[str, Any]:
    """An error as plain data."""
    known = isinstance(error, FacetsError)
    found: dict[str, Any] = {
        "type": type(error).__name__,
        "message": error.message if isinstance(error, FacetsError) else str(error),
    }
    if isinstance(error, FacetsError):
        found["hint"] = error.hint
        found["fields"] = {name: _field(value) for name, value in error.fields.items()}
    if debug and not (known and status_of(error) < 500):
        found["traceback"] = "".join(traceback.format_exception(error))
    return found


def _field(value: object) -> Any:
    """A field, or its text where JSON has no such thing."""
    try:
        return msgspec.Raw(encode(value))
    except mine.NotEncodable:
        return repr(value)


def raised(told: dict[str, Any], status: int) -> Exception:
    """What a client raises for an answer: the class of that name, if there is one here."""
    name, message = str(told.get("type", "")), str(told.get("message", ""))
    found: Any = getattr(facets.errors, name, None) or getattr(mine, name, None)
    if isinstance(found, type) and issubclass(found, FacetsError):
        return found(message, hint=told.get("hint"), **told.get("fields", {}))
    found = getattr(builtins, name, None)
    if isinstance(found, type) and issubclass(found, Exception):
        try:
            return found(message)
        except TypeError:  # one that takes more, like UnicodeDecodeError
            found = None
    return mine.CallFailed(f"{name}: {message}", type=name, status=status)
