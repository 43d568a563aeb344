"""What differs between two subtrees, and between two moments of one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage import Store
from storage.database import Database
from storage.diff import Diff, Difference
from storage.errors import NoState
from storage.history import Bookmark
from storage.move import move
from tests.storage.kit import put
from tests.storage.scratch import scratch

Moment = tuple[Database, Bookmark | None]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store.open(tmp_path / "state")
    yield store
    store.close()


def diff(store: Store, old: Moment, new: Moment) -> list[Difference]:
    job = Diff(store, old, new)
    try:
        job.work()
        found: list[Difference] = []
        while more := job.next():
            found += more
        return found
    finally:
        job.close()


def since(store: Store, database: Database, mark: Bookmark) -> list[Difference]:
    return diff(store, (database, mark), (database, None))


def said(found: list[Difference]) -> list[tuple[Any, ...]]:
    return [(one.actor, one.kind, one.change, one.table or one.key) for one in found]


def run(database: Database, *statements: str) -> None:
    for one in statements:
        database.run_own(one)
    database.commit()


def test_rows_are_told_by_table_and_key(store: Store) -> None:
    root = store.root("K", "a")
    run(root, "create table t(id integer primary key, v)", "insert into t values (1,'x'),(2,'y')")
    mark = store.bookmark()
    run(root, "update t set v = 'z' where id = 1", "delete from t where id = 2")
    run(root, "insert into t values (3, 'new')")

    assert since(store, root, mark) == [
        Difference((), "row", "t", (1,), {"id": 1, "v": "x"}, {"id": 1, "v": "z"}),
        Difference((), "row", "t", (2,), {"id": 2, "v": "y"}, None),
        Difference((), "row", "t", (3,), None, {"id": 3, "v": "new"}),
    ]


def test_two_bookmarks_are_compared_either_way(store: Store) -> None:
    root = store.root("K", "a")
    put(root, 1)
    first = store.bookmark()
    put(root, 2)
    second = store.bookmark()
    put(root, 3)

    (there,) = diff(store, (root, first), (root, second))
    (back,) = diff(store, (root, second), (root, first))

    assert (there.kind, there.key, there.old, there.new) == (
        "key", ("x",), {"value": 1}, {"value": 2},
    )  # fmt: skip
    assert (back.old, back.new) == (there.new, there.old)


def test_actors_that_came_and_went_are_told_with_what_they_held(store: Store) -> None:
    root = store.root("K", "a")
    put(root.child("gone").child("deep"), 1)
    mark = store.bookmark()
    root.child("gone").delete()
    put(root.child("new"), 2)

    assert said(since(store, root, mark)) == [
        (("new",), "actor", "added", ()),
        (("new",), "key", "added", ("x",)),
        (("gone",), "actor", "removed", ()),
        (("gone", "deep"), "actor", "removed", ()),
        (("gone", "deep"), "key", "removed", ("x",)),
    ]


def test_what_was_renamed_or_moved_is_one_difference(store: Store) -> None:
    root = store.root("K", "a")
    put(root.child("x"), 1)
    put(root.child("y"), 2)
    mark = store.bookmark()
    move(store, root.child("x"), root.child("y"), "", "z")

    (found,) = since(store, root, mark)

    assert (found.kind, found.old, found.new) == (
        "actor", {"path": ("x",)}, {"path": ("y", "z")},
    )  # fmt: skip


def test_only_what_changed_is_written_aside(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    root = store.root("K", "a")
    for n in range(5):
        put(root.child(str(n)), n)
    mark = store.bookmark()
    put(root.child("2"), "new")
    written: list[Path] = []
    original = store.disk.open

    def noting(path: Path, flags: int, mode: int = 0o600) -> int:
        if path.name.startswith("diff-"):
            written.append(path)
        return original(path, flags, mode)

    monkeypatch.setattr(store.disk, "open", noting)

    assert said(since(store, root, mark)) == [(("2",), "key", "changed", ("x",))]
    assert len(written) == 2


def test_two_actors_are_compared_by_names(store: Store) -> None:
    one, two = store.root("K", "a"), store.root("K", "b")
    for root, value in ((one, 1), (two, 2)):
        put(root.child("x"), value)
        put(root.child("same"), "same")
    put(two.child("x").child("more"), 3)

    assert said(diff(store, (one, None), (two, None))) == [
        (("x",), "key", "changed", ("x",)),
        (("x", "more"), "actor", "added", ()),
        (("x", "more"), "key", "added", ("x",)),
    ]


def test_files_are_told_by_path(store: Store) -> None:
    root = store.root("K", "a")
    root.fs.mkdir("/docs")
    root.fs.write_text("/docs/a.txt", "one")
    root.fs.write_text("/docs/b.txt", "two")
    root.commit()
    mark = store.bookmark()
    root.fs.write_text("/docs/a.txt", "eins")
    root.fs.unlink("/docs/b.txt")
    root.commit()

    found = {one.key: one for one in since(store, root, mark) if one.key != ("/docs",)}

    assert {one.kind for one in found.values()} == {"file"}
    changed, removed = found[("/docs/a.txt",)], found[("/docs/b.txt",)]
    assert changed.old is not None
    assert changed.new is not None
    assert changed.old["content"] != changed.new["content"]
    assert (changed.old["size"], changed.new["size"]) == (3, 4)
    assert removed.change == "removed"


def test_tables_whose_definition_changed_are_told_and_compared_by_what_both_have(
    store: Store,
) -> None:
    root = store.root("K", "a")
    run(root, "create table t(id integer primary key, v)", "insert into t values (1,'x'),(2,'y')")
    run(root, "create table gone(a)", "create table other(a primary key, b)")
    run(root, "insert into other values (1, 2)")
    mark = store.bookmark()
    run(root, "alter table t add column w", "update t set v = 'z', w = 5 where id = 1")
    run(root, "drop table gone", "drop table other", "create table other(a, b primary key)")
    run(root, "insert into other values (1, 2)")

    assert said(since(store, root, mark)) == [
        ((), "table", "removed", "gone"),
        ((), "table", "changed", "other"),
        ((), "row", "removed", "other"),
        ((), "row", "added", "other"),
        ((), "table", "changed", "t"),
        ((), "row", "changed", "t"),
    ]


def test_values_that_only_compare_equal_differ(store: Store) -> None:
    root = store.root("K", "a")
    run(root, "create table t(k text primary key collate nocase, v collate nocase) without rowid")
    run(root, "insert into t values ('a', 'word'), ('b', 1), ('c', null), ('d', x'00')")
    mark = store.bookmark()
    run(root, "update t set v = 'Word' where k = 'a'", "update t set v = 1.0 where k = 'b'")
    run(root, "update t set v = 0 where k = 'c'")

    assert [one.key for one in since(store, root, mark)] == [("a",), ("b",), ("c",)]


def test_odd_names_are_names(store: Store) -> None:
    root = store.root("K", "a")
    run(root, 'create table "we ird""; --"("a b" integer primary key, "select" text)')
    mark = store.bookmark()
    run(root, 'insert into "we ird""; --" values (1, \'x\')')

    (found,) = since(store, root, mark)

    assert found.table == 'we ird"; --'
    assert found.new == {"a b": 1, "select": "x"}


def test_a_search_index_is_compared_by_its_rows(store: Store) -> None:
    root = store.root("K", "a")
    run(root, "create virtual table f using fts5(words)", "insert into f values ('one two')")
    mark = store.bookmark()
    run(root, "insert into f values ('three')")

    (found,) = since(store, root, mark)

    assert found.new == {"words": "three"}


def test_nothing_is_left_aside_or_held(store: Store) -> None:
    root = store.root("K", "a")
    run(root, "create table t(id integer primary key)")
    mark = store.bookmark()
    root.run_many("insert into t values (?)", [(n,) for n in range(1000)])
    root.commit()
    job = Diff(store, (root, mark), (root, None))
    job.work()

    assert len(job.next()) == 256
    job.close()

    assert not list(store.layout.staging.iterdir())
    assert not any(one.held for one in store.databases.live.values())


def test_what_was_not_there_is_refused(store: Store) -> None:
    root = store.root("K", "a")
    put(store.root("K", "b"), 1)
    mark = store.bookmark()
    with pytest.raises(NoState):
        diff(store, (root, None), (store.root("K", "b"), None))
    put(root, 1)
    with pytest.raises(NoState):
        since(store, root, mark)

    assert not any(one.held for one in store.databases.live.values())


Rows = dict[int, Any]
ROWS = st.dictionaries(st.integers(0, 9), st.sampled_from([None, 0, 1, "a", "A", b"\0", 1.5]))


@settings(max_examples=25, deadline=None)
@given(one=ROWS, two=ROWS)
def test_a_difference_applied_to_the_old_side_gives_the_new_one(one: Rows, two: Rows) -> None:
    with scratch() as directory:
        store = Store.open(Path(directory) / "state")
        try:
            root = store.root("K", "a")
            run(root, "create table t(id integer primary key, v)")
            fill(root, one)
            mark = store.bookmark()
            root.run_own("delete from t")
            fill(root, two)
            made = dict(one)
            for found in since(store, root, mark):
                key = found.key[0]
                assert (found.old and found.old["v"]) == made.pop(key, None)
                if found.new is not None:
                    made[key] = found.new["v"]
            assert made == two
        finally:
            store.close()


def fill(root: Database, rows: Rows) -> None:
    for key, value in rows.items():
        root.run_own("insert into t values (?, ?)", (key, value))
    root.commit()


def test_indexes_triggers_and_views_are_told_by_what_they_are_defined_as(store: Store) -> None:
    root = store.root("K", "a")
    run(
        root,
        "create table t(id integer primary key, v unique)",
        "create index by_v on t(v)",
        "create view all_v as select v from t",
    )
    mark = store.bookmark()
    run(
        root,
        "drop index by_v",
        "create index by_v on t(v desc)",
        "drop view all_v",
        "create trigger seen after insert on t begin select 1; end",
    )

    found = since(store, root, mark)

    told = [(one.kind, one.change, one.table, one.key) for one in found]
    assert told == [
        ("index", "changed", "t", ("by_v",)),
        ("trigger", "added", "t", ("seen",)),
        ("view", "removed", "all_v", ()),
    ]
    assert found[0].new == {"sql": "CREATE INDEX by_v on t(v desc)"}
