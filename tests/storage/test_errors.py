"""Errors: one drawn tree, every one with fields and a hint that survive pickling."""

from __future__ import annotations

import inspect
import pickle
import re
from pathlib import Path

import apsw
import pytest

from storage import StorageLimits, errors
from storage.errors import (
    ConstraintError,
    DatabaseCorrupt,
    FacetsError,
    NoRow,
    NotStorable,
    OutOfMemory,
    SqlDenied,
    SqlError,
    StateInUse,
    StatementTimeout,
    StatementTooComplex,
    StatementTooLong,
    StorageError,
    StorageFull,
    ValueTooLarge,
)
from storage.refusals import Circumstances, translate

ALL = [
    one for _, one in inspect.getmembers(errors, inspect.isclass) if issubclass(one, FacetsError)
]


def drawn() -> dict[str, str]:
    """Each error of the drawing with the one it hangs on."""
    above: dict[int, str] = {}
    found = {}
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"^    ([ │├└─]*)([A-Z]\w+)  ", line) or re.match(
            r"^    ([ │├└─]*)([A-Z]\w+)$", line
        )
        if match:
            depth = len(match[1])
            above[depth] = match[2]
            found[match[2]] = above.get(depth - 4, "")
    return found


def test_the_drawing_shows_the_classes_as_they_are() -> None:
    assert drawn() == {
        one.__name__: "" if one is FacetsError else one.__bases__[0].__name__ for one in ALL
    }


@pytest.mark.parametrize("kind", ALL)
def test_every_error_survives_pickling_with_its_fields_hint_and_notes(
    kind: type[FacetsError],
) -> None:
    error = kind("it failed", hint="mend it", path="/x", code=7)
    error.add_note("a note")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert str(again) == str(error) == "it failed (mend it)"
    assert (again.message, again.hint) == ("it failed", "mend it")
    assert again.fields == {"path": "/x", "code": 7}
    assert (again.path, again.code) == ("/x", 7)
    assert again.__notes__ == ["a note"]


@pytest.mark.parametrize("kind", ALL)
def test_an_error_without_notes_has_none_after_pickling(kind: type[FacetsError]) -> None:
    again = pickle.loads(pickle.dumps(kind("it failed")))
    assert not hasattr(again, "__notes__")
    assert again.hint == kind.hint


@pytest.mark.parametrize("kind", ALL)
def test_every_error_says_what_it_means(kind: type[FacetsError]) -> None:
    assert kind.__doc__
    assert len(kind.__doc__) > 20


def test_errors_are_also_the_builtin_that_callers_catch() -> None:
    for kind, builtin in (
        (SqlDenied, PermissionError), (StatementTooLong, ValueError), (ValueTooLarge, ValueError),
        (StatementTooComplex, ValueError), (StatementTimeout, TimeoutError), (NoRow, LookupError),
        (NotStorable, TypeError), (OutOfMemory, MemoryError),
    ):  # fmt: skip
        assert issubclass(kind, builtin)
        assert issubclass(kind, StorageError)


def test_a_hint_of_the_class_stands_where_none_is_given() -> None:
    assert "restore" in str(DatabaseCorrupt("x.db is damaged"))
    assert str(StateInUse("taken")) == "taken"


MET = Circumstances(Path("/x/1.db"), StorageLimits(), "", 1000)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (apsw.SQLITE_FULL, StorageFull),
        (apsw.SQLITE_IOERR_WRITE, StorageFull),
        (apsw.SQLITE_NOMEM, OutOfMemory),
        (apsw.SQLITE_IOERR_NOMEM, OutOfMemory),
        (apsw.SQLITE_CORRUPT, DatabaseCorrupt),
        (apsw.SQLITE_CORRUPT_INDEX, DatabaseCorrupt),
        (apsw.SQLITE_IOERR_CORRUPTFS, DatabaseCorrupt),
        (apsw.SQLITE_IOERR_READ, DatabaseCorrupt),
        (apsw.SQLITE_IOERR_SHORT_READ, DatabaseCorrupt),
        (apsw.SQLITE_NOTADB, DatabaseCorrupt),
        (apsw.SQLITE_CONSTRAINT_CHECK, ConstraintError),
        (apsw.SQLITE_AUTH, SqlDenied),
        (apsw.SQLITE_TOOBIG, ValueTooLarge),
        (apsw.SQLITE_INTERRUPT, StatementTimeout),
        (apsw.SQLITE_MISMATCH, SqlError),
        (apsw.SQLITE_ERROR, SqlError),
    ],
)
def test_each_code_of_sqlite_is_one_kind_of_error(code: int, kind: type[StorageError]) -> None:
    error = translate(apsw.exception_for(code), "select 1", MET)
    assert type(error) is kind
    if isinstance(error, SqlError):
        assert error.code == code
    if isinstance(error, (StorageFull, DatabaseCorrupt)):
        assert error.path == "/x/1.db"


@pytest.mark.parametrize("during", ["commit", "open"])
@pytest.mark.parametrize(
    "code", [apsw.SQLITE_IOERR, apsw.SQLITE_IOERR_FSYNC, apsw.SQLITE_IOERR_TRUNCATE]
)
def test_a_disk_that_fails_a_commit_or_an_opening_has_no_room(code: int, during: str) -> None:
    assert type(translate(apsw.exception_for(code), during, MET)) is StorageFull


@pytest.mark.parametrize("error", [ZeroDivisionError("x"), RuntimeError("x"), AttributeError("x")])
def test_errors_of_the_callers_own_code_stay_what_they_are(error: Exception) -> None:
    assert translate(error, "select 1", MET) is error
