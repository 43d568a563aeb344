"""Timers in a database, and what the catalogue knows of them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from shutil import ignore_patterns

import pytest

from storage import Store
from storage.clone import clone
from storage.database import Database
from storage.restore import Restore
from storage.schedule import Entry


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store.open(tmp_path / "state")
    yield store
    store.close()


def entry(due: int | None, name: str | None = None) -> Entry:
    return Entry(0, name, due, due or 0, "run", b"", None, None, 0, None)


def catalogued(store: Store) -> list[tuple[int, str]]:
    return [
        (due, store.catalogue.row(uid).name) for due, uid in store.catalogue.next_due((0, 0), 100)
    ]


def add(database: Database, due: int | None, name: str | None = None) -> int:
    number = database.schedule.add(entry(due, name))
    database.commit()
    return number


def test_the_catalogue_hears_of_an_earlier_timer_in_the_same_record(store: Store) -> None:
    one = store.root("K", "one")
    add(one, 50)
    before = store.committed
    add(one, 70)
    assert catalogued(store) == [(50, "one")]
    add(one, 20)
    assert catalogued(store) == [(20, "one")]
    assert store.committed == before + 2


def test_a_crash_keeps_a_timer_and_the_catalogues_word_of_it_or_neither(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "state")
    one = store.root("K", "one")
    for due in (50, 20):
        add(one, due)
        if due == 50:
            store.sync()
        shutil.copytree(store.directory, tmp_path / str(due), ignore=ignore_patterns("*-wal"))
    store.close()
    for due in (50, 20):
        again = Store.open(tmp_path / str(due))
        found = again.root("K", "one").schedule.first()
        assert found is not None
        assert catalogued(again) == [(found.due, "one")]
        again.close()


def test_the_catalogue_is_never_later_than_the_first_timer(store: Store) -> None:
    told: list[int | None] = []
    store.on_due = lambda database: told.append(database.next_due)
    one = store.root("K", "one")
    first = add(one, 50)
    add(one, 80)
    one.schedule.remove(first)
    one.commit()
    assert told == [50, 50, 80]
    assert catalogued(store) == [(50, "one")]  # whoever looks at 50 puts it right


def test_a_step_that_is_undone_takes_its_timers_along(store: Store) -> None:
    told: list[int | None] = []
    store.on_due = lambda database: told.append(database.next_due)
    one = store.root("K", "one")
    one.kv["n"] = 1
    one.commit()
    one.schedule.add(entry(10))
    one.rollback()
    one.kv["n"] = 2
    one.commit()
    one.begin_savepoint()
    one.schedule.add(entry(10))
    one.rollback_savepoint()
    one.commit()
    assert one.schedule.pending() == []
    assert told == []
    assert catalogued(store) == []


def test_a_timer_takes_the_place_of_the_one_of_its_name(store: Store) -> None:
    one = store.root("K", "one")
    first = add(one, 50, "tick")
    second = add(one, 60, "tick")
    add(one, 70)
    assert [found.id for found in one.schedule.pending()] == [second, second + 1]
    assert first < second
    assert one.schedule.remove("tick")
    assert not one.schedule.remove("tick")
    assert one.schedule.count() == 1


def test_an_id_is_never_used_twice(store: Store) -> None:
    one = store.root("K", "one")
    first = add(one, 50)
    one.schedule.remove(first)
    assert add(one, 60) > first


def test_reading_where_nothing_was_written_makes_no_database(store: Store) -> None:
    one = store.root("K", "one")
    assert one.schedule.pending() == one.schedule.dead() == []
    assert one.schedule.first() is None
    assert not one.schedule.remove("x")
    assert not one.has_file


def test_a_delete_takes_the_timers_of_all_below(store: Store) -> None:
    one = store.root("K", "one")
    add(one, 50)
    add(one.child("below"), 40)
    one.delete()
    assert catalogued(store) == []


def test_a_clone_has_the_timers_and_the_catalogue_knows(store: Store) -> None:
    one, two = store.root("K", "one"), store.root("K", "two")
    add(one, 50)
    add(one.child("below"), 40)
    told: dict[int, int | None] = {}
    store.on_graft = told.update
    job = clone(store, one, two)
    job.work()
    job.finish()
    assert sorted(catalogued(store)) == [(40, "below"), (40, "below"), (50, "one"), (50, "two")]
    two.look()
    two.child("below").look()
    assert told == {two.uid: 50, two.child("below").uid: 40}
    assert [found.due for found in two.schedule.pending()] == [50]


def test_a_restore_brings_back_the_timers_of_then(store: Store) -> None:
    one = store.root("K", "one")
    add(one, 50)
    then = store.bookmark()
    one.schedule.remove(1)
    add(one, 90)
    job = Restore(store, one, then)
    job.work()
    job.finish()
    assert catalogued(store) == [(50, "one")]
    assert [found.due for found in one.schedule.pending()] == [50]


def test_several_databases_that_commit_as_one_are_all_known(store: Store) -> None:
    one, two = store.root("K", "one"), store.root("K", "two")
    for database in (one, two):
        database.defer()
    one.schedule.add(entry(30))
    one.commit()
    one.schedule.add(entry(20))
    one.rollback()
    two.schedule.add(entry(40))
    two.commit()
    assert catalogued(store) == []
    store.commit_all([one, two])
    for database in (one, two):
        database.undefer()
    assert catalogued(store) == [(30, "one"), (40, "two")]


def test_the_count_is_right_whatever_was_done_and_undone(store: Store) -> None:
    one = store.root("K", "one")
    schedule = one.schedule

    def check(expected: int) -> None:
        assert schedule.count() == expected == len(schedule.pending())

    check(0)
    numbers = [schedule.add(entry(n, f"n{n}")) for n in range(5)]
    check(5)
    one.commit()
    schedule.remove("n0")
    schedule.add(entry(9, "n1"))
    check(4)
    one.rollback()
    check(5)
    first = schedule.find(numbers[0])
    assert first is not None
    assert schedule.done(first)
    assert not schedule.done(first)
    schedule.put(entry(None)._replace(id=numbers[1]))
    check(3)
    schedule.remove(numbers[1])
    check(3)
    one.commit()
    one.begin_savepoint()
    schedule.remove(numbers[2])
    check(2)
    one.rollback_savepoint()
    check(3)
    schedule.trim(0)
    check(3)
