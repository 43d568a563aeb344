"""The log of a tree: appends, times, retention."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.disk import Buffer, Disk
from storage.errors import BookmarkGone
from storage.frames import Commit
from storage.history import ORIGIN, Bookmark, Change, Mark, TreeLog, changed
from storage.history.bookmark import START
from storage.limits import HistoryLimits
from tests.storage.history.model import Model, Quick, mark, page

DAY = 86400 * 1_000_000
SMALL = HistoryLimits(size=16 * 2000)
"""Files of about 2,000 bytes."""


class Recording(Disk):
    """Says what was done, in order; refuses call number `fail`."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.fail = -1

    def _note(self, what: str) -> None:
        self.calls.append(what)
        if len(self.calls) == self.fail:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def write(self, fd: int, data: Buffer, at: int) -> None:
        half = len(data) // 2
        super().write(fd, memoryview(data)[:half], at)
        self._note("write")
        super().write(fd, memoryview(data)[half:], at + half)

    def sync(self, fd: int) -> None:
        super().sync(fd)
        self._note("sync")

    def sync_directory(self, path: Path) -> None:
        super().sync_directory(path)
        self._note(f"sync {path.name}")

    def unlink(self, path: Path) -> None:
        self._note("unlink")
        super().unlink(path)


def fill(model: Model, commits: int, start: int = 0) -> None:
    for seed in range(start, start + commits):
        model.write(seed)


# -- appends ----------------------------------------------------------------------------


def test_an_append_has_synced_the_file_and_every_new_name_when_it_returns(tmp_path: Path) -> None:
    disk = Recording()
    model = Model(tmp_path / "history" / "01" / "1", disk)
    assert disk.calls == ["write", "sync", "sync 1", "sync 01", "sync history"]
    disk.calls.clear()
    model.write(1)
    assert disk.calls == ["write", "sync"]


@pytest.mark.parametrize("calls", range(1, 5))
def test_an_append_that_failed_added_nothing_and_can_be_repeated(
    tmp_path: Path, calls: int
) -> None:
    disk = Recording()
    model = Model(tmp_path / "1", disk, HistoryLimits(size=16 * 250))
    failed = 0
    for seed in range(40):
        before = model.log.newest
        model.commit(4, {1 + seed % 4: page(seed), 4: page(seed + 1)})
        change = model.pending[0]
        disk.calls.clear()
        disk.fail = calls if seed % 3 else -1
        try:
            model.flush(1)
        except OSError:
            failed += 1
            assert model.log.newest == before
            disk.fail = -1
            model.pending = [change]
            model.flush(1)
        assert model.log.newest == mark(model.sequence)
    model.check()
    model.check(model.reopened())
    assert failed > 3


def test_a_failed_append_that_was_not_repeated_is_there_whole_or_not_at_all(
    tmp_path: Path,
) -> None:
    disk = Recording()
    model = Model(tmp_path / "1", disk)
    model.write(1)
    for calls, found in ((1, 2), (2, 3)):
        disk.calls.clear()
        disk.fail = calls
        model.commit(4, {1: page(5)})
        with pytest.raises(OSError, match="space"):
            model.flush(1)
        assert model.reopened().recorded([1]) == {1: mark(found).bookmark}
        model.sequence -= 1


def test_blocks_that_cannot_be_made_leave_the_log_as_it_was(tmp_path: Path) -> None:
    model = Model(tmp_path / "1")
    model.write(1)

    def unreadable(number: int) -> bytes:
        raise OSError(f"page {number}")

    change = Change(mark(3), 4, Commit(4, {1: page(1)}))
    with pytest.raises(OSError, match="page 1"):
        model.log.append(changed(1, 1, [change], unreadable))
    model.write(2)
    model.check(model.reopened())


def test_what_a_failed_append_left_is_never_written_over(tmp_path: Path) -> None:
    disk = Recording()
    model = Model(tmp_path / "1", disk)
    end = model.log.size
    disk.calls.clear()
    disk.fail = 1
    with pytest.raises(OSError, match="space"):
        model.write(1)
    left = next(model.folder.iterdir()).read_bytes()[end:]
    assert left
    model.pending.clear()
    model.sequence, model.pages = 1, []
    model.write(2)
    first, second = sorted(model.folder.iterdir())
    assert first.read_bytes()[end:] == left
    assert second.stat().st_size == model.log.size - end


def test_a_new_file_that_could_not_be_named_is_begun_again_empty(tmp_path: Path) -> None:
    disk = Recording()
    log = TreeLog(disk, tmp_path / "1", HistoryLimits())
    changes = [Change(mark(n), 1, Commit(1, {1: page(n)})) for n in range(1, 4)]
    disk.fail = 3
    with pytest.raises(OSError, match="space"):
        log.append(changed(1, 1, changes, lambda _: page(0)))
    assert disk.calls == ["write", "sync", "sync 1"]
    log.append(changed(1, 1, changes[:1], lambda _: page(0)))
    (file,) = log.folder.iterdir()
    assert file.stat().st_size == log.size
    assert TreeLog(disk, log.folder, HistoryLimits()).marks(9) == [mark(1)]


def test_nothing_to_append_makes_no_file(tmp_path: Path) -> None:
    log = TreeLog(Quick(), tmp_path / "1", HistoryLimits())
    log.append([])
    assert not log.folder.exists()
    assert (log.oldest, log.newest, log.size) == (START, START, 0)


def test_a_reader_sees_whole_appends_while_another_thread_writes(tmp_path: Path) -> None:
    model = Model(tmp_path / "1", limits=HistoryLimits(size=16 * 3000))
    failures: list[BaseException] = []

    def work() -> None:
        try:
            fill(model, 60)
        except BaseException as error:
            failures.append(error)

    writer = threading.Thread(target=work)
    writer.start()
    seen = 0
    while writer.is_alive() or seen < model.sequence:
        marks = [one.bookmark.sequence for one in model.log.marks(1000)]
        assert marks == list(range(marks[0], marks[0] - len(marks), -1))
        assert marks[0] >= seen
        seen = marks[0]
        assert model.log.at(1 << 60).sequence >= seen
    writer.join()
    assert not failures
    model.check()


# -- times and lists --------------------------------------------------------------------


def timed(folder: Path, times: list[int], limits: HistoryLimits | None = None) -> TreeLog:
    """A log with commits 1, 2, 3 ... made at these times."""
    log = TreeLog(Quick(), folder, limits or HistoryLimits())
    for sequence, time in enumerate(times, 1):
        change = Change(Mark(Bookmark(1, sequence), time), 1, Commit(1, {1: page(sequence)}))
        log.append(changed(1, 1, [change], lambda _: page(0)))
    return log


@settings(max_examples=60, deadline=None)
@given(
    times=st.lists(st.integers(1, 30), min_size=1, max_size=12),
    small=st.booleans(),
)
def test_the_bookmark_of_a_time_is_the_newest_before_the_first_later_one(
    tmp_path_factory: pytest.TempPathFactory, times: list[int], small: bool
) -> None:
    folder = tmp_path_factory.mktemp("log") / "1"
    log = timed(folder, times, HistoryLimits(size=16 * 300) if small else None)
    oldest = log.oldest
    for time in range(32):
        later = [n for n, made in enumerate(times, 1) if made > time]
        want = Bookmark(1, min(later) - 1) if later else Bookmark(1, len(times))
        if want == Bookmark(1, 0):
            want = ORIGIN
        if want < oldest.bookmark or (want == oldest.bookmark and time < oldest.time):
            with pytest.raises(BookmarkGone):
                log.at(time)
        else:
            assert log.at(time) == want


def test_a_time_before_the_history_is_gone(tmp_path: Path) -> None:
    log = TreeLog(Quick(), tmp_path / "1", HistoryLimits())
    log.cut(Mark(Bookmark(1, 5), 500))
    assert log.at(500) == Bookmark(1, 5)
    with pytest.raises(BookmarkGone) as caught:
        log.at(499)
    assert caught.value.oldest == str(Bookmark(1, 5))
    assert isinstance(caught.value, LookupError)


def test_marks_come_newest_first_and_in_portions(tmp_path: Path) -> None:
    log = timed(tmp_path / "1", [n * 10 for n in range(1, 21)], HistoryLimits(size=16 * 500))
    assert len(list(log.folder.iterdir())) > 3
    everything = [Mark(Bookmark(1, n), n * 10) for n in range(20, 0, -1)]
    assert log.marks(100) == everything
    assert log.marks(3) == everything[:3]
    assert log.marks(3, before=Bookmark(1, 10)) == everything[11:14]
    assert log.marks(3, before=Bookmark(1, 1)) == []


def test_what_is_recorded_of_a_database_is_known_after_a_restart(tmp_path: Path) -> None:
    log = TreeLog(Quick(), tmp_path / "1", HistoryLimits(size=16 * 200))
    log.cut(mark(2))
    for uid, sequence in ((5, 10), (6, 12), (5, 11), (6, 20)):
        change = Change(mark(sequence), 1, Commit(1, {1: page(sequence)}))
        log.append(changed(uid, 1, [change], lambda _: page(0)))
    again = TreeLog(Quick(), log.folder, log.limits)
    assert again.recorded([5, 6, 7]) == {
        5: mark(11).bookmark,
        6: mark(20).bookmark,
        7: mark(2).bookmark,  # nothing of it since the history began
    }
    assert again.recorded([]) == {}


def test_a_late_database_does_not_hide_the_newer_bookmarks_of_others(tmp_path: Path) -> None:
    log = TreeLog(Quick(), tmp_path / "1", HistoryLimits(size=16 * 400))
    for uid, sequence in ((5, 10), (5, 11), (5, 12), (6, 3), (6, 4), (6, 5)):
        change = Change(mark(sequence), 1, Commit(1, {1: page(sequence)}))
        log.append(changed(uid, 1, [change], lambda _: page(0)))
    assert len(list(log.folder.iterdir())) > 1
    assert [one.bookmark.sequence for one in log.marks(2)] == [12, 11]
    assert [one.bookmark.sequence for one in log.marks(9)] == [12, 11, 10, 5, 4, 3]
    assert log.at(11) == mark(11).bookmark
    assert log.at(9) == mark(5).bookmark


def test_what_is_older_than_the_history_counts_as_recorded(tmp_path: Path) -> None:
    log = TreeLog(Quick(), tmp_path / "1", HistoryLimits())
    log.cut(mark(10))
    for uid, sequence in ((6, 4), (5, 12)):
        change = Change(mark(sequence), 1, Commit(1, {1: page(sequence)}))
        log.append(changed(uid, 1, [change], lambda _: page(0)))
    assert log.recorded([5, 6]) == {5: mark(12).bookmark, 6: mark(10).bookmark}


# -- retention --------------------------------------------------------------------------


def test_over_its_size_a_tree_loses_its_oldest_bookmarks_only(tmp_path: Path) -> None:
    model = Model(tmp_path / "1", limits=SMALL)
    fill(model, 200)
    log = model.log
    assert log.oldest.bookmark > mark(1).bookmark
    assert log.size <= SMALL.size * 1.1
    assert log.size >= SMALL.size * 0.8
    kept = [one for one in model.past if mark(one).bookmark >= log.oldest.bookmark]
    assert len(kept) > 20
    model.check()
    model.check(model.reopened())
    with pytest.raises(BookmarkGone):
        model.restore(1)


def test_bookmarks_stay_for_their_age_and_then_go(tmp_path: Path) -> None:
    log = timed(tmp_path / "1", [n * DAY // 4 for n in range(1, 81)])
    last = 20 * DAY
    assert log.newest.time == last
    log.trim(last)
    assert last - 8 * DAY < log.oldest.time <= last - 7 * DAY
    log.trim(last + 3 * DAY)
    assert last - 5 * DAY < log.oldest.time <= last - 4 * DAY
    log.trim(last + 7 * DAY)
    assert log.oldest == log.newest == Mark(Bookmark(1, 80), last)
    assert (log.size, log.marks(5)) == (0, [])
    assert TreeLog(Quick(), log.folder, log.limits).oldest == log.oldest
    names = list(log.folder.iterdir())
    log.trim(last + 8 * DAY)
    assert list(log.folder.iterdir()) == names


def test_a_history_that_was_dropped_whole_goes_on_with_the_next_commit(tmp_path: Path) -> None:
    model = Model(tmp_path / "1")
    fill(model, 3)
    model.log.trim(DAY * 30)
    assert model.log.oldest == mark(4)
    fill(model, 3, start=10)
    assert model.log.oldest == mark(4)
    model.check()
    model.check(model.reopened())


def test_dropping_makes_room_file_by_file(tmp_path: Path) -> None:
    model = Model(tmp_path / "1", limits=SMALL)
    fill(model, 30)
    size = model.log.size
    while freed := model.log.drop_oldest():
        size -= freed
        assert model.log.size == size
        model.check(model.reopened())
    assert size == 0
    assert model.log.oldest == model.log.newest


def test_a_cut_makes_everything_older_unreachable_at_once(tmp_path: Path) -> None:
    disk = Recording()
    model = Model(tmp_path / "1", disk, SMALL)
    fill(model, 30)
    disk.calls.clear()
    disk.fail = 4  # after the new file and its name, at the first file that is removed
    with pytest.raises(OSError, match="space"):
        model.log.cut(mark(50))
    assert disk.calls == ["write", "sync", "sync 1", "unlink"]
    for log in (model.log, model.reopened()):
        assert log.oldest == log.newest == mark(50)
        with pytest.raises(BookmarkGone):
            log.at(mark(20).time)


def test_a_cut_never_goes_behind_what_is_there(tmp_path: Path) -> None:
    model = Model(tmp_path / "1")
    fill(model, 3)
    model.log.cut(mark(1))
    assert model.log.oldest == mark(4)


def test_files_that_a_crash_brings_back_are_no_part_of_the_history(tmp_path: Path) -> None:
    model = Model(tmp_path / "1", limits=SMALL)
    fill(model, 40)
    saved = {path: path.read_bytes() for path in sorted(model.folder.iterdir())}
    assert len(saved) > 4
    for _ in range(3):
        model.log.drop_oldest()
    oldest = model.log.oldest
    first = next(iter(saved))
    first.write_bytes(saved[first])
    assert model.reopened().oldest == oldest
    model.check(model.reopened())


@pytest.mark.parametrize(
    "act",
    [
        lambda log: log.restore(5),
        lambda log: log.log.at(mark(5).time),
    ],
)
def test_the_oldest_bookmark_is_named_when_one_is_gone(
    tmp_path: Path, act: Callable[[Model], object]
) -> None:
    model = Model(tmp_path / "1", limits=SMALL)
    fill(model, 200)
    with pytest.raises(BookmarkGone, match=str(model.log.oldest.bookmark)):
        act(model)
    assert model.restore(model.log.oldest.bookmark.sequence) is not None
