"""Checkpoints: pages reach the files after the journal has them, and segments go after that."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from storage import Store
from storage.clone import clone
from storage.database import Database
from storage.disk import Buffer, Disk
from storage.errors import JournalFailed, StorageFull
from storage.frames import FRAME
from storage.layout import Layout
from storage.limits import MAX_FRAMES, JournalLimits
from storage.segment import START

from .kit import SMALL, BadDisk, crashed, image, put, read, segments, whole
from .kit import small_files as small_files


@pytest.fixture
def store(tmp_path: Path, small_files: None) -> Iterator[Store]:
    store = Store.open(tmp_path / "state", journal=SMALL)
    store._checkpointer._keeper = None  # history has tests of its own
    yield store
    store.close()


class Later:
    """A background that works when it is told to."""

    def __init__(self) -> None:
        self.jobs: list[tuple[Callable[[], Any], Callable[[Any, Exception | None], None]]] = []

    def __call__(
        self, work: Callable[[], Any], done: Callable[[Any, Exception | None], None]
    ) -> None:
        self.jobs.append((work, done))

    def run(self, error: Exception | None = None) -> None:
        work, done = self.jobs.pop(0)
        if error is None:
            done(work(), None)
        else:
            done(None, error)


def wal(database: Database) -> int:
    assert database.path is not None
    path = database.path.with_name(database.path.name + "-wal")
    return path.stat().st_size if path.exists() else 0


def journal_files(store: Store) -> int:
    return sum(one.stat().st_size for one in segments(store.directory))


BIG = "x" * 20_000


# -- bounds -----------------------------------------------------------------------------------


def test_neither_wal_nor_journal_grow_with_a_long_writer(store: Store) -> None:
    a = store.root("K", "a")
    for n in range(400):
        put(a, [n, BIG])

    assert wal(a) < 2 * MAX_FRAMES * FRAME
    assert journal_files(store) < 4 * SMALL.size
    assert not store.congested
    assert whole(a)


def test_writers_that_take_turns_with_one_connection_stay_bounded(
    tmp_path: Path, small_files: None
) -> None:
    store = Store.open(tmp_path / "capped", journal=SMALL, open_databases=1)
    a, b = store.root("K", "a"), store.root("K", "b")
    for n in range(250):
        put(a, [n, BIG])
        put(b, [n, BIG])

    assert max(wal(a), wal(b)) < 2 * MAX_FRAMES * FRAME
    assert journal_files(store) < 4 * SMALL.size
    assert (read(a), read(b)) == ([249, BIG], [249, BIG])
    store.close()


def test_a_commit_larger_than_the_journal_does_not_block_it(store: Store) -> None:
    a = store.root("K", "a")
    store.run_in(later := Later())
    put(a, "x" * (2 * SMALL.size))
    store.sync()
    assert store.congested

    store.tend()
    later.run()

    assert not store.congested
    put(a, "small")
    store.sync()
    with crashed(store) as again:
        assert read(again.root("K", "a")) == "small"


def test_a_segment_longer_than_the_journal_does_not_block_it(
    tmp_path: Path, small_files: None
) -> None:
    limits = JournalLimits(segment=1 << 20, size=128 << 10)
    store = Store.open(tmp_path / "odd", journal=limits)
    for n in range(60):
        put(store.root("K", "a"), [n, BIG])
        store.sync()
        assert not store.congested
    store.close()


def test_when_everything_is_moved_the_files_hold_it(store: Store) -> None:
    for n in range(20):
        put(store.root("K", str(n)), BIG)

    store.tend(everything=True)

    assert store.stats()["journal"] < SMALL.segment  # that of the segment in use
    copy = image(store.directory)
    for one in [*copy.rglob("*-wal"), *segments(copy)]:
        one.unlink()
    with sqlite3.connect(copy / "catalogue.db") as db:
        rows = list(db.execute("select uid, name from actors"))
    db.close()
    assert len(rows) == 20
    for uid, _ in rows:
        with sqlite3.connect(Layout(copy).path(uid)) as db:
            ((value,),) = db.execute("select value from _facets_kv")
        db.close()
        assert msgspec.msgpack.decode(value) == BIG


# -- order ------------------------------------------------------------------------------------


def test_pages_are_moved_only_when_the_journal_has_them(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = []
    real = Database.backfill

    def backfill(self: Database) -> None:
        moved.append(self.sequence)
        assert self.sequence <= store.durable
        real(self)

    monkeypatch.setattr(Database, "backfill", backfill)
    for n in range(100):
        put(store.root("K", "a"), [n, BIG])
    store.tend(everything=True)

    assert len(moved) > 3


class Diary(Disk):
    """Notes which database files are synced, and when a segment ends its life."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self._paths: dict[int, Path] = {}

    def open(self, path: Path, flags: int, mode: int = 0o600) -> int:
        fd = super().open(path, flags, mode)
        self._paths[fd] = path
        return fd

    def sync(self, fd: int) -> None:
        super().sync(fd)
        self.events.append(f"sync {self._paths[fd].name}")

    def sync_directory(self, path: Path) -> None:
        super().sync_directory(path)
        self.events.append(f"names {path.name}")

    def write(self, fd: int, data: Buffer, at: int) -> None:
        super().write(fd, data, at)
        zeros = len(data) == START and not any(memoryview(data))
        if self._paths[fd].suffix == ".seg" and zeros:
            self.events.append("void")


def test_files_and_their_names_are_synced_before_a_segment_goes(
    tmp_path: Path, small_files: None
) -> None:
    disk = Diary()
    store = Store.open(tmp_path / "state", journal=SMALL, disk=disk)
    a = store.root("K", "a")
    while "void" not in disk.events:
        put(a, BIG)

    before = disk.events[: disk.events.index("void")]
    assert a.path is not None
    assert {f"sync {a.path.name}", "sync catalogue.db", "names db"} <= set(before)
    assert f"names {a.path.parent.name}" in before
    store.close()


def test_a_database_in_a_step_or_held_comes_later(store: Store) -> None:
    a, b, c = (store.root("K", name) for name in "abc")
    for one in (a, b, c):
        put(one, BIG)
    a.kv["y"] = 1
    b.held += 1

    store.tend(everything=True)

    assert [bool(one.marks) for one in (a, b, c)] == [True, True, False]
    a.rollback()
    b.held -= 1
    store.tend(everything=True)
    assert not a.marks
    assert not b.marks


def test_the_oldest_are_kept_in_the_journal_while_they_are_held(store: Store) -> None:
    a = store.root("K", "a")
    put(a, "held")
    a.held += 1
    for n in range(100):
        put(store.root("K", "b"), [n, BIG])
    store.sync()

    with crashed(store) as again:
        assert read(again.root("K", "a")) == "held"
    a.held -= 1


# -- rounds in the background -----------------------------------------------------------------


def test_what_is_committed_while_files_are_synced_stays_in_the_journal(store: Store) -> None:
    store.run_in(later := Later())
    a = store.root("K", "a")
    put(a, "old")
    store.tend(everything=True)
    put(a, "new")
    store.sync()

    later.run()

    assert a.marks
    with crashed(store) as again:
        assert read(again.root("K", "a")) == "new"


def test_a_database_that_is_used_again_while_files_are_synced_begins_with_an_empty_wal(
    store: Store,
) -> None:
    a = store.root("K", "a")
    put(a, BIG)
    a.close()
    store.run_in(later := Later())
    store.tend(everything=True)
    assert wal(a) > 0  # to be emptied when the files are synced
    put(a, "again")
    used = wal(a)
    later.run()
    assert wal(a) == used < 2 * FRAME * 3
    assert read(a) == "again"
    store.sync()
    with crashed(store) as again:
        assert read(again.root("K", "a")) == "again"


def test_what_was_moved_leaves_no_wal_behind(store: Store) -> None:
    databases = [store.root("K", f"a{n}") for n in range(6)]
    for one in databases:
        put(one, BIG)
        one.close()
    store.tend(everything=True)
    assert [wal(one) for one in databases] == [0] * 6


def test_one_round_at_a_time(store: Store) -> None:
    store.run_in(later := Later())
    put(store.root("K", "a"), 1)
    store.tend(everything=True)
    put(store.root("K", "b"), 1)
    store.tend(everything=True)

    assert len(later.jobs) == 1
    assert not store.due
    later.run()


def test_a_database_may_be_deleted_during_a_round(store: Store) -> None:
    store.run_in(later := Later())
    a = store.root("K", "a")
    put(a, 1)
    put(store.root("K", "b"), 2)
    store.tend(everything=True)
    path = a.path
    assert path is not None

    a.delete()
    store.sync()
    assert path.exists()  # the round needs it
    put(a, "again")
    while later.jobs:
        later.run()
    store.sync()
    while later.jobs:  # what nobody needs is removed in the background
        later.run()

    assert not path.exists()
    with crashed(store) as again:
        assert (read(again.root("K", "a")), read(again.root("K", "b"))) == ("again", 2)


def test_a_database_may_be_replaced_during_a_round(store: Store) -> None:
    store.run_in(later := Later())
    a, b = store.root("K", "a"), store.root("K", "b")
    put(a, "a")
    put(b, "b")
    store.tend(everything=True)
    graft = clone(store, a, b)
    graft.work()
    graft.finish()
    store.sync()

    later.run()
    store.tend(everything=True)
    while later.jobs:
        later.run()

    assert read(b) == "a"
    with crashed(store) as again:
        assert (read(again.root("K", "a")), read(again.root("K", "b"))) == ("a", "a")


class Keeper:
    """Notes what it is asked to keep; the work is done in the background."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def keep(
        self, databases: Iterable[Database], *, joined: bool = False
    ) -> Callable[[], dict[int, Exception]] | None:
        marked = [f"{one.name} {len(one.marks)}" for one in databases if one.marks]
        self.events += [f"asked {one}" for one in marked]

        def keeping() -> dict[int, Exception]:
            self.events += [f"kept {one}" for one in marked]
            return {}

        return keeping if marked else None


def test_older_states_are_kept_before_pages_are_moved(store: Store) -> None:
    store.run_in(later := Later())
    keeper = store._checkpointer._keeper = Keeper()
    a = store.root("K", "a")
    put(a, 1)
    store.tend(everything=True)
    assert a.marks
    put(a, 2)  # behind the first stage

    later.run()

    assert not a.marks
    events = [one for one in keeper.events if " a " in one]
    assert events == ["asked a 1", "kept a 1", "asked a 2", "kept a 2"]
    later.run()
    store._checkpointer._keeper = None


def test_a_database_deleted_while_it_is_kept_is_not_moved(store: Store) -> None:
    store.run_in(later := Later())
    store._checkpointer._keeper = Keeper()
    a = store.root("K", "a")
    put(a, 1)
    store.tend(everything=True)
    a.delete()
    put(a, "again")

    later.run()

    assert a.marks
    later.run()
    store._checkpointer._keeper = None
    store.sync()
    with crashed(store) as again:
        assert read(again.root("K", "a")) == "again"


def test_a_kill_at_any_point_of_a_round_loses_nothing(store: Store) -> None:
    store.run_in(later := Later())
    store._checkpointer._keeper = Keeper()
    for n in range(3):
        put(store.root("K", str(n)), [n, BIG])
    store.sync()

    def check() -> None:
        with crashed(store) as again:
            assert all(read(again.root("K", str(n))) == [n, BIG] for n in range(3))

    store.tend(everything=True)
    check()
    while later.jobs:
        later.run()
        check()
    store._checkpointer._keeper = None


# -- failures ---------------------------------------------------------------------------------


@pytest.mark.parametrize("step", ["open", "sync"])
def test_a_file_that_cannot_be_synced_fails_the_host_and_releases_nothing(
    tmp_path: Path, small_files: None, step: str
) -> None:
    disk = BadDisk()
    disk.errno = errno.EIO
    store = Store.open(tmp_path / "bad", journal=SMALL, disk=disk)
    store._checkpointer._keeper = None
    a = store.root("K", "a")
    put(a, "safe")
    store.sync()
    disk.fails = lambda name, path: name == step and path == a.path

    with pytest.raises(JournalFailed):
        store.tend(everything=True)

    disk.fails = lambda _name, _path: False
    with pytest.raises(JournalFailed):
        put(a, "later")
    store.close()
    again = Store.open(tmp_path / "bad")
    assert read(again.root("K", "a")) == "safe"
    again.close()


def test_a_round_that_ends_oddly_leaves_everything_to_the_next(store: Store) -> None:
    store.run_in(later := Later())
    put(store.root("K", "a"), 1)
    store.sync()
    store.tend(everything=True)
    with pytest.raises(MemoryError):
        later.run(MemoryError())

    assert store._checkpointer.needed == 1
    store.tend(everything=True)
    later.run()
    assert store._checkpointer.needed == store.committed + 1


def test_a_database_that_cannot_be_moved_does_not_hold_up_the_others(store: Store) -> None:
    a, b = store.root("K", "a"), store.root("K", "b")
    put(a, 1)
    a.close()
    assert a.path is not None
    hidden = a.path.with_suffix(".hidden")
    a.path.rename(hidden)
    for n in range(400):
        put(b, [n, "x" * 2000])  # no error of another is an error of this one

    assert store.stats()["refused"] == 1
    assert len(b.marks) < 300
    hidden.rename(a.path)
    store.tend(everything=True)
    assert store.stats()["refused"] == 0
    assert read(a) == 1


def test_without_room_for_its_file_a_database_comes_later(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    a = store.root("K", "a")
    put(a, 1)

    def full(_self: Database) -> None:
        raise StorageFull("no room")

    with monkeypatch.context() as patch:
        patch.setattr(Database, "backfill", full)
        store.tend(everything=True)
    assert a.marks
    store.sync()
    with crashed(store) as again:
        assert read(again.root("K", "a")) == 1

    store.tend(everything=True)
    assert not a.marks


# -- a tree is told of in one append --------------------------------------------------------------


class Counting(Disk):
    """Counts the syncs of history files; fails to open the files of one database."""

    def __init__(self) -> None:
        super().__init__()
        self.syncs = 0
        self.bad: Path | None = None
        self._files: set[int] = set()

    def open(self, path: Path, flags: int, mode: int = 0o600) -> int:
        if self.bad is not None and path == self.bad:
            raise OSError(errno.EIO, "this one is bad")
        fd = super().open(path, flags, mode)
        if "history" in path.parts:
            self._files.add(fd)
        return fd

    def close(self, fd: int) -> None:
        self._files.discard(fd)
        super().close(fd)

    def sync(self, fd: int) -> None:
        self.syncs += fd in self._files
        super().sync(fd)


def test_the_databases_of_a_tree_are_told_of_with_one_sync(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "one", disk=(disk := Counting()))
    lead = store.root("K", "lead")
    for n in range(10):
        put(lead.child(f"facet {n}"), n)
    store.sync()
    before = disk.syncs  # that the tree began is told with the record

    store.tend(everything=True)

    assert disk.syncs == before + 1
    store.close()


def test_a_database_that_cannot_be_told_of_holds_up_no_other_of_its_tree(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "one", disk=(disk := Counting()))
    lead = store.root("K", "lead")
    facets = [lead.child(f"facet {n}") for n in range(3)]
    for one in facets:
        put(one, 1)
    store.sync()
    disk.bad = facets[1].path

    store.tend(everything=True)

    assert [bool(one.marks) for one in facets] == [False, True, False]
    assert list(store._checkpointer.refused) == [facets[1].uid]
    disk.bad = None
    store.tend(everything=True)
    assert not store._checkpointer.refused
    store.close()
