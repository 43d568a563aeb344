"""The catalogue: which actors have state, seen through the store and its databases."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from storage import Database, Store
from storage.errors import StorageError
from tests.storage.scratch import scratch


def write(database: Database) -> None:
    database.kv["written"] = database.name
    database.commit()


def test_an_actor_is_there_from_its_first_commit_on(store: Store) -> None:
    database = store.root("Kind", "name")
    assert not database.exists()
    database.kv["a"] = 1
    database.rollback()
    assert store.names("Kind") == []
    write(database)
    assert database.exists()
    assert store.names("Kind") == ["name"]


def test_kinds_are_apart(store: Store) -> None:
    write(store.root("A", "name"))
    write(store.root("B", "name"))
    store.root("A", "name").delete()
    assert (store.names("A"), store.names("B")) == ([], ["name"])
    assert store.root("B", "name").kv["written"] == "name"
    assert "written" not in store.root("A", "name").kv


NAMES = [
    "a",
    "A",
    "ä",
    " ",
    "a b",
    "a/b",
    "..",
    "a\0b",
    "\U0010ffff",
    "\n",
    "'",
    '"',
    "%",
    "x" * 1024,
]


def test_any_text_is_a_name(memory: Path) -> None:
    store = Store.open(memory / "state")
    for name in NAMES:
        write(store.root("Kind", name))
        write(store.root("Kind", "a").child(name))
    store.close()
    store = Store.open(memory / "state")
    assert store.names("Kind") == sorted(NAMES, key=str.encode)
    assert store.root("Kind", "a").children() == sorted(NAMES, key=str.encode)
    assert [store.root("Kind", name).kv["written"] for name in NAMES] == NAMES
    store.close()


def test_those_above_are_there_though_they_hold_nothing(store: Store) -> None:
    root = store.root("Kind", "root")
    write(root.child("a").child("b"))
    assert root.exists()
    assert root.size() == 0
    assert root.children() == ["a"]
    assert root.child("a").children() == ["b"]
    assert store.stats()["actors"] == 3


def test_deleting_takes_all_that_is_below(store: Store) -> None:
    root = store.root("Kind", "root")
    for one in (root, root.child("a"), root.child("a").child("b"), root.child("c")):
        write(one)
    root.child("a").delete()
    assert root.children() == ["c"]
    assert not root.child("a").child("b").exists()
    assert root.kv["written"] == "root"
    root.rollback()
    root.delete()
    assert store.names("Kind") == []
    assert store.stats()["actors"] == 0


def test_an_actor_made_again_does_not_see_its_predecessor(store: Store) -> None:
    root = store.root("Kind", "root")
    write(root)
    write(root.child("a"))
    first = root.uid
    root.delete()
    root.kv["new"] = 1
    root.commit()
    assert list(root.kv) == ["new"]
    root.rollback()
    assert root.children() == []
    assert root.uid != first


def test_a_uid_is_never_used_again(memory: Path) -> None:
    seen: set[int | None] = set()
    for _ in range(3):
        store = Store.open(memory / "state")
        for name in ("a", "b"):
            database = store.root("Kind", name)
            write(database)
            assert database.uid not in seen
            seen.add(database.uid)
            database.delete()
        store.close()


def test_the_size_is_that_of_the_file(store: Store) -> None:
    database = store.root("Kind", "name")
    assert database.size() == 0
    database.sql("create table t(x)")
    database.sql("insert into t values (zeroblob(100000))")
    database.commit()
    assert 100_000 < database.size() < 130_000


class Tree(RuleBasedStateMachine):
    """Actors born, wiped and undone at several depths, against a set of paths."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = scratch()
        self.store = Store.open(Path(self.directory.name) / "state")
        self.written: set[tuple[str, ...]] = set()
        self.there: set[tuple[str, ...]] = set()
        """Also those above, which stay when all that is below is wiped."""

    def teardown(self) -> None:
        self.store.close()
        self.directory.cleanup()

    def at(self, path: tuple[str, ...]) -> Database:
        database = self.store.root("Kind", path[0])
        for name in path[1:]:
            database = database.child(name)
        return database

    paths = st.lists(st.sampled_from("ab"), min_size=1, max_size=3).map(tuple)

    @rule(path=paths)
    def write(self, path: tuple[str, ...]) -> None:
        write(self.at(path))
        self.written.add(path)
        self.there |= {path[:depth] for depth in range(1, len(path) + 1)}

    @rule(path=paths)
    def write_and_undo(self, path: tuple[str, ...]) -> None:
        self.at(path).kv["undone"] = 1
        self.at(path).rollback()

    @rule(path=paths)
    def wipe_refused_in_a_step(self, path: tuple[str, ...]) -> None:
        self.at(path).kv["undone"] = 1
        for depth in range(1, len(path) + 1) if path in self.there else ():
            with pytest.raises(StorageError):
                self.at(path[:depth]).delete()
        self.at(path).rollback()

    @rule(path=paths)
    def wipe(self, path: tuple[str, ...]) -> None:
        self.at(path).delete()
        self.written = {one for one in self.written if one[: len(path)] != path}
        self.there = {one for one in self.there if one[: len(path)] != path}

    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.store = Store.open(Path(self.directory.name) / "state")

    @invariant()
    def the_tree_is_what_was_written(self) -> None:
        there = self.there
        assert self.store.names("Kind") == sorted({path[0] for path in there})
        assert self.store.stats()["actors"] == len(there)
        for path in there:
            database = self.at(path)
            assert database.exists()
            assert database.children() == sorted(
                {one[len(path)] for one in there if one[:-1] == path}
            )
            assert dict(database.kv.list()) == (
                {"written": path[-1]} if path in self.written else {}
            )
            database.rollback()  # reading opened a step


TestTree = Tree.TestCase
TestTree.settings = settings(max_examples=20, stateful_step_count=20, deadline=None)
