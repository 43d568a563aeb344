"""Outcomes of calls that carried an idempotency key, where they are kept.

    _facets_outcomes   number, in the order of keeping; key; digest, of the method and its
                       arguments; at, seconds since 1970; outcome, a pickle

A reserved table of the actor's own database, made by the first such call: what is in it is
committed, undone, cloned, exported and restored with everything else there. A pickle runs what
it says when it is read: a state directory and an archive are trusted like code. Of code in a
sandbox there is no pickle, but what it said itself, in the words of its codec.
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
"""Outcomes that an actor keeps, and some more: the oldest go."""
_TABLE = """
create table if not exists _facets_outcomes(
    number integer primary key, key text not null unique, digest blob not null, at real not null,
    outcome blob not null)
"""
_EXISTS = "select 1 from sqlite_schema where name = '_facets_outcomes'"
_FIND = "select digest, outcome from _facets_outcomes where key = ? and at > ?"
_PUT = (
    "insert or replace into _facets_outcomes(key, digest, at, outcome) values (?, ?, ?, ?) "
    "returning number"
)
_OLDEST = "select number, at from _facets_outcomes order by number limit 64"
_FORGET = "delete from _facets_outcomes where number <= ?"
_ROUND = 16
"""So many calls, and what is too old is looked for: fewer than are taken away then."""
_NEWEST = "select number, at, length(outcome) from _facets_outcomes order by number desc limit ?"


@dataclass(frozen=True, slots=True)
class Few:
    """So many outcomes and, besides the newest, so many bytes."""

    count: int
    size: int


FEW = Few(64, 256 << 10)
"""What is kept of code in a sandbox: its results are as long as it likes, and count against a quota
that may be small. Enough for who has made many calls at once and repeats those that it does not
know the end of."""


@dataclass(frozen=True, slots=True)
class Raised:
    """An outcome that is an error."""

    error: Exception


class Outcomes:
    """Those of one incarnation of an actor."""

    __slots__ = ("_database", "_few", "_there", "running")

    def __init__(self, database: Database, few: Few | None = None) -> None:
        self._database = database
        self._few = few
        self._there = False
        """The table is there, in a commit: it stays."""
        self.running: dict[str, Any] = {}
        """Calls under way, by key."""

    def find(self, key: str, now: float) -> tuple[bytes, bytes] | None:
        """The digest and the outcome that are kept under a key. Not in a step."""
        database = self._database
        if not self._there:
            database.look()
            if not database.has_file or not database.peek(_EXISTS):
                return None
            self._there = not database.deferred
        found = database.peek(_FIND, (key, now - SECONDS))
        return found[0] if found else None

    def put(self, key: str, digest: bytes, outcome: bytes, now: float) -> None:
        """Keep an outcome, in the current step; forget what is too old, or too much, at times."""
        run = self._database.run_own
        if not self._there:
            run(_TABLE)
        number = run(_PUT, (key, digest, now, outcome))[0][0]
        if self._few is not None:
            self._forget_all_but(self._few, now)
        elif number % _ROUND == 0:
            old = [one for one, at in run(_OLDEST) if at <= now - SECONDS]
            run(_FORGET, (max([number - COUNT, *old]),))

    def _forget_all_but(self, few: Few, now: float) -> None:
        size = 0
        rows = self._database.run_own(_NEWEST, (few.count + 1,))
        for place, (number, at, length) in enumerate(rows[1:], 1):
            size += length
            if place == few.count or size > few.size or at <= now - SECONDS:
                self._database.run_own(_FORGET, (number,))
                return


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
