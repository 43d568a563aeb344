"""Outcomes of calls that carried an idempotency key, where they are kept.

    _facets_outcomes   key; number, in the order of keeping; digest, of the method and its
                       arguments; at, seconds since 1970; outcome, a pickle

A reserved table of the actor's own database, made by the first such call: what is in it is
committed, undone, cloned, exported and restored with everything else there. A pickle runs what
it says when it is read: a state directory and an archive are trusted like code.
"""

from __future__ import annotations

import io
import pickle
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from actors.errors import ActorError
from storage.errors import NotStorable

if TYPE_CHECKING:
    from storage import Database

SECONDS = 86_400.0
"""How long an outcome is kept."""
COUNT = 10_000
"""Outcomes that an actor keeps; more, and the oldest go."""
_TABLE = """
create table _facets_outcomes(
    key text primary key, number integer not null, digest blob not null, at real not null,
    outcome blob not null)
"""
_ORDER = "create unique index _facets_outcomes_number on _facets_outcomes(number)"
_EXISTS = "select 1 from sqlite_schema where name = '_facets_outcomes'"
_FIND = "select digest, outcome from _facets_outcomes where key = ? and at > ?"
_NEXT = "select coalesce(max(number), 0) + 1 from _facets_outcomes"
_PUT = "insert or replace into _facets_outcomes values (?, ?, ?, ?, ?)"
_FORGET = "delete from _facets_outcomes where number <= ?"
_OLDEST = "select number, at from _facets_outcomes order by number limit 8"


@dataclass(frozen=True, slots=True)
class Raised:
    """An outcome that is an error."""

    error: Exception


def find(database: Database, key: str, now: float) -> tuple[bytes, bytes] | None:
    """The digest and the outcome that are kept under a key, as of the current step if one is
    open, else as of the newest commit."""
    database.look()
    if not database.has_file:
        return None
    ask = database.run_own if database.in_step else database.peek
    found = ask(_FIND, (key, now - SECONDS)) if ask(_EXISTS) else []
    return found[0] if found else None


def put(database: Database, key: str, digest: bytes, outcome: bytes, now: float) -> None:
    """Keep an outcome, in the current step; and forget what is too old, or too much."""
    if not database.run_own(_EXISTS):
        database.run_own(_TABLE)
        database.run_own(_ORDER)
    number = database.run_own(_NEXT)[0][0]
    database.run_own(_PUT, (key, number, digest, now, outcome))
    # A few at a time: each call takes more away than it adds, so that nothing piles up.
    old = [one for one, at in database.run_own(_OLDEST) if at <= now - SECONDS]
    last = max([number - COUNT, *old])
    if last > 0:
        database.run_own(_FORGET, (last,))


# -- what is kept ----------------------------------------------------------------------------------


def packed(outcome: Any) -> bytes:
    """The bytes of an outcome; `NotStorable` if it cannot be kept."""
    try:
        return _dumped(_Pickler, outcome)
    except Exception:  # a class that cannot be found by its name, of a notebook for example
        import cloudpickle  # type: ignore[import-untyped]  # it has no stubs

    class ByValue(_Kept, cloudpickle.Pickler):  # type: ignore[misc]  # the same
        pass

    try:
        return _dumped(ByValue, outcome)
    except Exception as error:  # of the value's own classes: anything can come out of them
        raise NotStorable(
            f"the outcome of a call with a key cannot be kept: {error}",
            hint="return plain data from methods that are called with idempotency_key",
        ) from error


def packed_error(error: Exception) -> bytes:
    """The same for what was raised; its text, if it cannot be kept or not be made again."""
    try:
        data = packed(Raised(error))
        unpacked(data)
    except Exception:  # of the error's own class
        hint = "the error itself could not be kept"
        return packed(Raised(ActorError(f"{type(error).__qualname__}: {error}", hint=hint)))
    return data


def unpacked(data: bytes) -> Any:
    """The outcome again."""
    return pickle.loads(data)  # noqa: S301 - see above


def _dumped(pickler: Any, outcome: Any) -> bytes:
    file = io.BytesIO()
    pickler(file, protocol=5).dump(outcome)
    return file.getvalue()


class _Kept:
    """What a pickler does otherwise: errors are taken apart and not made by their constructors,
    which seldom take what they keep."""

    def reducer_override(self, one: Any) -> Any:
        if isinstance(one, BaseException):
            return _taken_apart(one)
        above = getattr(super(), "reducer_override", None)
        return NotImplemented if above is None else above(one)


class _Pickler(_Kept, pickle.Pickler):
    pass


def _taken_apart(error: BaseException) -> Any:
    base: Any = next(one for one in type(error).__mro__ if one.__module__ == "builtins")
    _, args, *state = base.__reduce__(error)
    return _put_together, (type(error), args, state[0] if state else None, error.__cause__)


def _put_together(
    kind: type[BaseException],
    args: tuple[Any, ...],
    state: dict[str, Any] | None,
    cause: BaseException | None,
) -> BaseException:
    base: Any = next(one for one in kind.__mro__ if one.__module__ == "builtins")
    error: BaseException = base.__new__(kind, *args)
    try:
        base.__init__(error, *args)
    except (TypeError, ValueError):
        error.args = args  # its own constructor gave `base` something else
    for name, value in (state or {}).items():
        object.__setattr__(error, name, value)
    error.__cause__ = cause
    return error
