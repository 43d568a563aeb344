"""Going back: a subtree as it was at a bookmark."""

from __future__ import annotations

import resource
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from storage import Store
from storage.clone import PastClone, clone
from storage.compact import Compaction
from storage.database import Database
from storage.errors import BookmarkAhead, BookmarkGone, NoState
from storage.history import Bookmark
from storage.limits import HistoryLimits, JournalLimits
from storage.move import move
from storage.past import bookmark_at
from storage.restore import Restore

SMALL = JournalLimits(segment=64 << 10, size=256 << 10)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store.open(tmp_path / "state", journal=SMALL)
    yield store
    store.close()


def crashed(store: Store) -> Store:
    """The state as a kill at this moment leaves it, opened again."""
    image = store.directory.with_name("crashed")
    shutil.rmtree(image, ignore_errors=True)
    shutil.copytree(store.directory, image)
    return Store.open(image, journal=SMALL)


def put(database: Database, value: Any) -> Bookmark:
    database.kv["x"] = value
    database.sql("create table if not exists t(a, b)")
    database.sql("insert into t values (?, zeroblob(3000))", str(value))
    database.commit()
    return database._store.bookmark()


def read(database: Database) -> Any:
    found = database.kv.get("x")
    rows = [row[0] for row in database.sql("select a from t")] if found is not None else []
    database.rollback()
    return found, rows


def restore(store: Store, database: Database, bookmark: Bookmark) -> Bookmark:
    job = Restore(store, database, bookmark)
    try:
        job.work()
    except BaseException:
        job.cancel()
        raise
    return job.finish()[1]


@pytest.fixture
def few_files() -> Iterator[None]:
    """Room for 60 more open files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len([*Path("/proc/self/fd").iterdir()]) + 60, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_tree_is_deleted_restored_and_cloned_with_few_files_open_at_a_time(
    tmp_path: Path, few_files: None
) -> None:
    store = Store.open(tmp_path / "state", open_databases=8)
    root = store.root("K", "a")
    put(root, "root")
    for n in range(100):
        put(root.child("x").child(str(n)), n)
    mark = store.bookmark()
    root.child("x").delete()
    store.sync()
    assert not store.chronicler.endings.refused

    job = PastClone(store, root, store.root("K", "b"), mark)
    job.work()
    job.finish()
    restore(store, root, mark)

    for name in ("a", "b"):
        assert read(store.root("K", name).child("x").child("99")) == (99, ["99"])
    store.close()


def test_every_bookmark_leads_back(store: Store) -> None:
    root = store.root("K", "a")
    marks = [put(root, n) for n in range(12)]

    for n in (7, 3, 11, 0):
        restore(store, root, marks[n])
        assert read(root) == (n, [str(i) for i in range(n + 1)])


def test_undo_leads_to_the_state_before_the_restore(store: Store) -> None:
    root = store.root("K", "a")
    first = put(root, 1)
    put(root, 2)

    undo = restore(store, root, first)
    put(root, 3)
    restore(store, root, undo)

    assert read(root) == (2, ["1", "2"])


def test_it_works_over_checkpoints(store: Store) -> None:
    root = store.root("K", "a")
    marks = []
    for n in range(30):
        marks.append(put(root, n))
        if n % 4 == 0:
            store.sync()
            store.tend(everything=True)

    restore(store, root, marks[5])
    assert read(root) == (5, [str(i) for i in range(6)])
    restore(store, root, marks[29])
    assert read(root)[0] == 29


def test_the_subtree_comes_back_with_what_was_deleted_from_it(store: Store) -> None:
    root = store.root("K", "a")
    put(root, "root")
    put(root.child("one"), "child")
    put(root.child("one").child("deep"), "deep")
    mark = put(root.child("two"), "two")
    root.child("one").delete()
    put(root.child("three"), "later")
    put(root.child("one"), "another")

    restore(store, root, mark)

    assert root.children() == ["one", "two"]
    assert read(root.child("one"))[0] == "child"
    assert read(root.child("one").child("deep"))[0] == "deep"
    assert read(root.child("three"))[0] is None


def test_one_facet_can_go_back_alone(store: Store) -> None:
    root = store.root("K", "a")
    put(root, 1)
    mark = put(root.child("one"), 1)
    put(root, 2)
    put(root.child("one"), 2)

    restore(store, root.child("one"), mark)

    assert read(root)[0] == 2
    assert read(root.child("one"))[0] == 1


def test_a_restore_survives_a_crash_and_can_be_undone_after_it(store: Store) -> None:
    root = store.root("K", "a")
    first = put(root, 1)
    put(root, 2)
    undo = restore(store, root, first)
    put(root, 3)
    store.sync()

    again = crashed(store)
    root = again.root("K", "a")

    assert read(root) == (3, ["1", "3"])
    restore(again, root, undo)
    assert read(root) == (2, ["1", "2"])
    again.close()


def test_what_was_never_checkpointed_is_told_by_recovery(store: Store) -> None:
    root = store.root("K", "a")
    marks = [put(root, n) for n in range(5)]
    put(root.child("one"), "child")
    there = put(root.child("one"), "child 2")
    root.child("one").delete()
    store.sync()

    again = crashed(store)
    root = again.root("K", "a")
    restore(again, root, there)
    assert read(root.child("one"))[0] == "child 2"
    restore(again, root, marks[2])
    assert read(root) == (2, ["0", "1", "2"])
    assert root.children() == []
    again.close()


def test_a_clone_has_a_history_of_its_own(store: Store) -> None:
    root, copy = store.root("K", "a"), store.root("K", "b")
    put(root, 1)
    graft = clone(store, root, copy)
    graft.work()
    graft.finish()
    mark = store.bookmark()
    put(copy, 2)
    put(copy, 3)

    restore(store, copy, mark)

    assert read(copy) == (1, ["1"])
    assert read(root) == (1, ["1"])


def test_a_time_leads_to_a_bookmark(store: Store) -> None:
    root = store.root("K", "a")
    put(root, 1)
    at = time.time()
    while time.time() <= at:
        pass
    put(root, 2)

    restore(store, root, bookmark_at(store, root, at)())

    assert read(root)[0] == 1


def test_a_time_before_the_actor_is_gone(store: Store) -> None:
    root = store.root("K", "a")
    put(root, 1)

    with pytest.raises(NoState):
        restore(store, root, Bookmark(0, 0))
    assert read(root)[0] == 1


def test_what_is_older_than_the_limits_is_gone(tmp_path: Path) -> None:
    limits = HistoryLimits(size=40_000)
    store = Store.open(tmp_path / "state", journal=SMALL, history=limits)
    root = store.root("K", "a")
    first = put(root, 0)
    for n in range(200):
        root.sql("update t set a = ?, b = randomblob(3000)", str(n))
        root.commit()
        store.sync()
        store.tend(everything=True)

    with pytest.raises(BookmarkGone):
        restore(store, root, first)
    store.close()


def test_files_go_back_too(store: Store) -> None:
    root = store.root("K", "a")
    root.fs.write_text("/a.txt", "one")
    root.commit()
    mark = store.bookmark()
    root.fs.write_text("/a.txt", "two")
    root.commit()

    restore(store, root, mark)

    assert root.fs.read_text("/a.txt") == "one"
    root.rollback()


def test_a_deleted_root_takes_its_history_along(store: Store) -> None:
    root = store.root("K", "a")
    put(root, 1)
    store.sync()
    store.tend(everything=True)
    assert list(store.chronicler.archive.trees())

    root.delete()
    store.sync()

    assert not list(store.chronicler.archive.trees())


def test_a_bookmark_newer_than_now_is_refused_with_the_newest(store: Store) -> None:
    root = store.root("K", "a")
    mark = put(root, 1)

    with pytest.raises(BookmarkAhead) as caught:
        restore(store, root, Bookmark(mark.epoch, mark.sequence + 1))
    assert caught.value.newest == str(mark)
    restore(store, root, Bookmark.parse(caught.value.newest))
    assert read(root)[0] == 1


@pytest.fixture
def small_history(monkeypatch: pytest.MonkeyPatch) -> None:
    """Databases of 12 pages and more have no history, as those of 64 GiB."""
    for module in ("chronicler", "history.encode", "history.story", "history.lost"):
        monkeypatch.setattr(f"storage.{module}.MAX_PAGES", 12)


def grown(database: Database) -> Bookmark:
    """Too large for a history."""
    for n in range(20):
        put(database, n)
    return database._store.bookmark()


@pytest.mark.usefixtures("small_history")
def test_the_end_of_a_database_too_large_for_a_history_pins_nothing(store: Store) -> None:
    root, leaf = store.root("K", "a"), store.root("K", "a").child("leaf")
    put(root, 1)
    before = grown(leaf)
    leaf.delete()
    gone = put(root, 2)
    put(root, 3)
    store.sync()
    store.tend(everything=True)

    assert store.chronicler.endings.needed is None
    restore(store, root, gone)
    assert read(root)[0] == 2
    with pytest.raises(BookmarkGone):
        restore(store, root, before)


@pytest.mark.usefixtures("small_history")
@pytest.mark.parametrize("end", ["delete", "replace"])
def test_a_crash_after_the_end_of_such_a_database_is_recovered_from(store: Store, end: str) -> None:
    root, leaf = store.root("K", "a"), store.root("K", "a").child("leaf")
    put(root, 1)
    grown(leaf)
    if end == "delete":
        leaf.delete()
    else:
        copy = root.child("copy")
        put(copy, "small")
        graft = clone(store, copy, leaf)
        graft.work()
        graft.finish()
    store._journal.sync()  # and nothing is told

    again = crashed(store)
    root = again.root("K", "a")
    mark = put(root, 2)
    put(root, 3)
    restore(again, root, mark)
    assert read(root)[0] == 2
    again.close()


def test_actors_to_which_nothing_happened_keep_their_files(store: Store) -> None:
    root = store.root("K", "a")
    quiet, busy = root.child("quiet"), root.child("busy")
    for one in (root, quiet, busy):
        put(one, 1)
    mark = store.bookmark()
    put(busy, 2)
    paths = quiet.path, busy.path

    restore(store, root, mark)

    quiet, busy = root.child("quiet"), root.child("busy")
    assert [read(one) for one in (quiet, busy)] == [(1, ["1"]), (1, ["1"])]
    assert quiet.path == paths[0]
    assert busy.path != paths[1]
    again = crashed(store)
    assert read(again.root("K", "a").child("quiet")) == (1, ["1"])
    again.close()


def test_what_happens_while_files_are_made_is_gone_afterwards(store: Store) -> None:
    root = store.root("K", "a")
    names = ("written", "deleted", "moved", "compacted", "left")
    for one in (root, *(root.child(name) for name in names)):
        put(one, 1)
    below = root.child("moved").child("below")
    put(below, 1)
    mark = store.bookmark()
    job = Restore(store, root, mark)
    job.work()
    put(root.child("written"), 2)
    root.child("deleted").delete()
    compact(store, root.child("compacted"))
    put(root.child("compacted"), 2)
    move(store, root.child("moved"), root, "", "elsewhere")

    undo = job.finish()[1]

    assert sorted(root.children()) == sorted(names)
    assert [read(root.child(name)) for name in names] == [(1, ["1"])] * len(names)
    assert read(root.child("moved").child("below")) == (1, ["1"])
    restore(store, root, undo)
    assert read(root.child("elsewhere").child("below")) == (1, ["1"])
    assert sorted(root.children()) == ["compacted", "elsewhere", "left", "written"]
    assert read(root.child("written")) == (2, ["1", "2"])
    assert read(root.child("compacted")) == (2, ["1", "2"])


def compact(store: Store, database: Database) -> None:
    job = Compaction(store, database)
    job.work()
    assert job.finish() is not None
