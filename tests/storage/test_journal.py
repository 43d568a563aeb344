"""The journal: what is queued becomes durable in order, or the journal fails for ever."""

from __future__ import annotations

import errno
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.disk import Buffer, Disk
from storage.errors import JournalFailed, StorageFull
from storage.frames import Commit
from storage.journal import SPARES, Journal
from storage.limits import PAGE_SIZE, JournalLimits
from storage.record import CREATE, PAGES, SECTOR, Entry
from storage.recovery import current, read_segments
from storage.segment import Segment

from .kit import SMALL, BadDisk, CutDisk, PowerCut, no_room_to_queue, segments

ONE = [Entry(CREATE, 1)]


def bulk(kib: int) -> list[Entry]:
    """An entry of about so many KiB."""
    page = b"\0" + b"x" * (PAGE_SIZE - 1)
    return [Entry(PAGES, 1, 1, Commit(1000, {n + 2: page for n in range(kib // 4)}))]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "journal").mkdir()
    return tmp_path / "journal"


@pytest.fixture
def journal(folder: Path) -> Iterator[Journal]:
    journal = Journal(Disk(), folder, 1, 0, 0, limits=SMALL)
    yield journal
    journal.close()


def on_disk(folder: Path) -> list[int]:
    found = read_segments(Disk(), folder)
    return [one.sequence for segment in found for one in segment.records]


def test_sequences_have_no_holes(journal: Journal) -> None:
    assert [journal.append(ONE) for _ in range(5)] == [1, 2, 3, 4, 5]


def test_nothing_is_durable_before_it_is_written(journal: Journal, folder: Path) -> None:
    journal.append(ONE)
    assert (journal.committed, journal.durable) == (1, 0)
    assert on_disk(folder) == []

    journal.sync()

    assert journal.durable == 1
    assert on_disk(folder) == [1]


def test_a_batch_counts_when_it_is_settled(journal: Journal, folder: Path) -> None:
    journal.append(ONE)
    batch = journal.take()
    assert batch is not None
    journal.append(ONE)
    assert journal.take() is None

    journal.write(batch)
    assert journal.durable == 0
    journal.settle()

    assert journal.durable == 1
    assert on_disk(folder) == [1]
    journal.sync()
    assert on_disk(folder) == [1, 2]


class SlowDisk(Disk):
    """Holds writes back until it is told to go on."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.go.set()
        self.reached = threading.Event()

    def write(self, fd: int, data: Buffer, at: int) -> None:
        self.reached.set()
        assert self.go.wait(30)
        super().write(fd, data, at)


def test_a_sync_waits_for_the_batch_of_another_thread(folder: Path) -> None:
    disk = SlowDisk()
    journal = Journal(disk, folder, 1, 0, 0)
    journal.append(ONE)
    batch = journal.take()
    assert batch is not None
    disk.go.clear()
    disk.reached.clear()
    thread = threading.Thread(target=journal.write, args=(batch,))
    thread.start()
    assert disk.reached.wait(30)
    journal.append(ONE)
    assert journal.settle() is None
    assert journal.durable == 0

    disk.go.set()
    journal.sync()

    thread.join()
    assert journal.durable == 2
    assert on_disk(folder) == [1, 2]
    assert journal.settle() is None
    journal.close()


def test_batches_of_a_thread_and_syncs_of_the_owner_keep_the_order(folder: Path) -> None:
    journal = Journal(Disk(), folder, 1, 0, 0, limits=SMALL)
    for n in range(60):
        journal.append(bulk(8 if n % 7 else 40))
        if n % 3 == 0 and (batch := journal.take()) is not None:
            thread = threading.Thread(target=journal.write, args=(batch,))
            thread.start()
            journal.append(ONE)
            if n % 2:
                journal.sync()
            thread.join()
            journal.settle()
    journal.sync()

    assert on_disk(folder) == list(range(1, journal.committed + 1))
    journal.close()


def test_segments_join(journal: Journal, folder: Path) -> None:
    for _ in range(20):
        journal.append(bulk(16))
        journal.sync()

    found = read_segments(Disk(), folder)

    assert len(found) > 3
    assert on_disk(folder) == list(range(1, 21))


def test_a_record_larger_than_a_segment_is_kept_whole(journal: Journal, folder: Path) -> None:
    journal.append(ONE)
    journal.append(bulk(500))
    journal.append(ONE)
    journal.sync()

    assert on_disk(folder) == [1, 2, 3]


def test_release_gives_up_the_oldest_and_keeps_what_is_needed(
    journal: Journal, folder: Path
) -> None:
    for _ in range(20):
        journal.append(bulk(16))
    journal.sync()
    before = journal.size

    journal.release(10)

    kept = on_disk(folder)
    assert kept == list(range(kept[0], 21))
    assert 4 < kept[0] <= 10
    assert journal.size < before


def test_release_never_gives_up_what_is_not_durable(journal: Journal) -> None:
    for _ in range(7):  # below the backlog
        journal.append(bulk(16))
    assert journal.durable == 0
    size = journal.size

    journal.release(journal.committed + 1)

    assert journal.size == size
    journal.sync()
    journal.release(journal.committed + 1)
    assert journal.size < size


def test_released_files_are_used_again(journal: Journal, folder: Path) -> None:
    for _ in range(100):
        journal.append(bulk(16))
        journal.sync()
        journal.release(journal.committed + 1)

    assert len(segments(folder.parent)) <= 2 + SPARES
    assert on_disk(folder)[-1] == 100


def test_a_huge_segment_is_not_kept_for_its_next_life(journal: Journal, folder: Path) -> None:
    journal.append(bulk(5000))
    journal.append(ONE)
    journal.sync()
    journal.turn()
    journal.release(journal.committed + 1)

    assert sum(one.stat().st_size for one in segments(folder.parent)) < 4 << 20


def test_after_a_turn_the_segment_before_can_be_released(journal: Journal, folder: Path) -> None:
    journal.append(bulk(40))
    journal.sync()
    assert journal.oldest == 0

    journal.turn()

    assert journal.oldest == 1
    journal.release(2)
    assert journal.size == 0
    assert on_disk(folder) == []
    journal.append(ONE)
    journal.sync()
    assert on_disk(folder) == [2]


def test_a_turn_without_records_does_nothing(journal: Journal, folder: Path) -> None:
    journal.turn()
    journal.turn()

    assert len(segments(folder.parent)) == 1


# -- no room, failures ------------------------------------------------------------------------


def test_without_room_nothing_is_queued_and_later_records_are(
    journal: Journal, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal.append(ONE)
    for entries in (ONE, bulk(64)):  # in this segment, and in the next
        with monkeypatch.context() as patch:
            no_room_to_queue(patch.setattr)
            with pytest.raises(OSError, match="No space"):
                journal.append(entries)

    journal.append(ONE)
    journal.append(bulk(64))
    journal.sync()

    assert on_disk(folder) == [1, 2, 3]


@pytest.mark.parametrize("step", ["open", "write", "sync"])
def test_a_new_segment_without_room_leaves_no_file(folder: Path, step: str) -> None:
    disk = BadDisk()
    journal = Journal(disk, folder, 1, 0, 0, limits=SMALL)
    journal.append(bulk(60))
    journal.sync()
    disk.fails = lambda name, path: name == step and path is not None and path.suffix == ".seg"
    with pytest.raises(OSError, match="No space"):
        journal.append(bulk(16))
    disk.fails = lambda _name, _path: False

    assert journal.append(bulk(16)) == 2
    journal.sync()
    assert on_disk(folder) == [1, 2]
    journal.close()


def test_a_commit_of_over_four_gib_is_refused_before_it_is_queued(
    journal: Journal, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.journal.MAX_BODY", 100)
    with pytest.raises(StorageFull):
        journal.append(bulk(8))

    assert journal.append(ONE) == 1


@pytest.mark.parametrize("error", [OSError(errno.EIO, "I/O error"), MemoryError()])
def test_what_could_not_be_written_never_counts(
    journal: Journal, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    journal.append(ONE)
    journal.sync()
    journal.append(ONE)

    def broken(*_: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(Segment, "write", broken)
        with pytest.raises(JournalFailed) as caught:
            journal.sync()
    assert caught.value.__cause__ is error

    assert journal.durable == 1
    for again in (journal.sync, journal.take, lambda: journal.append(ONE)):
        with pytest.raises(JournalFailed):
            again()


def test_an_interrupt_inside_a_write_fails_the_journal(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    journal.append(ONE)
    with monkeypatch.context() as patch:
        patch.setattr(Segment, "write", interrupted)
        with pytest.raises(KeyboardInterrupt):
            journal.sync()

    with pytest.raises(JournalFailed):
        journal.sync()
    assert journal.durable == 0


def test_a_batch_that_failed_on_a_thread_raises_when_it_is_settled(folder: Path) -> None:
    disk = BadDisk()
    journal = Journal(disk, folder, 1, 0, 0)
    journal.append(ONE)
    batch = journal.take()
    assert batch is not None
    disk.fails = lambda name, _path: name == "write"
    thread = threading.Thread(target=journal.write, args=(batch,))
    thread.start()
    thread.join()

    with pytest.raises(JournalFailed):
        journal.settle()
    assert journal.durable == 0
    journal.close()


def test_a_segment_that_cannot_be_voided_fails_the_journal(folder: Path) -> None:
    disk = BadDisk()
    journal = Journal(disk, folder, 1, 0, 0, limits=SMALL)
    for _ in range(10):
        journal.append(bulk(16))
    journal.sync()
    disk.fails = lambda name, _path: name == "write"

    with pytest.raises(JournalFailed):
        journal.release(5)
    journal.close()


# -- memory -----------------------------------------------------------------------------------


def test_what_waits_in_memory_is_bounded(journal: Journal) -> None:
    for _ in range(100):
        journal.append(bulk(16))
        assert journal.queued <= SMALL.backlog

    assert journal.durable > 90


def test_a_long_queue_is_congestion_until_it_is_written(journal: Journal) -> None:
    while not journal.congested:
        journal.append(bulk(16))
    assert journal.queued <= SMALL.backlog

    journal.sync()

    assert not journal.congested


def test_a_full_journal_is_congestion_until_it_is_released(folder: Path) -> None:
    limits = JournalLimits(segment=64 << 10, size=128 << 10, backlog=8 << 20)
    journal = Journal(Disk(), folder, 1, 0, 0, limits=limits)
    for _ in range(10):
        journal.append(bulk(16))
    journal.sync()
    assert journal.congested

    journal.release(journal.committed + 1)

    assert not journal.congested
    journal.close()


# -- taking over ------------------------------------------------------------------------------


def test_a_copy_of_a_segment_counts_only_when_it_is_complete(folder: Path) -> None:
    """Whatever the limits say: the copy may be larger than a segment, and than the backlog."""
    tiny = JournalLimits(segment=8 << 10, size=64 << 10, backlog=8 << 10)
    journal = Journal(Disk(), folder, 1, 0, 0)
    for _ in range(10):
        journal.append(bulk(16))
    journal.sync()
    journal.close()
    (found,) = read_segments(Disk(), folder)

    for after in range(30):
        disk = CutDisk(after, torn=True)
        try:
            Journal(disk, folder, 2, 0, 0, limits=tiny, records=found.records).close()
            break
        except PowerCut:
            assert [len(one.records) for one in current(read_segments(Disk(), folder))] == [10]
            for path in segments(folder.parent)[1:]:
                path.unlink()
    else:
        pytest.fail("it never became complete")
    assert after > 3
    newest = read_segments(Disk(), folder)[-1]
    assert (newest.header.epoch, len(newest.records)) == (2, 10)
    assert [one.made for one in newest.records] == [1] * 10


def test_records_end_at_sectors(journal: Journal) -> None:
    journal.append(ONE)

    assert journal.queued == SECTOR
