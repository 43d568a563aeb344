"""Moves of a subtree: one record, made or not made wherever the process ends."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from storage import Store
from storage.doctor import examine
from storage.errors import BelowItself, MovedMeanwhile, NameTaken, NoState, StorageError
from storage.history import Archive
from storage.move import move
from storage.objects import open_store
from storage.restore import Restore
from tests.storage.kit import crashed, put, read
from tests.storage.past_model import FAR, Past, Place

MOVES: dict[str, tuple[Place, Place]] = {
    "a facet gets another name": (("a", "x"), ("a", "z")),
    "a facet gets another parent": (("a", "x"), ("a", "y", "z")),
    "a facet gets another tree": (("a", "x"), ("b", "z")),
    "a facet gets a parent without state": (("a", "x"), ("c", "y", "z")),
    "a facet becomes a root": (("a", "x"), ("z",)),
    "a root becomes a facet": (("a",), ("b", "z")),
    "a root gets another name": (("a",), ("z",)),
}


@pytest.fixture(autouse=True)
def _small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.segment.STEP", 64 << 10)
    monkeypatch.setattr("storage.journal.STEP", 64 << 10)


@pytest.fixture
def past(memory: Path) -> Iterator[Past]:
    past = Past(memory / "state")
    yield past
    past.check_past()
    past.close()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store.open(tmp_path / "state")
    yield store
    store.close()


@pytest.mark.parametrize("places", MOVES.values(), ids=MOVES)
def test_a_move_is_made_or_not_made_wherever_the_process_ends(
    past: Past, places: tuple[Place, Place]
) -> None:
    """Killed at each change of the disk that it, its sync and a checkpoint make; there and back."""
    for place in (("a",), ("a", "x"), ("a", "x", "p"), ("a", "y"), ("b",)):
        past.put(place, 3000)
    past.mark()
    past.sync()
    done: list[int] = []

    def act() -> None:
        here, there = places if places[0] in past.state else reversed(places)
        past.move(here, there)
        past.sync()
        past.tend()
        past.settle()
        done.append(death)

    for death in range(60):
        past.crash(death, act)
        if death % 8 == 0:
            past.mark()
    assert 60 > 60 - len(done) > 3, "every change was cut, and some moves went through"


def test_a_move_that_is_not_durable_never_was(store: Store) -> None:
    root = store.root("K", "a")
    put(root.child("x"), 1)
    store.sync()
    move(store, root.child("x"), None, "K", "z")

    with crashed(store) as again:
        assert again.names("K") == ["a"]
        assert read(again.root("K", "a").child("x")) == 1


def test_uids_and_files_stay_and_one_row_changes(store: Store) -> None:
    root = store.root("K", "a")
    put(root.child("x"), 1)
    for n in range(20):
        put(root.child("x").child(str(n)), n)
    x = root.child("x")
    before = {row.uid: row for row in store.catalogue.subtree(x.take_uid())}
    files = sorted(store.layout.databases.rglob("*.db"))

    move(store, x, store.root("K", "b"), "", "y")

    after = {row.uid: row for row in store.catalogue.subtree(x.take_uid())}
    changed = [uid for uid, row in after.items() if before[uid] != row]
    assert changed == [x.uid]
    assert sorted(store.layout.databases.rglob("*.db")) == files
    assert store.root("K", "b").child("y") is x


def test_what_is_refused_changes_nothing(store: Store) -> None:
    root = store.root("K", "a")
    put(root.child("x"), 1)
    put(root.child("y"), 2)
    at = store.committed

    with pytest.raises(NameTaken):
        move(store, root.child("x"), root, "", "y")
    with pytest.raises(BelowItself):
        move(store, root.child("x"), root.child("x").child("deep"), "", "y")
    with pytest.raises(NoState):
        move(store, root.child("nobody"), root, "", "z")
    root.child("x").kv["x"] = 3
    with pytest.raises(StorageError, match="step"):
        move(store, root.child("x"), root, "", "z")
    root.child("x").rollback()

    assert store.committed == at
    assert root.children() == ["x", "y"]


def test_a_restore_under_way_does_not_follow_its_target(store: Store) -> None:
    root = store.root("K", "a")
    put(root.child("x"), 1)
    mark = store.bookmark()
    put(root.child("x"), 2)
    job = Restore(store, root.child("x"), mark)
    job.work()
    moving = root.child("x")
    move(store, moving, root, "", "z")

    with pytest.raises(MovedMeanwhile):
        job.finish()

    assert read(root.child("z")) == 2


def test_the_history_of_a_deleted_tree_stays_while_a_part_of_it_lives(store: Store) -> None:
    root = store.root("K", "a")
    put(root.child("x"), 1)
    home = root.take_uid()
    move(store, root.child("x"), None, "K", "z")
    free = store.root("K", "z")

    root.delete()
    store.sync()
    assert home in histories(store)
    free.delete()
    store.sync()

    assert home not in histories(store)


def test_a_history_that_led_to_another_takes_it_along(store: Store) -> None:
    one, two = store.root("K", "a"), store.root("K", "b")
    put(one.child("x"), 1)
    put(two, 2)
    home = one.take_uid()
    move(store, one.child("x"), two, "", "x")
    one.delete()
    store.sync()
    assert home in histories(store)

    two.delete()
    store.sync()

    assert histories(store) == set()


def test_a_doctor_finds_nothing_odd_in_histories_that_moved(store: Store) -> None:
    one, two = store.root("K", "a"), store.root("K", "b")
    put(one.child("x"), 1)
    put(one.child("y"), 1)
    put(two, 2)
    move(store, one.child("x"), two, "", "x")
    move(store, one.child("y"), None, "K", "y")
    one.delete()
    store.close()

    assert examine(store.directory).findings == ()


def test_a_move_reaches_the_replica(tmp_path: Path) -> None:
    replica = open_store(f"file://{tmp_path}/replica")
    store = Store.open(tmp_path / "state", replica=replica)
    put(store.root("K", "a").child("x").child("deep"), 1)
    move(store, store.root("K", "a").child("x"), None, "K", "z")
    store.close()

    again = Store.open(tmp_path / "other", replica=replica)
    try:
        assert again.names("K") == ["a", "z"]
        assert read(again.root("K", "z").child("deep")) == 1
        (row,) = again.catalogue.roots("K", "a")
        assert again.root("K", "z").tree == row.uid
    finally:
        again.close()


def histories(store: Store) -> set[int]:
    archive: Archive = store.chronicler.archive
    return set(archive.trees())


def test_a_history_that_another_tree_leads_to_stays(past: Past) -> None:
    past.put(("a", "x"), 10)
    past.put(("b",), 10)
    past.move(("a", "x"), ("b", "x"))
    past.mark()
    past.move(("b", "x"), ("a", "z"))
    past.delete(("a",))
    past.sync()
    past.crash(FAR, lambda: None)
    past.start_restore(("b",), 0)
    past.finish(0)

    assert ("b", "x") in past.state


def test_places_taken_and_left_in_turn(past: Past) -> None:
    past.put(("a", "x"), 10)
    past.put(("a", "y", "p"), 10)
    past.mark()
    past.move(("a", "x"), ("a", "t"))
    past.move(("a", "y"), ("a", "x"))
    past.move(("a", "t"), ("a", "y"))
    past.mark()
    past.check()
    past.crash(FAR, lambda: None)
    past.sync()


def test_what_moved_is_copied_where_it_is(past: Past) -> None:
    past.put(("a", "x"), 10)
    past.start_clone(("a", "x"), ("b",))
    past.move(("a", "x"), ("c",))
    past.finish(0)
    past.check()


def test_nobody_takes_the_place_of_a_target_that_moved(past: Past) -> None:
    past.put(("a", "x"), 10)
    past.put(("b",), 10)
    past.start_clone(("b",), ("a", "x"))
    past.move(("a", "x"), ("c",))
    past.finish(0)
    past.check()
    assert ("a", "x") not in past.state


def test_a_place_that_was_taken_meanwhile_is_not_overwritten(past: Past) -> None:
    past.put(("a", "x"), 10)
    past.put(("b",), 10)
    past.start_clone(("b",), ("a", "y"))
    past.move(("a", "x"), ("a", "y"))
    past.finish(0)
    past.check()
    assert past.state[("a", "y")].rows == (1,)


def test_no_row_is_left_of_a_move_that_the_journal_refused(store: Store) -> None:
    root = store.root("K", "a")
    put(root.child("x"), 1)

    def refuse(*_: Any, **__: Any) -> int:
        raise OSError(28, "no room")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store._journal, "append", refuse)
        with pytest.raises(StorageError):
            move(store, root.child("x"), store.root("K", "new"), "", "y")

    assert store.names("K") == ["a"]
    assert not store.catalogue.homes
    move(store, root.child("x"), store.root("K", "new"), "", "y")
    assert read(store.root("K", "new").child("y")) == 1


def test_a_place_that_another_one_took_is_not_looked_up_again(past: Past) -> None:
    past.put(("b",), 10)
    past.mark()
    past.start_clone(("b",), ("a",))
    past.move(("b",), ("a",))
    past.finish(0)
    past.put(("a",), 9000)
    past.mark()


def test_a_round_under_way_tells_nothing_before_the_move(past: Past) -> None:
    past.put(("a", "x"), 10)
    past.mark()
    past.tend()
    past.move(("a", "x"), ("a", "y"))
    past.put(("a", "y"), 10)
    past.mark()
    past.run(1)  # what was begun before the move ends behind it
    past.sync()
    past.settle()
    past.crash(FAR, lambda: None)
