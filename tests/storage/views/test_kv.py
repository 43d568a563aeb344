"""A view of keys shows what begins with its prefix, under what follows it."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage.database import Database
from storage.errors import NotStorable, ResultTooLarge, ValueTooLarge


@pytest.fixture
def filled(database: Database) -> Database:
    database.kv.update({"a:1": 1, "a:2": 2, "b:1": 3, "a": 4, "a;": 5})
    database.commit()
    return database


def test_keys_are_seen_without_their_prefix(filled: Database) -> None:
    view = filled.kv.view("a:", "rw")

    assert view.get("1") == 1
    assert view.get("9", "none") == "none"
    assert view.contains("2")
    assert not view.contains("a:1")
    assert view.list() == [("1", 1), ("2", 2)]
    assert view.list(start="2") == [("2", 2)]
    assert view.list(end="2") == [("1", 1)]
    assert view.list(reverse=True, limit=1) == [("2", 2)]
    assert view.get_many(["1", "x"]) == {"1": 1}


def test_what_is_written_stays_below_the_prefix(filled: Database) -> None:
    view = filled.kv.view("a:", "rw")

    view.set("3", [1])
    view.update({"4": 4, "": "the prefix itself"})
    view.delete("1")

    assert view.delete_many(["2", "b:1"]) == 1
    assert dict(filled.kv.list()) == {
        "a:": "the prefix itself", "a:3": [1], "a:4": 4, "b:1": 3, "a": 4, "a;": 5,
    }  # fmt: skip
    with pytest.raises(KeyError):
        view.delete("1")


def test_a_view_for_reading_changes_nothing(filled: Database) -> None:
    view = filled.kv.view("a:")

    for change in (
        lambda: view.set("1", 2), lambda: view.update({}), lambda: view.delete("1"),
        lambda: view.delete_many([]),
    ):  # fmt: skip
        with pytest.raises(PermissionError, match="reading only"):
            change()
    assert set(view.methods) == {"get", "contains", "list", "get_many"}


def test_reading_makes_no_database(database: Database) -> None:
    view = database.kv.view("a:", "rw")

    assert (view.get("1"), view.list(), view.get_many(["1"])) == (None, [], {})
    assert not database.has_file


def test_the_limits_are_those_of_strangers(filled: Database) -> None:
    view = filled.kv.view("a:", "rw")

    with pytest.raises(ValueTooLarge):
        view.set("x", b"x" * (2 << 20))
    for i in range(20):
        filled.kv[f"a:{i}"] = bytes(1000 << 10)
    with pytest.raises(ResultTooLarge):
        view.list()
    assert len(filled.kv.list("a:")) == 20
    with pytest.raises(NotStorable):
        view.get(1)  # type: ignore[arg-type]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.text(), st.text(), st.text(), st.text())
def test_no_argument_reaches_another_key(
    database: Database, prefix: str, start: str, end: str, other: str
) -> None:
    try:
        database.kv.update({prefix + "x": 1, other: 2})
        view = database.kv.view(prefix, "rw")
        found = view.list(start, start=end, end=other) + view.list(other, end=start)
        assert all(prefix + key in database.kv for key, _ in found)
        assert all(database.kv[prefix + key] == value for key, value in found)
    except NotStorable:
        pass
    database.rollback()
