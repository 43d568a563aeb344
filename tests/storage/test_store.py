"""The store: what was kept, deleted and copied, against a plain model of it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from storage import Store
from storage.clone import clone
from storage.connection import Connection
from storage.database import Database
from storage.errors import NoState, SqlError, StorageError, StorageFull
from storage.limits import CATALOGUE, StorageLimits

from .kit import SMALL, crashed, descriptors, image, no_room_to_queue, put, read, whole
from .kit import small_files as small_files


@pytest.fixture
def store(tmp_path: Path, small_files: None) -> Iterator[Store]:
    store = Store.open(tmp_path / "state")
    yield store
    store.close()


def names(store: Store) -> set[str]:
    """Database files that are there."""
    return {one.name for one in store.layout.databases.rglob("*.db")}


# -- keep -------------------------------------------------------------------------------------


def test_a_first_commit_makes_a_row_for_all_above(store: Store) -> None:
    deep = store.root("K", "a").child("b").child("c")
    put(deep, 1)

    assert store.names("K") == ["a"]
    assert store.root("K", "a").children() == ["b"]
    assert len(names(store)) == 1


def test_reading_makes_nothing(store: Store) -> None:
    assert read(store.root("K", "a")) is None
    assert store.committed == 0
    assert names(store) == set()


def test_a_step_that_is_undone_leaves_no_file_when_it_sleeps(store: Store) -> None:
    a = store.root("K", "a")
    a.kv["x"] = 1
    a.rollback()
    a.sleep()

    assert names(store) == set()
    assert put(a, 2) == 1


def test_a_first_commit_without_room_leaves_no_row_and_no_file(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = store.root("K", "a").child("b")
    with monkeypatch.context() as patch:
        no_room_to_queue(patch.setattr)
        with pytest.raises(StorageFull):
            put(deep, 1)

    assert store.names("K") == []
    assert names(store) == set()
    assert store.committed == 0
    put(deep, 2)
    store.sync()
    with crashed(store) as again:
        assert read(again.root("K", "a").child("b")) == 2


def test_a_commit_without_room_is_undone_alone(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = store.root("K", "a"), store.root("K", "b")
    put(a, 1)
    put(b, 1)
    with monkeypatch.context() as patch:
        no_room_to_queue(patch.setattr)
        with pytest.raises(StorageFull):
            put(a, 2)

    assert (read(a), read(b)) == (1, 1)
    put(b, 3)
    put(a, 3)
    store.sync()
    with crashed(store) as again:
        assert (read(again.root("K", "a")), read(again.root("K", "b"))) == (3, 3)
        assert whole(again.root("K", "a"))


def test_a_commit_taken_back_while_it_is_copied_is_not_in_the_copy(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    a = store.root("K", "a")
    put(a, 1)
    graft = clone(store, a, store.root("K", "b"))
    with monkeypatch.context() as patch:
        no_room_to_queue(patch.setattr)
        with pytest.raises(StorageFull):
            put(a, "x" * 50_000)
    put(a, 3)

    graft.work()
    graft.finish()

    assert (read(a), read(store.root("K", "b"))) == (3, 1)
    assert whole(store.root("K", "b"))


@pytest.mark.parametrize("cap", [1, 2])
def test_a_first_commit_keeps_its_file_whatever_the_cap(
    tmp_path: Path, small_files: None, cap: int
) -> None:
    store = Store.open(tmp_path / "capped", open_databases=cap)
    for n in range(10):
        put(store.root("K", str(n)), n)
        assert store.stats()["open"] <= cap + 1
    store.sync()

    with crashed(store) as again:
        assert [read(again.root("K", str(n))) for n in range(10)] == list(range(10))
    store.close()


def test_limits_of_actors_do_not_bound_their_number(tmp_path: Path, small_files: None) -> None:
    limits = StorageLimits(database=64 << 10, rows=5)
    store = Store.open(tmp_path / "limited", limits=limits)
    for n in range(150):
        put(store.root("K", f"{n:03}" * 100), n)

    assert len(store.names("K")) == 150
    assert (tmp_path / "limited" / "catalogue.db").exists()
    assert CATALOGUE.seconds is None
    store.close()


# -- delete -----------------------------------------------------------------------------------


def test_delete_is_one_record_for_the_subtree(store: Store) -> None:
    a = store.root("K", "a")
    put(a, 1)
    put(a.child("b").child("c"), 1)
    before = store.committed

    assert a.delete() == before + 1
    assert not a.exists()
    assert not a.child("b").exists()
    assert store.names("K") == []


def test_files_go_when_the_delete_is_durable_and_not_before(store: Store) -> None:
    a = store.root("K", "a")
    put(a, 1)
    store.sync()
    a.delete()
    assert len(names(store)) == 1
    with crashed(store) as again:
        assert read(again.root("K", "a")) == 1

    store.sync()

    assert names(store) == set()


def test_a_new_life_never_sees_the_one_before(store: Store) -> None:
    a = store.root("K", "a")
    put(a, "old")
    old = a.uid
    a.delete()
    assert read(a) is None
    a.sql("create table t(x)")
    a.commit()

    assert a.uid != old
    store.sync()
    with crashed(store) as again:
        assert read(again.root("K", "a")) is None
        assert again.root("K", "a").sql("select count(*) from t").value() == 0


def test_a_delete_without_room_changes_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    a = store.root("K", "a")
    put(a.child("b"), 1)
    with monkeypatch.context() as patch:
        no_room_to_queue(patch.setattr)
        with pytest.raises(StorageFull):
            a.delete()

    assert read(a.child("b")) == 1
    assert not store.catalogue.database.in_step
    a.delete()
    assert store.names("K") == []


def test_a_delete_that_fails_halfway_leaves_no_open_step(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A later commit would have kept the half."""
    a = store.root("K", "a")
    put(a, 1)
    put(a.child("b"), 1)
    real = Connection.own
    seen = []

    def own(self: Connection, query: str, args: object = None) -> object:
        if query.startswith("delete from actors"):
            seen.append(query)
            if len(seen) == 2:
                raise SqlError("it failed", statement=query, code=1)
        return real(self, query, args)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(Connection, "own", own)
        with pytest.raises(SqlError):
            a.delete()

    put(store.root("K", "other"), 1)
    assert (read(a), read(a.child("b"))) == (1, 1)
    assert store.names("K") == ["a", "other"]


def test_what_is_in_a_step_or_held_is_not_deleted(store: Store) -> None:
    a = store.root("K", "a")
    put(a.child("b"), 1)
    a.child("b").kv["x"] = 2
    with pytest.raises(StorageError, match="open"):
        a.delete()

    a.child("b").commit()
    a.delete()


def test_a_step_below_that_wrote_nothing_yet_is_a_step_too(store: Store) -> None:
    a = store.root("K", "a")
    put(a, 1)
    new = a.child("new")
    new.kv["x"] = 1
    with pytest.raises(StorageError, match="open"):
        a.delete()

    new.commit()
    assert read(new) == 1


def test_deleting_what_was_never_written_is_nothing(store: Store) -> None:
    a = store.root("K", "a")
    a.kv["x"] = 1
    a.rollback()
    a.delete()

    assert store.committed == 0
    assert names(store) == set()


# -- grafts -----------------------------------------------------------------------------------


def test_a_graft_below_a_parent_that_went_meanwhile_is_refused(store: Store) -> None:
    parent, source = store.root("K", "parent"), store.root("K", "source")
    put(parent, 1)
    put(source, 2)
    graft = clone(store, source, parent.child("copy"))
    graft.work()
    parent.delete()

    with pytest.raises(NoState, match="replaced"):
        graft.finish()

    assert store.names("K") == ["source"]
    assert store.stats()["actors"] == 1
    assert not source.held


def test_who_looked_before_a_graft_sees_what_it_brought(store: Store) -> None:
    source, target = store.root("K", "source"), store.root("K", "target")
    put(source.child("x"), 1)
    child = target.child("x")
    assert read(child) is None
    graft = clone(store, source, target)
    graft.work()
    graft.finish()

    assert read(child) == 1


@pytest.mark.parametrize("written", [False, True])
def test_a_graft_does_not_undo_the_open_step_of_its_target(store: Store, written: bool) -> None:
    source, target = store.root("K", "source"), store.root("K", "target")
    put(source, 1)
    if written:
        put(target, "old")
    graft = clone(store, source, target)
    graft.work()
    target.kv["x"] = "in a step"

    with pytest.raises(StorageError, match="in use"):
        graft.finish()

    target.commit()
    assert read(target) == "in a step"


def test_a_subtree_can_take_the_place_of_its_own_parent(store: Store) -> None:
    a = store.root("K", "a")
    put(a, "parent")
    put(a.child("b"), "child")
    graft = clone(store, a.child("b"), a)
    graft.work()
    graft.finish()

    assert read(a) == "child"
    assert a.children() == []
    store.sync()
    with crashed(store) as again:
        assert read(again.root("K", "a")) == "child"


def test_a_graft_that_fails_halfway_leaves_no_open_step(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = store.root("K", "source"), store.root("K", "target")
    put(source, 1)
    put(target, 2)
    graft = clone(store, source, target)
    graft.work()

    def refuse(*_: object) -> None:
        raise SqlError("it failed", statement="", code=1)

    with monkeypatch.context() as patch:
        patch.setattr("storage.catalogue.Catalogue.put", refuse)
        with pytest.raises(SqlError):
            graft.finish()

    put(store.root("K", "other"), 3)
    assert (read(source), read(target)) == (1, 2)
    assert store.names("K") == ["other", "source", "target"]


# -- closing ----------------------------------------------------------------------------------


def test_closing_makes_everything_durable(store: Store, tmp_path: Path) -> None:
    put(store.root("K", "a"), 1)
    store.close()
    store.close()

    again = Store.open(store.directory)
    assert read(again.root("K", "a")) == 1
    again.close()


def test_an_open_store_holds_no_more_descriptors_than_it_needs(
    tmp_path: Path, small_files: None
) -> None:
    before = descriptors()
    for n in range(3):
        store = Store.open(tmp_path / "fds", journal=SMALL, open_databases=4)
        for m in range(30):
            put(store.root("K", str(m)), [n, "x" * 9000])
        assert descriptors() - before < 5 * 3 + 10 * 2
        store.close()
        assert descriptors() == before


# -- a model ----------------------------------------------------------------------------------

Path_ = tuple[str, ...]
PATHS: list[Path_] = [("a",), ("b",), ("a", "x"), ("a", "y"), ("b", "x"), ("a", "x", "deep")]
ALL_PATHS = sorted({*PATHS, *(("b", *one[1:]) for one in PATHS)})
paths = st.sampled_from(PATHS)
sizes = st.sampled_from([1, 100, 5_000, 30_000, 200_000])


@settings(
    max_examples=25,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
class Model(RuleBasedStateMachine):
    """Values by path; what is kept of them at each sequence tells what a crash must leave."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr("storage.segment.STEP", 64 << 10)
        self.folder = Path(tempfile.mkdtemp(prefix="facets-model-"))
        self.root = self.folder / "state"
        self.values: dict[Path_, object] = {}
        self.rows: set[Path_] = set()
        """An actor has a row from the first write of its own or below it until it is deleted."""
        self.history: dict[int, tuple[dict[Path_, object], set[Path_]]] = {0: ({}, set())}
        self.count = 0
        self.store: Store
        self.cap = 256

    @initialize(cap=st.sampled_from([1, 2, 256]))
    def begin(self, cap: int) -> None:
        self.cap = cap
        self.open()

    def open(self) -> None:
        self.store = Store.open(self.root, journal=SMALL, open_databases=self.cap)

    def at(self, path: Path_) -> Database:
        found = self.store.root("K", path[0])
        for name in path[1:]:
            found = found.child(name)
        return found

    def kept(self) -> None:
        for path in self.values:
            self.rows |= {path[: n + 1] for n in range(len(path))}
        self.history[self.store.committed] = dict(self.values), set(self.rows)

    def value(self, size: int) -> object:
        self.count += 1
        return [self.count, "v" * size]

    @rule(path=paths, size=sizes)
    def write(self, path: Path_, size: int) -> None:
        self.values[path] = self.value(size)
        put(self.at(path), self.values[path])
        self.kept()

    @rule(chosen=st.lists(paths, min_size=2, unique=True).map(sorted), size=sizes)
    def write_all(self, chosen: list[Path_], size: int) -> None:
        databases = [self.at(path) for path in chosen]
        for one in databases:
            one.defer()
        for path, one in zip(chosen, databases, strict=True):
            self.values[path] = one.kv["x"] = self.value(size)
            one.commit()
        self.store.commit_all(databases)
        for one in databases:
            one.undefer()
        self.kept()

    @rule(path=paths, size=sizes)
    def write_without_room(self, path: Path_, size: int) -> None:
        with pytest.MonkeyPatch.context() as patch:
            no_room_to_queue(patch.setattr)
            with pytest.raises(StorageFull):
                put(self.at(path), self.value(size))

    @rule(path=paths, size=sizes)
    def undo(self, path: Path_, size: int) -> None:
        one = self.at(path)
        one.kv["x"] = self.value(size)
        one.rollback()

    @rule(path=paths)
    def delete(self, path: Path_) -> None:
        self.at(path).delete()
        for other in [one for one in self.values if one[: len(path)] == path]:
            del self.values[other]
        self.rows = {one for one in self.rows if one[: len(path)] != path}
        self.kept()

    @precondition(lambda self: any(path[0] == "a" for path in self.values))
    @rule(size=sizes)
    def clone(self, size: int) -> None:
        graft = clone(self.store, self.at(("a",)), self.at(("b",)))
        taken = {path: v for path, v in self.values.items() if path[0] == "a"}
        rows = {("b", *path[1:]) for path in self.rows if path[0] == "a"}
        self.write(("a",), size)
        self.store.tend(everything=True)
        graft.work()
        graft.finish()
        self.values = {path: v for path, v in self.values.items() if path[0] != "b"}
        self.values.update({("b", *path[1:]): v for path, v in taken.items()})
        self.rows = {path for path in self.rows if path[0] != "b"} | rows
        self.kept()

    @rule(path=paths)
    def sleep(self, path: Path_) -> None:
        self.at(path).sleep()

    @rule()
    def sync(self) -> None:
        self.store.sync()

    @rule(everything=st.booleans())
    def tend(self, everything: bool) -> None:
        self.store.tend(everything=everything)

    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.open()

    @rule()
    def crash(self) -> None:
        durable = self.store.durable
        dead = image(self.root)
        self.store.close()
        shutil.rmtree(self.root)
        dead.rename(self.root)
        self.open()
        assert self.store.committed == durable
        values, rows = self.history[max(n for n in self.history if n <= durable)]
        self.values, self.rows = dict(values), set(rows)
        self.history = {n: v for n, v in self.history.items() if n <= durable}

    @invariant()
    def holds(self) -> None:
        if not hasattr(self, "store"):
            return
        for path in ALL_PATHS:
            assert read(self.at(path)) == self.values.get(path), path
        assert self.store.names("K") == sorted({path[0] for path in self.rows})
        for name in "ab":
            below = {path[1] for path in self.rows if path[0] == name and len(path) == 2}
            assert self.at((name,)).children() == sorted(below)

    def teardown(self) -> None:
        if hasattr(self, "store"):
            for path in self.values:
                assert whole(self.at(path))
            self.store.close()
        shutil.rmtree(self.folder)
        self.patch.undo()


TestModel = Model.TestCase
