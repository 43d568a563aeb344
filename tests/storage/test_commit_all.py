"""Several databases, one unit: one record holds all of it, or nothing happened."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from storage import Store
from storage.connection import Connection
from storage.database import Database
from storage.errors import ConstraintError, JournalFailed, SqlError, StorageFull
from storage.frames import FrameReader
from storage.recovery import read_segments

from .kit import crashed, no_room_to_queue, put, read, whole
from .kit import small_files as small_files


@pytest.fixture
def store(tmp_path: Path, small_files: None) -> Iterator[Store]:
    store = Store.open(tmp_path / "state")
    yield store
    store.close()


@pytest.fixture
def three(store: Store) -> list[Database]:
    """A parent and its two facets; the last has never written."""
    parent = store.root("K", "parent")
    put(parent, "old")
    put(parent.child("a"), "old")
    return [parent, parent.child("a"), parent.child("new")]


def write(databases: list[Database], value: object = "new") -> None:
    for one in databases:
        one.defer()
    for one in databases:
        one.kv["x"] = value
        one.commit()


def release(databases: list[Database]) -> None:
    for one in databases:
        one.undefer()


def values(databases: list[Database]) -> list[object]:
    return [read(one) for one in databases]


def unchanged(store: Store, three: list[Database], *, born: bool = False) -> None:
    """Nothing of it happened, here or after a crash, and everybody can go on."""
    expected = ["old", "old", "old" if born else None]
    assert values(three) == expected
    assert not any(one.deferred or one.held or one.unkept for one in three)
    store.sync()
    with crashed(store) as again:
        parent = again.root("K", "parent")
        assert values([parent, parent.child("a"), parent.child("new")]) == expected
    for one in three:
        put(one, "later")
    store.sync()
    with crashed(store) as again:
        parent = again.root("K", "parent")
        found = [parent, parent.child("a"), parent.child("new")]
        assert values(found) == ["later"] * 3
        assert all(whole(one) for one in found)


def test_steps_of_all_become_one_record(store: Store, three: list[Database]) -> None:
    write(three)
    before = store.committed

    sequence = store.commit_all(three)
    release(three)

    assert sequence == store.committed == before + 1
    assert {one.sequence for one in three} == {sequence}
    assert values(three) == ["new"] * 3


def test_after_a_crash_all_of_it_is_there_or_none(store: Store, three: list[Database]) -> None:
    store.sync()
    write(three)
    store.commit_all(three)
    release(three)
    with crashed(store) as again:
        assert values([again.root("K", "parent"), again.root("K", "parent").child("new")]) == [
            "old", None,
        ]  # fmt: skip

    store.sync()
    with crashed(store) as again:
        parent = again.root("K", "parent")
        assert values([parent, parent.child("a"), parent.child("new")]) == ["new"] * 3


def test_steps_between_are_not_kept_alone(store: Store, three: list[Database]) -> None:
    before = store.committed
    write(three)
    three[0].kv["y"] = 1
    three[0].commit()
    assert store.committed == before

    release(three)

    unchanged(store, three)


def test_nothing_written_is_no_record(store: Store, three: list[Database]) -> None:
    before = store.committed
    for one in three:
        one.defer()
    three[0].sql("select 1")
    three[0].commit()

    assert store.commit_all(three) == 0
    release(three)
    assert store.committed == before


def test_a_deferred_violation_undoes_all_before_anything_is_committed(
    store: Store, three: list[Database]
) -> None:
    for one in three:
        one.defer()
        one.kv["x"] = "new"
    three[1].sql("create table p(i integer primary key)")
    three[1].sql("create table c(p references p deferrable initially deferred)")
    three[1].sql("insert into c values (7)")
    for one in three:
        one.commit()

    with pytest.raises(ConstraintError):
        store.commit_all(three)
    release(three)

    unchanged(store, three)


def failing_commit(which: Database) -> Callable[..., object]:
    """COMMIT of this one fails, as SQLite may."""
    real = Connection.commit

    def commit(self: Connection) -> object:
        if self.path == which.path:
            self._hooked = 0
            self.rollback()
            raise SqlError("it failed", statement="commit", code=1)
        return real(self)

    return commit


@pytest.mark.parametrize("k", range(3))
@pytest.mark.parametrize("born", [False, True])
@pytest.mark.parametrize("restarted", [False, True])
def test_when_one_commit_fails_those_before_are_taken_back(
    store: Store,
    three: list[Database],
    monkeypatch: pytest.MonkeyPatch,
    k: int,
    born: bool,
    restarted: bool,
) -> None:
    if born:
        put(three[2], "old")
    if restarted:
        store.tend(everything=True)
    write(three)

    with monkeypatch.context() as patch:
        patch.setattr(Connection, "commit", failing_commit(three[k]))
        with pytest.raises(SqlError, match="it failed"):
            store.commit_all(three)
    release(three)

    unchanged(store, three, born=born)


def test_without_room_in_the_journal_all_is_taken_back(
    store: Store, three: list[Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(three)
    with monkeypatch.context() as patch:
        no_room_to_queue(patch.setattr)
        with pytest.raises(StorageFull):
            store.commit_all(three)
    release(three)

    unchanged(store, three)


def test_a_full_catalogue_takes_all_back(
    store: Store, three: list[Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(three)
    with monkeypatch.context() as patch:
        patch.setattr(Connection, "commit", failing_commit(store.catalogue.database))
        with pytest.raises(SqlError):
            store.commit_all(three)
    release(three)

    assert not store.catalogue.database.in_step
    unchanged(store, three)


def test_what_cannot_be_taken_back_fails_the_host(
    store: Store, three: list[Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    store.sync()
    write(three)

    def refuse(*_: object) -> None:
        raise OSError("it cannot be cut")

    with monkeypatch.context() as patch:
        patch.setattr(Connection, "commit", failing_commit(three[2]))
        patch.setattr(FrameReader, "truncate_last", refuse)
        with pytest.raises(JournalFailed) as caught:
            store.commit_all(three)
    assert isinstance(caught.value.__cause__, OSError)
    release(three)

    with pytest.raises(JournalFailed):
        put(three[0], "later")
    with pytest.raises(JournalFailed):
        store.sync()
    store.close()
    again = Store.open(store.directory)
    assert values([again.root("K", "parent"), again.root("K", "parent").child("a")]) == ["old"] * 2
    again.close()


def test_a_commit_that_cannot_be_read_back_fails_the_host(
    store: Store, three: list[Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    store.sync()

    def refuse(*_: object) -> None:
        raise OSError("it cannot be read")

    with monkeypatch.context() as patch:
        patch.setattr(FrameReader, "read", refuse)
        with pytest.raises(JournalFailed):
            put(three[0], "lost")

    assert store.failed is not None
    with pytest.raises(JournalFailed):
        put(three[1], "later")
    store.close()
    again = Store.open(store.directory)
    assert read(again.root("K", "parent")) == "old"
    again.close()


def test_participants_are_not_checkpointed_meanwhile(store: Store, three: list[Database]) -> None:
    store.tend(everything=True)
    write(three)
    assert three[0].path is not None
    before = three[0].path.read_bytes()

    store.tend(everything=True)

    assert three[0].path.read_bytes() == before
    store.commit_all(three)
    release(three)


def test_participants_over_the_cap_of_connections_stay_open(
    tmp_path: Path, small_files: None
) -> None:
    store = Store.open(tmp_path / "capped", open_databases=2)
    found = [store.root("K", str(n)) for n in range(6)]
    write(found)
    outsider = store.root("K", "outsider")
    put(outsider, "in the middle")  # its own commit makes the catalogue look for room

    store.commit_all(found)
    release(found)

    store.sync()
    with crashed(store) as again:
        assert [read(again.root("K", str(n))) for n in range(6)] == ["new"] * 6
        assert read(again.root("K", "outsider")) == "in the middle"
    store.close()


def test_the_record_names_every_participant(store: Store, three: list[Database]) -> None:
    write(three)
    store.commit_all(three)
    release(three)
    store.sync()

    record = read_segments(store.disk, store.layout.journal)[-1].records[-1]

    assert {entry.uid for entry in record.entries()} == {0, *(one.uid for one in three)}
