"""The file system of a science interpreter: in memory, bounded, and confined to itself."""

from __future__ import annotations

import errno

import pytest

from facets.isolates.science import files
from facets.isolates.science.files import ROOT, Failed, Files, Library

LIBRARY = Library(
    {"/lib/a.zip": b"zip", "/lib/a.zip/x/data/f": b"font", "/lib/m.py": b"code"},
    hidden={"/lib/a.zip/x"},
)


@pytest.fixture
def tree() -> Files:
    return Files(LIBRARY, 1_000)


def write(tree: Files, path: str, data: bytes = b"") -> int:
    number = tree.open(path, create=True, exclusive=False, empty=True, write=True)
    tree.write(number, data)
    return number


def look(tree: Files, path: str) -> int:
    return tree.open(path, create=False, exclusive=False, empty=False, write=False)


def refused(code: int, action: object, *args: object, **kwargs: object) -> None:
    with pytest.raises(Failed) as caught:
        action(*args, **kwargs)  # type: ignore[operator]
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        (b"etc/passwd", "/etc/passwd"),
        (b"../../../etc/passwd", "/etc/passwd"),
        (b"/etc/passwd", "/etc/passwd"),
        (b"//etc//passwd/", "/etc/passwd"),
        (b"tmp/./x/../y", "/tmp/y"),
        (b".", "/"),
        (b"", "/"),
        (b"\xff", "/\udcff"),
    ],
)
def test_a_path_is_only_a_name_in_the_table(tree: Files, path: bytes, meant: str) -> None:
    assert tree.path(ROOT, path) == meant


def test_what_is_not_in_the_table_is_not_there(tree: Files) -> None:
    for path in ("/etc/passwd", "/proc/self/mem", "/lib/a.zip/x", "/lib/a.zip/y"):
        refused(errno.ENOENT, look, tree, path)
    refused(errno.ENAMETOOLONG, tree.path, ROOT, b"x" * 2_000)


def test_the_library_can_be_read_and_not_be_changed(tree: Files) -> None:
    number = look(tree, "/lib/m.py")
    assert tree.read(number, 2) == b"co"
    assert tree.read(number, 100) == b"de"
    assert tree.read(number, 100, 1) == b"ode"
    assert tree.find("/lib/a.zip/x/data/f") == b"font"
    assert tree.at(look(tree, "/lib/a.zip/x/data")).names == ["f"]
    assert tree.at(look(tree, "/lib")).names == ["a.zip", "m.py"]
    refused(errno.EBADF, tree.write, number, b"x")
    refused(errno.EROFS, tree.remove, "/lib/m.py")
    refused(errno.EROFS, tree.rename, "/lib/m.py", "/tmp/m.py")
    refused(errno.EROFS, write, tree, "/lib/m.py")
    refused(errno.EEXIST, tree.make_folder, "/lib/m.py")


def test_files_are_made_read_moved_and_removed(tree: Files) -> None:
    tree.make_folder("/tmp/d")
    tree.close(write(tree, "/tmp/d/a", b"hello"))
    tree.rename("/tmp/d/a", "/tmp/b")
    number = look(tree, "/tmp/b")
    assert tree.read(number, 9) == b"hello"
    assert tree.at(look(tree, "/tmp")).names == ["b", "d"]
    tree.remove_folder("/tmp/d")
    tree.remove("/tmp/b")
    refused(errno.ENOENT, look, tree, "/tmp/b")
    refused(errno.ENOENT, write, tree, "/tmp/none/x")
    refused(errno.ENOTEMPTY, tree.remove_folder, "/")
    refused(errno.EISDIR, tree.remove, "/tmp")
    refused(errno.EISDIR, tree.read, look(tree, "/tmp"), 1)


def test_appending_seeking_and_cutting(tree: Files) -> None:
    number = write(tree, "/tmp/a", b"12345")
    tree.at(number).appends = True
    tree.at(number).position = 0
    tree.write(number, b"6")
    assert tree.find("/tmp/a") == b"123456"
    tree.resize(number, 2)
    tree.resize(number, 4)
    assert tree.find("/tmp/a") == b"12\0\0"
    tree.at(number).appends = False
    tree.write(number, b"x", 1)
    assert tree.find("/tmp/a") == b"1x\0\0"
    refused(errno.EEXIST, tree.open, "/tmp/a", create=True, exclusive=True, empty=False, write=True)


def test_what_is_written_is_bounded_whoever_holds_it(tree: Files) -> None:
    number = write(tree, "/tmp/a", bytes(900))
    refused(errno.ENOSPC, tree.write, number, bytes(101))
    refused(errno.ENOSPC, tree.resize, number, 1 << 40)
    tree.remove("/tmp/a")
    other = write(tree, "/tmp/b")
    refused(errno.ENOSPC, tree.write, other, bytes(101))  # its descriptor still holds the first
    tree.close(number)
    tree.write(other, bytes(1_000))
    tree.rename("/tmp/b", "/tmp/c")
    write(tree, "/tmp/c")
    tree.write(look_for_writing(tree, "/tmp/c"), bytes(1_000))


def look_for_writing(tree: Files, path: str) -> int:
    return tree.open(path, create=False, exclusive=False, empty=False, write=True)


def test_files_and_descriptors_are_bounded(tree: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "ENTRIES", 10)
    for number in range(20):
        try:
            tree.close(write(tree, f"/tmp/{number}"))
        except Failed as failed:
            assert failed.code == errno.ENOSPC
            break
    else:
        pytest.fail("20 files of 10")
    for _ in range(files.OPEN - 1):
        look(tree, "/lib/m.py")
    refused(errno.EMFILE, look, tree, "/lib/m.py")
    refused(errno.EBADF, tree.read, 999, 1)
    refused(errno.EBADF, tree.close, 999)
