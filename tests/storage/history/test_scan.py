"""Torn tails are ignored; damage is told, with the bookmarks that it took."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from storage.errors import BookmarkGone, HistoryCorrupt, StateFormat
from storage.frames import Commit
from storage.history import ORIGIN, Change, Image, TreeLog, changed, deleted
from storage.history.block import HEADER, MAGIC
from storage.history.encode import BLOCK
from storage.limits import HistoryLimits
from tests.storage.history.model import NODE, Model, Quick, mark, page


@pytest.fixture
def model(tmp_path: Path) -> Model:
    model = Model(tmp_path / "1")
    for seed in range(5):
        model.write(seed)
    return model


def newest_file(model: Model) -> Path:
    return max(model.folder.iterdir())


def reopen(model: Model) -> TreeLog:
    return TreeLog(Quick(), model.folder, HistoryLimits())


def test_a_file_cut_anywhere_ends_at_the_last_whole_append(model: Model) -> None:
    path = newest_file(model)
    data = path.read_bytes()
    for length in range(len(data)):
        path.write_bytes(data[:length])
        log = reopen(model)
        found = [one.bookmark.sequence for one in log.marks(10)]
        assert found == list(range(len(found), 0, -1))
        assert log.newest == (mark(len(found)) if found else (log.oldest))
    path.write_bytes(data)
    assert len(reopen(model).marks(10)) == 6


def test_after_a_torn_tail_appends_go_on_in_a_file_of_their_own(model: Model) -> None:
    path = newest_file(model)
    path.write_bytes(path.read_bytes() + MAGIC + b"the beginning of a block that never was")
    model.log = reopen(model)
    model.write(50)
    model.write(51)
    assert len(list(model.folder.iterdir())) == 2
    model.check(reopen(model))


@pytest.mark.parametrize("block", [0, 1, 2])
def test_an_append_of_several_blocks_counts_only_as_a_whole(tmp_path: Path, block: int) -> None:
    model = Model(tmp_path / "1")
    model.write(1)
    path = newest_file(model)
    start = path.stat().st_size
    model.log.append(deleted(1, 1, mark(9), NODE, Image(2 * BLOCK + 1, page)))
    data = bytearray(path.read_bytes())
    places = [at for at in range(start, len(data)) if data[at : at + 4] == MAGIC]
    assert len(places) == 4
    # The kernel may have written any part of it, and not another.
    data[places[block] + HEADER + 100] ^= 1
    path.write_bytes(data)
    model.check(reopen(model))
    assert reopen(model).newest == mark(2)
    data[places[block]] ^= 1
    path.write_bytes(data)
    assert reopen(model).newest == mark(2)


def test_damage_never_goes_unnoticed_and_takes_no_newer_bookmark(model: Model) -> None:
    path = newest_file(model)
    data = path.read_bytes()
    last = data.rfind(MAGIC)
    for at in range(last):
        path.write_bytes(data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :])
        lost = model.lost(reopen(model))
        assert lost
        for error in lost.values():
            assert isinstance(error, HistoryCorrupt)
            assert error.path == str(path)
            assert error.first == str(ORIGIN)
            assert all(str(mark(one).bookmark) < error.last for one in lost)
    path.write_bytes(data)
    assert not model.lost(reopen(model))


def test_a_damaged_block_takes_the_bookmarks_before_it_and_names_the_next(model: Model) -> None:
    path = newest_file(model)
    data = bytearray(path.read_bytes())
    places = [at for at in range(len(data)) if data[at : at + 4] == MAGIC]
    data[places[3]] ^= 1  # the block of bookmark 4: it led back to 3
    path.write_bytes(data)
    lost = model.lost(reopen(model))
    assert sorted(lost) == [0, 1, 2, 3]
    assert {error.last for error in lost.values()} == {str(mark(4).bookmark)}  # type: ignore[attr-defined]
    assert [one.bookmark.sequence for one in reopen(model).marks(9)] == [6, 5, 3, 2, 1]


def test_damage_does_not_keep_new_bookmarks_from_being_made(model: Model) -> None:
    path = newest_file(model)
    data = bytearray(path.read_bytes())
    data[3] ^= 1
    path.write_bytes(data)
    model.log = reopen(model)
    model.write(60)
    model.write(61)
    assert not model.lost(reopen(model)).keys() & {6, 7, 8}


def filled(tmp_path: Path) -> Model:
    """A history in several files."""
    model = Model(tmp_path / "1", limits=HistoryLimits(size=16 * 1000))
    model.limits = HistoryLimits()
    for seed in range(20):
        model.write(seed)
    assert len(list(model.folder.iterdir())) > 3
    return model


def test_an_older_file_that_lost_its_end_is_damage(tmp_path: Path) -> None:
    model = filled(tmp_path)
    second = sorted(model.folder.iterdir())[1]
    second.write_bytes(second.read_bytes()[:-1])
    lost = model.lost(reopen(model))
    assert lost
    assert all(isinstance(error, HistoryCorrupt) for error in lost.values())
    assert max(lost) < max(model.past)


def test_what_stands_behind_the_end_of_an_older_file_does_not_count(tmp_path: Path) -> None:
    model = filled(tmp_path)
    for path in sorted(model.folder.iterdir())[:-1]:
        path.write_bytes(path.read_bytes() + random.Random(1).randbytes(300))
    assert not model.lost(reopen(model))


def test_behind_a_missing_file_the_history_is_gone(tmp_path: Path) -> None:
    model = filled(tmp_path)
    files = sorted(model.folder.iterdir())
    files[1].unlink()
    log = reopen(model)
    lost = model.lost(log)
    assert all(isinstance(error, BookmarkGone) for error in lost.values())
    assert sorted(lost) == [one for one in model.past if mark(one).bookmark < log.oldest.bookmark]
    assert str(log.oldest.bookmark) in files[2].name


def test_a_file_removed_under_an_open_log_is_damage(tmp_path: Path) -> None:
    model = filled(tmp_path)
    log = reopen(model)
    second, third = sorted(model.folder.iterdir())[1:3]
    second.unlink()
    lost = model.lost(log)
    assert all(isinstance(error, HistoryCorrupt) for error in lost.values())
    assert lost.keys() == {one for one in model.past if str(mark(one).bookmark) < third.name[9:34]}


def test_a_file_under_another_name_is_not_taken_for_that_one(tmp_path: Path) -> None:
    model = filled(tmp_path)
    files = sorted(model.folder.iterdir())
    files[1].write_bytes(files[0].read_bytes())
    assert all(isinstance(error, HistoryCorrupt) for error in model.lost(reopen(model)).values())


def test_a_file_of_another_version_is_refused(model: Model) -> None:
    (model.folder / "00000002.future.v2").touch()
    with pytest.raises(StateFormat) as caught:
        reopen(model)
    assert caught.value.fields["found"] == "00000002.future.v2"


def late(tmp_path: Path) -> tuple[TreeLog, Path]:
    """A log whose first block, of database 5, is newer than the second, of database 6."""
    log = TreeLog(Quick(), tmp_path / "1", HistoryLimits())
    for uid, sequence in ((5, 20), (6, 3)):
        change = Change(mark(sequence), 1, Commit(1, {1: page(sequence)}))
        log.append(changed(uid, 1, [change], lambda _: page(0)))
    return log, next(log.folder.iterdir())


def test_a_lost_block_is_still_the_newest_if_it_was(tmp_path: Path) -> None:
    log, path = late(tmp_path)
    assert log.newest == mark(20)
    data = bytearray(path.read_bytes())
    data[5] ^= 1
    path.write_bytes(data)
    assert TreeLog(Quick(), log.folder, HistoryLimits()).newest.bookmark == mark(20).bookmark


def test_what_a_lost_block_may_have_told_counts_as_recorded(tmp_path: Path) -> None:
    log, path = late(tmp_path)
    data = bytearray(path.read_bytes())
    data[5] ^= 1
    path.write_bytes(data)
    assert log.recorded([5, 6, 7]) == {
        5: mark(20).bookmark,
        6: mark(3).bookmark,
        7: mark(20).bookmark,
    }
