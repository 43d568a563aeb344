"""Quotas: on by default, and crossed by nothing."""

from __future__ import annotations

import errno
from collections.abc import Callable

import pytest

from storage.database import Database
from storage.errors import FilesQuota, FileTooLarge
from storage.files import Files
from storage.limits import FileLimits
from tests.storage.files.fake import check


@pytest.fixture
def small(database: Database) -> Files:
    fs = Files(database, limits=FileLimits(total=1000, file=600, entries=5))
    fs.mkdir("/d")
    fs.write("/d/f", b"x" * 500)
    return fs


def test_limits_are_on_by_default(fs: Files) -> None:
    assert fs.limits == FileLimits()
    with pytest.raises(FileTooLarge):
        fs.truncate(_made(fs), fs.limits.file + 1)
    for i in range(4):
        fs.truncate(_made(fs, f"/{i}"), fs.limits.file)
    with pytest.raises(FilesQuota):
        fs.append("/f", b"x")


def _made(fs: Files, path: str = "/f") -> str:
    fs.write(path, b"")
    return path


@pytest.mark.parametrize(
    "act",
    [
        lambda fs: fs.write("/d/f", b"x" * 601),
        lambda fs: fs.append("/d/f", b"x" * 101),
        lambda fs: fs.write_at("/d/f", 600, b"x"),
        lambda fs: fs.truncate("/d/f", 601),
        lambda fs: fs.write("/new", b"x" * 601),
        lambda fs: fs.open("/d/f", "r+b", buffering=0).truncate(601),
    ],
)
def test_one_file_has_its_limit(
    small: Files, database: Database, act: Callable[[Files], object]
) -> None:
    with pytest.raises(FileTooLarge) as caught:
        act(small)
    assert (caught.value.errno, caught.value.fields["limit"]) == (errno.EFBIG, 600)
    assert (small.listdir(), small.read("/d/f")) == (["d"], b"x" * 500)
    check(database)


@pytest.mark.parametrize(
    "act",
    [
        lambda fs: fs.write("/g", b"x" * 501),
        lambda fs: fs.write_at("/g", 500, b"x"),
        lambda fs: fs.copy("/d/f", "/g") or fs.copy("/d/f", "/h"),
        lambda fs: fs.copy("/d", "/e") or fs.copy("/d", "/g"),
    ],
)
def test_all_files_together_have_their_limit(
    small: Files, database: Database, act: Callable[[Files], object]
) -> None:
    with pytest.raises(FilesQuota) as caught:
        act(small)
    assert (caught.value.errno, caught.value.fields["limit"]) == (errno.EDQUOT, 1000)
    assert not small.exists("/h")
    check(database)
    small.write("/last", b"x" * (1000 - small.usage().bytes))
    assert small.usage().bytes == 1000


@pytest.mark.parametrize(
    "act",
    [
        lambda fs: fs.write("/n", b""),
        lambda fs: fs.mkdir("/n"),
        lambda fs: fs.mkdir("/n/m", parents=True),
        lambda fs: fs.symlink("x", "/n"),
        lambda fs: fs.copy("/d/f", "/n"),
        lambda fs: fs.copy("/d", "/n"),
        lambda fs: fs.open("/n", "w"),
    ],
)
def test_entries_have_their_limit(
    small: Files, database: Database, act: Callable[[Files], object]
) -> None:
    for name in "abc":
        small.symlink("x", name)
    with pytest.raises(FilesQuota) as caught:
        act(small)
    assert caught.value.fields["what"] == "entries"
    assert small.listdir() == ["a", "b", "c", "d"]
    check(database)


def test_what_is_removed_or_cut_gives_its_room_back(small: Files) -> None:
    small.write("/g", b"y" * 500)
    small.truncate("/g", 100)
    small.write("/h", b"z" * 400)
    small.remove_tree("/d")
    small.write("/g", b"y" * 600)
    assert small.usage().bytes == 1000


def test_over_a_limit_that_was_lowered_files_may_still_shrink_and_go(database: Database) -> None:
    Files(database).write("/f", b"x" * 100)
    fs = Files(database, limits=FileLimits(total=10, entries=0))
    with pytest.raises(FilesQuota):
        fs.append("/f", b"x")
    fs.truncate("/f", 50)
    fs.rename("/f", "/g")
    fs.write("/g", b"x" * 50)
    fs.unlink("/g")
    assert fs.usage().bytes == 0
