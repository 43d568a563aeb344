"""Frames: each commit is read from the -wal exactly once, whatever SQLite does with the file."""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from storage.connection import Connection
from storage.errors import DatabaseCorrupt, StorageFull
from storage.frames import FRAME, WAL_HEADER, FrameReader, read_commit
from storage.limits import PAGE_SIZE, StorageLimits
from storage.template import template


class Tap:
    """A database, and a file put together from nothing but the commits that were read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.wal = path.with_name(path.name + "-wal")
        path.write_bytes(template())
        self.copy = dict(enumerate_pages(template()))
        self.size = len(template()) // PAGE_SIZE
        self.reader = FrameReader(self.wal)
        self.db = self.open()
        self.commits = 0

    def open(self) -> Connection:
        self.db = Connection(self.path, self.reader, StorageLimits())
        self.db.own("pragma cache_size=12")
        return self.db

    def step(self, *statements: str) -> None:
        self.db.begin()
        for statement in statements:
            self.db.own(statement)
        self.end()

    def end(self) -> None:
        made = self.db.commit()
        if made is not None:
            self.commits += 1
            self.copy.update(made.pages)
            self.size = made.size

    def check(self) -> None:
        """What was put together is a sound database with the same content."""
        expected = self.rows()
        other = self.path.with_name("other.db")
        content = b"".join(self.copy[n + 1] for n in range(self.size))
        other.write_bytes(content)
        db = apsw.Connection(str(other))
        assert db.pragma("integrity_check") == "ok"
        assert list(db.execute("select a, b from t order by a")) == expected
        db.close()

    def rows(self) -> list[tuple[object, ...]]:
        self.db.begin()
        found = self.db.own("select a, b from t order by a")
        self.db.rollback()
        return found


def enumerate_pages(data: bytes) -> Iterator[tuple[int, bytes]]:
    for at in range(0, len(data), PAGE_SIZE):
        yield at // PAGE_SIZE + 1, data[at : at + PAGE_SIZE]


@pytest.fixture
def tap(tmp_path: Path) -> Iterator[Tap]:
    tap = Tap(tmp_path / "a.db")
    tap.step("create table t(a integer primary key, b)")
    yield tap
    tap.db.close()


SMALL = "insert into t(b) values (zeroblob(20))"
LARGE = (
    "with recursive n(i) as (select 1 union all select i + 1 from n where i < 150) "
    "insert into t(b) select randomblob(900) from n"
)


def test_commits_one_after_the_other(tap: Tap) -> None:
    for _ in range(20):
        tap.step(SMALL)

    assert tap.commits == 21
    tap.check()


def test_a_commit_after_the_wal_restarted(tap: Tap) -> None:
    tap.step(LARGE)
    tap.db.checkpoint()
    tap.step(SMALL)

    assert tap.reader.first == 1
    tap.check()


def test_a_commit_larger_than_the_wal_that_it_restarts(tap: Tap) -> None:
    tap.step(SMALL)
    tap.db.checkpoint()
    tap.step(LARGE)

    assert tap.reader.first == 1
    tap.check()


def test_pages_that_spilled_and_changed_again(tap: Tap) -> None:
    tap.step(LARGE)
    tap.step(*["update t set b = randomblob(900)"] * 3)

    tap.check()


def test_a_rollback_after_a_spill(tap: Tap) -> None:
    tap.db.begin()
    tap.db.own(LARGE)
    tap.db.own(LARGE)
    tap.db.rollback()
    tap.step(SMALL)

    tap.check()


def test_a_savepoint_undone_after_a_spill(tap: Tap) -> None:
    tap.step(LARGE)
    tap.step("savepoint x", "update t set b = randomblob(900)", "rollback to x", "release x", SMALL)

    tap.check()


def test_a_database_that_shrinks(tap: Tap) -> None:
    tap.step(LARGE)
    before = tap.size
    tap.step("delete from t where a > 3")
    tap.db._db.limit(apsw.SQLITE_LIMIT_ATTACHED, 1)  # VACUUM attaches
    tap.db.own("vacuum")
    made = tap.reader.read(tap.db._hooked)
    tap.copy.update(made.pages)
    tap.size = made.size

    assert tap.size < before
    tap.check()


def test_a_step_that_wrote_nothing_has_no_commit(tap: Tap) -> None:
    tap.step("select * from t")
    tap.step()

    assert tap.commits == 1


def test_the_position_outlives_the_connection(tap: Tap) -> None:
    for n in range(12):
        tap.step(LARGE if n % 5 == 4 else SMALL)
        tap.db.close()
        tap.open()
        if n % 4 == 3:
            tap.db.checkpoint()

    tap.check()


def test_any_mixture(tap: Tap) -> None:
    rnd = random.Random(3)
    for _ in range(60):
        match rnd.randrange(6):
            case 0:
                tap.db.checkpoint()
            case 1:
                tap.db.close()
                tap.open()
            case 2:
                tap.db.begin()
                tap.db.own(rnd.choice([SMALL, LARGE]))
                tap.db.rollback()
            case 3:
                tap.step("delete from t where a % 3 = 0")
            case _:
                tap.step(rnd.choice([SMALL, SMALL, LARGE]))
    tap.check()


# -- taking back ------------------------------------------------------------------------------


def take_back(tap: Tap) -> None:
    tap.db.close()
    tap.reader.truncate_last()
    tap.open()


@pytest.mark.parametrize("statement", [SMALL, LARGE])
@pytest.mark.parametrize("checkpoint", [False, True])
def test_the_newest_commit_can_be_taken_back(tap: Tap, statement: str, checkpoint: bool) -> None:
    tap.step(LARGE)
    if checkpoint:
        tap.db.checkpoint()  # then the commit restarts the file
    before = tap.rows()
    copy, size = dict(tap.copy), tap.size
    tap.step(statement)
    assert tap.rows() != before

    take_back(tap)

    assert tap.rows() == before
    tap.copy, tap.size = copy, size
    tap.step(SMALL)
    tap.check()


def test_the_first_commit_of_a_file_can_be_taken_back(tmp_path: Path) -> None:
    tap = Tap(tmp_path / "a.db")
    tap.step("create table t(a)")

    take_back(tap)

    assert tap.db.own("select * from sqlite_schema") == []
    tap.db.close()


def test_a_wal_that_is_all_in_the_file_can_be_emptied(tap: Tap) -> None:
    tap.step(LARGE)
    tap.db.checkpoint()
    tap.db.close()

    tap.reader.stale = True
    tap.reader.reset()

    assert tap.wal.stat().st_size == 0
    tap.open()
    tap.step(SMALL)
    assert tap.reader.first == 1
    tap.reader.reset()  # of one who comes late: it is in use again
    tap.check()


# -- what is not as it should be --------------------------------------------------------------


def test_frames_read_again_are_the_same(tap: Tap) -> None:
    tap.step(LARGE)
    first, last = tap.reader.first, tap.reader.base
    fd = os.open(tap.wal, os.O_RDONLY)
    commit = read_commit(fd, tap.wal, first, last)
    folded = read_commit(fd, tap.wal, 1, last)
    os.close(fd)

    assert commit.size == folded.size == tap.size
    assert commit.pages.items() <= folded.pages.items()
    assert {n: tap.copy[n] for n in folded.pages} == folded.pages


def spoil(tap: Tap, at: int, data: bytes) -> None:
    with tap.wal.open("r+b") as file:
        file.seek(at)
        file.write(data)


def test_a_frame_of_another_life_is_not_taken_for_one_of_this_commit(tap: Tap) -> None:
    tap.step(LARGE)
    count, tap.reader.base = tap.reader.base, 0
    spoil(tap, WAL_HEADER + (count - 1) * FRAME + 8, b"saltsalt")

    with pytest.raises(DatabaseCorrupt, match="mixes"):
        tap.reader.read(count)


def test_a_commit_without_its_end_is_refused(tap: Tap) -> None:
    tap.step(LARGE)
    count, tap.reader.base = tap.reader.base, 0

    with pytest.raises(DatabaseCorrupt, match="inside a commit"):
        tap.reader.read(count - 1)


def test_a_wal_that_is_too_short_is_refused(tap: Tap) -> None:
    with pytest.raises(DatabaseCorrupt, match="ends before"):
        tap.reader.read(tap.reader.base + 1)


def test_without_a_descriptor_the_step_is_undone_before_sqlite_commits(
    tap: Tap, monkeypatch: pytest.MonkeyPatch
) -> None:
    tap.step(SMALL)
    tap.reader.close()
    before = tap.rows()
    tap.db.begin()
    tap.db.own(SMALL)

    def refuse(*_: object) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with monkeypatch.context() as patch:
        patch.setattr("storage.frames.os.open", refuse)
        with pytest.raises(StorageFull, match="Too many open files"):
            tap.db.commit()

    assert not tap.db.committed
    assert tap.rows() == before
    tap.step(SMALL)
    tap.check()


def test_a_long_read_comes_in_pieces(tap: Tap, monkeypatch: pytest.MonkeyPatch) -> None:
    pread = os.pread
    monkeypatch.setattr("storage.frames.os.pread", lambda fd, n, at: pread(fd, min(n, 5000), at))
    tap.step(LARGE)

    tap.check()
