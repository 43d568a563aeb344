"""Directories, links and names."""

from __future__ import annotations

import errno
import pickle
from collections.abc import Callable

import pytest

from storage.errors import (
    DirectoryNotEmpty,
    FileError,
    FileExists,
    FileMissing,
    IsDirectory,
    LinkLoop,
    NotDirectory,
    PathInvalid,
)
from storage.files import Files, Usage
from tests.storage.files.conftest import Clock


def test_a_directory_is_made_once_and_its_parents_when_asked_for(fs: Files) -> None:
    fs.mkdir("/a")
    with pytest.raises(FileExists):
        fs.mkdir("/a")
    with pytest.raises(FileMissing):
        fs.mkdir("/x/y")
    fs.mkdir("/x/y/z", 0o700, parents=True)
    assert (fs.stat("/x/y").mode, fs.stat("/x/y/z").mode) == (0o755, 0o700)
    with pytest.raises(FileExists):
        fs.mkdir("/x/y/z", parents=True)
    fs.mkdir("/x/y/z", parents=True, exist_ok=True)
    fs.mkdir("/", exist_ok=True)
    with pytest.raises(FileExists):
        fs.mkdir("/")


def test_a_link_that_leads_nowhere_is_in_the_way_of_a_directory(fs: Files) -> None:
    fs.symlink("nowhere", "/l")
    fs.symlink("not/here", "/m")
    for path in ("/l", "/l/x", "/m", "/m/x"):
        with pytest.raises(FileExists):
            fs.mkdir(path, parents=True, exist_ok=True)
    assert fs.listdir() == ["l", "m"]


def test_a_file_is_never_taken_for_a_directory(fs: Files) -> None:
    fs.write("/f", b"")
    with pytest.raises(FileExists):
        fs.mkdir("/f", exist_ok=True)
    with pytest.raises(FileExists):
        fs.mkdir("/f", parents=True, exist_ok=True)
    for use in (fs.listdir, fs.scandir, fs.rmdir):
        with pytest.raises(NotDirectory):
            use("/f")
    for path in ("/f/x", "/f/x/y"):
        with pytest.raises(NotDirectory):
            fs.write(path, b"")
        with pytest.raises(NotDirectory):
            fs.mkdir(path, parents=True)
        assert not fs.exists(path)


def test_a_directory_is_never_taken_for_a_file(fs: Files) -> None:
    fs.mkdir("/d")
    for use in (fs.read, fs.unlink, fs.truncate, fs.stream, lambda p: fs.write(p, b"x")):
        with pytest.raises(IsDirectory):
            use("/d")
    with pytest.raises(IsDirectory):
        fs.append("/", b"x")


def test_what_is_not_there_is_missing(fs: Files) -> None:
    for use in (
        fs.stat, fs.lstat, fs.read, fs.unlink, fs.rmdir, fs.remove_tree, fs.listdir, fs.readlink,
        fs.truncate, fs.utime, fs.usage, fs.walk, fs.stream, fs.open,
        lambda p: fs.chmod(p, 0), lambda p: fs.rename(p, "/y"), lambda p: fs.copy(p, "/y"),
        lambda p: fs.write(p + "/y", b""), lambda p: fs.symlink("z", p + "/y"),
    ):  # fmt: skip
        with pytest.raises(FileMissing):
            use("/nothing")
    assert fs.listdir() == []
    assert not fs.exists("/nothing")
    assert not fs.is_file("/nothing")
    assert not fs.is_dir("/nothing")


def test_names_are_listed_in_the_order_of_their_bytes_and_in_pages(fs: Files) -> None:
    names = ["A", "B", "a", "b", "ä", "€"]
    for name in reversed(names):
        fs.write(name, b"")
    assert fs.listdir() == names
    assert fs.listdir(limit=2) == ["A", "B"]
    assert fs.listdir(limit=2, after="B") == ["a", "b"]
    assert fs.listdir(after="ä") == ["€"]
    assert fs.listdir(limit=0) == []
    assert [one.path for one in fs.scandir(limit=1, after="a")] == ["/b"]


def test_an_entry_says_what_lstat_says(fs: Files) -> None:
    fs.mkdir("/d/e", parents=True)
    fs.write("/d/f", b"12345")
    fs.symlink("f", "/d/l")
    found = {one.name: one for one in fs.scandir("/d")}
    for name, kind, size in (("e", "directory", 0), ("f", "file", 5), ("l", "link", 1)):
        assert found[name].path == f"/d/{name}"
        assert found[name].stat == fs.lstat(f"/d/{name}")
        assert (found[name].stat.kind, found[name].stat.size) == (kind, size)
    assert (fs.is_file("/d/l"), fs.is_link("/d/l"), fs.is_link("/d/f")) == (True, True, False)


def test_changes_of_content_and_of_entries_set_the_time(fs: Files, clock: Clock) -> None:
    def times(path: str, act: Callable[[], object]) -> bool:
        before = fs.lstat(path).mtime_ns
        act()
        return fs.lstat(path).mtime_ns > before

    fs.mkdir("/d")
    assert times("/", lambda: fs.mkdir("/e"))
    assert times("/d", lambda: fs.write("/d/f", b"x"))
    assert times("/d/f", lambda: fs.write("/d/f", b"y"))
    assert times("/d/f", lambda: fs.append("/d/f", b"y"))
    assert times("/d/f", lambda: fs.truncate("/d/f", 1))
    assert not times("/d", lambda: fs.write("/d/f", b"z"))
    assert times("/e", lambda: fs.rename("/d/f", "/e/g"))
    assert times("/e", lambda: fs.unlink("/e/g"))
    fs.utime("/d", 123_456_789)
    assert fs.stat("/d").mtime_ns == 123_456_789
    assert fs.stat("/d").mtime == pytest.approx(0.123456789)
    fs.utime("/d")
    assert fs.stat("/d").mtime_ns == clock.now


def test_permission_bits_are_kept_and_restrict_nobody(fs: Files) -> None:
    fs.write("/f", b"x")
    assert fs.stat("/f").mode == 0o644
    fs.chmod("/f", 0o100000)
    assert fs.stat("/f").mode == 0
    fs.write("/f", b"y")
    assert fs.read("/f") == b"y"
    fs.symlink("f", "/l")
    fs.chmod("/l", 0o755)
    assert (fs.stat("/f").mode, fs.lstat("/l").mode) == (0o755, 0o777)


# -- removing ----------------------------------------------------------------------------


def test_rmdir_removes_only_what_is_empty(fs: Files) -> None:
    fs.mkdir("/d/e", parents=True)
    with pytest.raises(DirectoryNotEmpty):
        fs.rmdir("/d")
    fs.rmdir("/d/e")
    fs.rmdir("/d")
    assert fs.listdir() == []
    with pytest.raises(PathInvalid):
        fs.rmdir("/")


def test_remove_tree_removes_everything_below_and_nothing_beside(fs: Files) -> None:
    fs.mkdir("/d/e/f", parents=True)
    fs.write("/d/e/f/x", b"x" * 100_000)
    fs.write("/other", b"x" * 100_000)
    fs.symlink("/other", "/d/l")
    fs.remove_tree("/d")
    assert fs.listdir() == ["other"]
    fs.symlink("/other", "/l")
    fs.remove_tree("/l")
    assert fs.read("/other") == b"x" * 100_000
    fs.mkdir("/again")
    fs.remove_tree("/")
    assert fs.listdir() == []
    assert fs.usage() == Usage(files=0, directories=1, links=0, bytes=0)


# -- rename ------------------------------------------------------------------------------


def test_rename_keeps_the_inode_and_everything_below(fs: Files) -> None:
    fs.mkdir("/a/b", parents=True)
    fs.write("/a/b/f", b"x")
    before = fs.stat("/a").inode
    fs.rename("/a", "/z")
    assert fs.stat("/z").inode == before
    assert fs.read("/z/b/f") == b"x"
    assert not fs.exists("/a")


def build(fs: Files, kind: str, path: str) -> None:
    if kind == "file":
        fs.write(path, b"of " + path.encode())
    elif kind == "link":
        fs.symlink("/nowhere", path)
    elif kind != "nothing":
        fs.mkdir(path)
        if kind == "full":
            fs.write(path + "/inside", b"")


REFUSED = {
    ("file", "empty"): IsDirectory,
    ("file", "full"): IsDirectory,
    ("link", "empty"): IsDirectory,
    ("link", "full"): IsDirectory,
    ("empty", "file"): NotDirectory,
    ("full", "file"): NotDirectory,
    ("empty", "link"): NotDirectory,
    ("full", "link"): NotDirectory,
    ("empty", "full"): DirectoryNotEmpty,
    ("full", "full"): DirectoryNotEmpty,
}


@pytest.mark.parametrize("target", ["nothing", "file", "link", "empty", "full"])
@pytest.mark.parametrize("source", ["file", "link", "empty", "full"])
def test_rename_replaces_what_posix_lets_it_replace(fs: Files, source: str, target: str) -> None:
    build(fs, source, "/s")
    build(fs, target, "/t")
    before = fs.lstat("/s")
    expected = REFUSED.get((source, target))
    if expected is None:
        fs.rename("/s", "/t")
        assert not fs.lexists("/s")
        assert fs.lstat("/t").inode == before.inode
    else:
        with pytest.raises(expected):
            fs.rename("/s", "/t")
        assert fs.lstat("/s") == before
        assert fs.lexists("/t")


def test_rename_moves_nothing_into_itself_and_onto_itself_does_nothing(fs: Files) -> None:
    fs.mkdir("/a/b", parents=True)
    for target in ("/a/x", "/a/b/x"):
        with pytest.raises(PathInvalid):
            fs.rename("/a", target)
    before = fs.stat("/a")
    fs.rename("/a", "/a/../a")
    assert fs.stat("/a") == before
    for source, target in (("/", "/x"), ("/a", "/")):
        with pytest.raises(PathInvalid):
            fs.rename(source, target)


# -- links -------------------------------------------------------------------------------


def test_a_link_is_followed_from_where_it_stands(fs: Files) -> None:
    fs.mkdir("/a/b", parents=True)
    fs.write("/a/f", b"x")
    for name, target in (
        ("up", "../f"),
        ("abs", "/a/f"),
        ("odd", "./../b/../f"),
        ("top", "../../../a/f"),
    ):
        fs.symlink(target, f"/a/b/{name}")
        assert fs.read(f"/a/b/{name}") == b"x"
        assert fs.readlink(f"/a/b/{name}") == target
    fs.symlink("/a/b", "/short")
    assert fs.read("/short/up") == b"x"
    assert fs.listdir("/short") == fs.listdir("/a/b")
    assert fs.stat("/short").kind == "directory"


def test_writing_through_a_link_writes_where_it_leads(fs: Files) -> None:
    fs.mkdir("/d")
    fs.symlink("d/new", "/l")
    assert not fs.exists("/l")
    assert fs.lexists("/l")
    fs.write("/l", b"made")
    assert fs.read("/d/new") == b"made"
    fs.unlink("/l")
    assert fs.read("/d/new") == b"made"
    fs.symlink("missing/new", "/l")
    with pytest.raises(FileMissing):
        fs.write("/l", b"")


def test_forty_links_are_followed_and_one_more_is_a_loop(fs: Files) -> None:
    fs.write("/0", b"end")
    for i in range(41):
        fs.symlink(str(i), str(i + 1))
    assert fs.read("/40") == b"end"
    with pytest.raises(LinkLoop) as caught:
        fs.read("/41")
    assert caught.value.errno == errno.ELOOP
    fs.symlink("self", "/self")
    assert not fs.exists("/self")
    for use in (fs.read, fs.stat, fs.listdir, lambda p: fs.write(p, b"")):
        with pytest.raises(LinkLoop):
            use("/self")
    assert fs.lstat("/self").kind == "link"


def test_a_link_takes_no_place_that_is_taken_and_no_target_that_is_no_path(fs: Files) -> None:
    fs.write("/f", b"")
    with pytest.raises(FileExists):
        fs.symlink("x", "/f")
    with pytest.raises(PathInvalid):
        fs.symlink("", "/l")
    with pytest.raises(PathInvalid):
        fs.readlink("/f")


# -- copy and usage ----------------------------------------------------------------------


def test_a_copied_tree_is_the_same_and_apart(fs: Files) -> None:
    fs.mkdir("/a/empty", parents=True)
    fs.write("/a/f", b"x" * 200_000)
    fs.chmod("/a/f", 0o600)
    fs.symlink("f", "/a/l")
    fs.copy("/a", "/b")
    assert fs.glob("/b/**") == ["/b/empty", "/b/f", "/b/l"]
    assert (fs.read("/b/l"), fs.stat("/b/f").mode) == (b"x" * 200_000, 0o600)
    fs.write_at("/b/f", 1, b"y")
    assert fs.read("/a/f") == b"x" * 200_000
    with pytest.raises(FileExists):
        fs.copy("/a", "/b")
    with pytest.raises(PathInvalid):
        fs.copy("/a", "/a/empty/c")
    with pytest.raises(PathInvalid):
        fs.copy("/", "/c")


def test_a_copied_file_replaces_a_file_and_nothing_else(fs: Files) -> None:
    fs.write("/a", b"a" * 100)
    fs.write("/b", b"longer" * 100)
    inode = fs.stat("/b").inode
    fs.copy("/a", "/b")
    assert (fs.read("/b"), fs.stat("/b").inode) == (b"a" * 100, inode)
    fs.copy("/a", "/a")
    assert fs.read("/a") == b"a" * 100
    fs.mkdir("/d")
    with pytest.raises(IsDirectory):
        fs.copy("/a", "/d")
    fs.symlink("a", "/l")
    fs.copy("/l", "/c")
    assert fs.lstat("/c").kind == "file"


def test_usage_counts_what_is_at_and_below(fs: Files) -> None:
    fs.mkdir("/d/e", parents=True)
    fs.write("/d/f", b"12345")
    fs.write("/d/e/g", b"12345")
    fs.symlink("f", "/d/l")
    fs.write("/other", b"1")
    assert fs.usage("/d") == Usage(files=2, directories=2, links=1, bytes=10)
    assert fs.usage("/d/f") == Usage(files=1, directories=0, links=0, bytes=5)
    assert fs.usage() == Usage(files=3, directories=3, links=1, bytes=11)


def test_a_tree_deeper_than_python_recurses_is_walked_copied_and_removed(fs: Files) -> None:
    deep = "/d" * 1200
    fs.mkdir(deep, parents=True)
    fs.write(deep + "/f", b"x")
    assert sum(1 for _ in fs.walk()) == 1201
    assert fs.glob("**/f") == [deep + "/f"]
    fs.copy("/d", "/c")
    assert fs.read("/c" + deep[2:] + "/f") == b"x"
    fs.remove_tree("/d")
    assert fs.listdir() == ["c"]


# -- errors ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("act", "builtin", "code"),
    [
        (lambda fs: fs.read("/no"), FileNotFoundError, errno.ENOENT),
        (lambda fs: fs.symlink("x", "/d"), FileExistsError, errno.EEXIST),
        (lambda fs: fs.read("/d"), IsADirectoryError, errno.EISDIR),
        (lambda fs: fs.listdir("/d/f"), NotADirectoryError, errno.ENOTDIR),
        (lambda fs: fs.rmdir("/d"), OSError, errno.ENOTEMPTY),
        (lambda fs: fs.read("/" + "n" * 256), OSError, errno.ENAMETOOLONG),
        (lambda fs: fs.rename("/d", "/d/e"), OSError, errno.EINVAL),
    ],
)
def test_errors_are_the_builtins_with_posix_codes_and_survive_pickling(
    fs: Files, act: Callable[[Files], object], builtin: type[OSError], code: int
) -> None:
    fs.mkdir("/d")
    fs.write("/d/f", b"")
    with pytest.raises(builtin) as caught:
        act(fs)
    again = pickle.loads(pickle.dumps(caught.value))
    for error in (caught.value, again):
        assert isinstance(error, FileError)
        assert error.errno == code
        assert error.filename == error.path
        assert error.path in str(error) or error.errno == errno.ENAMETOOLONG
        assert error.strerror == error.message
    assert type(again) is type(caught.value)
