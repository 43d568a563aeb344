"""All histories of a host, and the limit on them together."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import pytest

from storage.frames import Commit
from storage.history import Archive, Bookmark, Change, Mark, TreeLog, changed
from storage.limits import HistoryLimits
from tests.storage.history.model import Quick, page

DAY = 86400 * 1_000_000


def archive_of(folder: Path, limits: HistoryLimits | None = None) -> Archive:
    return Archive(Quick(), folder / "history", limits or HistoryLimits())


def write(log: TreeLog, sequence: int, time: int) -> None:
    """A commit at that time, in a file last written then."""
    change = Change(Mark(Bookmark(1, sequence), time), 1, Commit(1, {1: page(sequence)}))
    log.append(changed(1, 1, [change], lambda _: page(0)))
    os.utime(max(log.folder.iterdir()), ns=(time * 1000, time * 1000))


def test_a_tree_has_one_log_while_it_is_used(tmp_path: Path) -> None:
    archive = archive_of(tmp_path)
    log = archive.tree(300)
    assert archive.tree(300) is log
    assert log.folder == tmp_path / "history" / "2c" / "300"
    write(log, 1, 10)
    del log
    gc.collect()
    assert archive.tree(300).newest == Mark(Bookmark(1, 1), 10)


def test_trees_are_those_with_a_history(tmp_path: Path) -> None:
    archive = archive_of(tmp_path)
    assert list(archive.trees()) == []
    for uid in (1, 257, 70000):
        write(archive.tree(uid), 1, 10)
    archive.tree(5)
    assert sorted(archive.trees()) == [1, 257, 70000]


def test_a_forgotten_tree_leaves_nothing(tmp_path: Path) -> None:
    archive = archive_of(tmp_path)
    write(archive.tree(1), 1, 10)
    write(archive.tree(257), 1, 10)
    archive.forget(1)
    archive.forget(1)
    assert list(archive.trees()) == [257]
    assert archive.tree(1).marks(5) == []


def test_over_the_limit_of_the_host_the_longest_unwritten_go_first(tmp_path: Path) -> None:
    limits = HistoryLimits(size=16 * 200, host=3000)
    archive = archive_of(tmp_path, limits)
    for sequence in range(1, 31):
        write(archive.tree(1 + sequence % 3), sequence, sequence * 1000)
    files = {path: path.stat() for path in (tmp_path / "history").glob("*/*/*")}
    assert sum(stat.st_size for stat in files.values()) > 4000
    total = archive.enforce(40_000)
    assert 2000 < total <= 3000
    assert total == sum(archive.tree(uid).size for uid in archive.trees())
    kept = [stat.st_mtime for path, stat in files.items() if path.exists()]
    dropped = [stat.st_mtime for path, stat in files.items() if not path.exists()]
    assert max(dropped) < min(kept)


def test_trees_at_rest_lose_what_is_over_their_age(tmp_path: Path) -> None:
    archive = archive_of(tmp_path)
    write(archive.tree(1), 1, 1 * DAY)
    write(archive.tree(2), 2, 5 * DAY)
    gc.collect()
    size = archive.tree(2).size
    assert archive.enforce(9 * DAY) == size
    assert archive.tree(1).oldest == archive.tree(1).newest == Mark(Bookmark(1, 1), 1 * DAY)
    assert archive.tree(2).marks(5) == [Mark(Bookmark(1, 2), 5 * DAY)]


def test_a_tree_with_nothing_to_drop_is_not_even_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(archive_of(tmp_path).tree(1), 1, 1 * DAY)
    gc.collect()
    archive = archive_of(tmp_path)
    monkeypatch.setattr(Archive, "tree", lambda *_: pytest.fail("it was opened"))
    assert archive.enforce(2 * DAY) > 0
