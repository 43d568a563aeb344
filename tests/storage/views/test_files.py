"""A view of files shows what is below its root, and no way leads out of it."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from storage.database import Database
from storage.errors import FileDenied, FileMissing, LinkLoop, NotDirectory, PathInvalid
from storage.views import FileView


@pytest.fixture
def view(database: Database) -> FileView:
    fs = database.fs
    for path in ("/docs/sub", "/secret"):
        fs.mkdir(path, parents=True)
    fs.write("/docs/a.txt", b"a\n")
    fs.write("/docs/sub/b.txt", b"b\n")
    fs.write("/secret/key", b"key")
    fs.symlink("/secret/key", "/docs/key")
    fs.symlink("../secret", "/docs/out")
    fs.symlink("/secret/new", "/docs/new")
    fs.symlink("sub", "/docs/in")
    fs.symlink("/docs/a.txt", "/docs/sub/a")
    fs.symlink("loop", "/docs/loop")
    database.commit()
    return fs.view("/docs", "rw")


def test_paths_begin_at_the_root_of_the_view(view: FileView) -> None:
    assert view.read("/a.txt") == b"a\n"
    assert view.read_text("sub/b.txt") == "b\n"
    assert view.listdir("/sub") == ["a", "b.txt"]
    assert view.glob("/**/*.txt") == ["/a.txt", "/sub/b.txt"]
    assert [(one.name, one.path) for one in view.scandir("/sub")][1] == ("b.txt", "/sub/b.txt")
    assert view.stat("/a.txt").size == 2
    assert view.is_dir("/")
    assert view.is_file("/a.txt")
    assert not view.exists("/secret")
    assert "-a" in view.diff("/a.txt", "/sub/b.txt")


@pytest.mark.parametrize("path", ["/..", "../..", "/../secret/key", "sub/../../secret/key"])
def test_dots_stay_below_the_root(view: FileView, path: str) -> None:
    assert view.exists(path) is (path in ("/..", "../.."))
    if not view.exists(path):
        with pytest.raises(FileMissing):
            view.read(path)


def test_links_that_stay_below_the_root_are_followed(view: FileView) -> None:
    assert view.read("/in/b.txt") == b"b\n"
    assert view.read("/sub/a") == b"a\n"
    assert view.listdir("/in") == ["a", "b.txt"]


ATTACKS: dict[str, Any] = {
    "read": lambda view: view.read("/key"),
    "read through a directory": lambda view: view.read("/out/key"),
    "list": lambda view: view.listdir("/out"),
    "scan": lambda view: view.scandir("/out"),
    "stat": lambda view: view.stat("/key"),
    "exists": lambda view: view.exists("/out/key"),
    "is_file": lambda view: view.is_file("/key"),
    "diff": lambda view: view.diff("/a.txt", "/key"),
    "write": lambda view: view.write("/key", b"x"),
    "write through a directory": lambda view: view.write("/out/key", b"x"),
    "write what a link promises": lambda view: view.write("/new", b"x"),
    "append": lambda view: view.append("/key", b"x"),
    "write_at": lambda view: view.write_at("/new", 0, b"x"),
    "truncate": lambda view: view.truncate("/key"),
    "unlink": lambda view: view.unlink("/out/key"),
    "unlink the link": lambda view: view.unlink("/key"),
    "remove_tree": lambda view: view.remove_tree("/out"),
    "mkdir": lambda view: view.mkdir("/out/x"),
    "mkdir with parents": lambda view: view.mkdir("/out/x/y/z", parents=True),
    "rename out": lambda view: view.rename("/a.txt", "/out/a.txt"),
    "rename in": lambda view: view.rename("/out/key", "/key2"),
    "copy out": lambda view: view.copy("/a.txt", "/out/a.txt"),
    "copy in": lambda view: view.copy("/key", "/key2"),
    "copy over a link": lambda view: view.copy("/a.txt", "/key"),
    "dots behind a link": lambda view: view.read("/out/../secret/key"),
}


@pytest.mark.parametrize("attack", [*ATTACKS])
def test_no_way_leads_out(view: FileView, database: Database, attack: str) -> None:
    with pytest.raises((FileDenied, FileMissing)) as caught:
        ATTACKS[attack](view)

    assert "docs" not in str(caught.value)
    database.rollback()
    fs = database.fs
    assert fs.read("/secret/key") == b"key"
    assert fs.listdir("/secret") == ["key"]


def test_a_glob_through_a_link_finds_nothing(view: FileView) -> None:
    assert view.glob("/out/*") == []
    assert view.glob("/../secret/*") == []
    assert view.glob("/*/key") == []


@pytest.mark.parametrize("method", ["remove_tree", "rmdir", "unlink"])
def test_the_root_stays_where_it_is(view: FileView, method: str) -> None:
    for path in ("/", "", "sub/..", "/."):
        with pytest.raises(PathInvalid):
            getattr(view, method)(path or "/..")
    with pytest.raises(PathInvalid):
        view.rename("/", "/sub/x")
    with pytest.raises(PathInvalid):
        view.copy("/sub", "/")


def test_a_view_for_reading_changes_nothing(database: Database, view: FileView) -> None:
    reader = database.fs.view("/docs")
    for method in FileView.WRITES:
        assert method not in reader.methods
        arguments = {"write_text": ("/x", "x"), "write_at": ("/x", 0, b"")}.get(method, ("/x",))
        if method in ("write", "append", "rename", "copy"):
            arguments = ("/x", b"x") if method in ("write", "append") else ("/a.txt", "/x")
        with pytest.raises(PermissionError, match="reading only"):
            getattr(reader, method)(*arguments)


def test_a_view_for_writing_writes(view: FileView, database: Database) -> None:
    assert view.write("/new.bin", b"12345") == 5
    assert view.append("/new.bin", b"6") == 6
    view.mkdir("/x/y", parents=True)
    view.rename("/new.bin", "/x/y/new.bin")
    view.copy("/x", "/z")

    assert database.fs.read("/docs/z/y/new.bin") == b"123456"


def test_errors_name_paths_as_they_are_seen(view: FileView) -> None:
    with pytest.raises(FileMissing, match="'/nothing'") as caught:
        view.read("/nothing")

    assert caught.value.path == "/nothing"
    with pytest.raises(NotDirectory):
        view.read("/a.txt/x")
    with pytest.raises(LinkLoop):
        view.read("/loop")


def test_a_root_that_is_gone_or_never_was_shows_nothing(database: Database) -> None:
    view = database.fs.view("/nowhere", "rw")

    assert view.exists("/") is False
    with pytest.raises(FileMissing):
        view.listdir()
    with pytest.raises(FileMissing):
        view.write("/x", b"")
    assert not database.has_file or database.fs.listdir() == []


def test_a_root_that_became_a_link_leads_where_it_leads(view: FileView, database: Database) -> None:
    """The view is of the path: whoever may replace its root may choose what it shows."""
    database.fs.rename("/docs", "/old")
    database.fs.symlink("/old/sub", "/docs")

    assert view.listdir("/") == ["a", "b.txt"]


def test_large_files_are_read_in_parts(view: FileView, database: Database) -> None:
    database.fs.write("/docs/large", bytes(17 << 20))

    with pytest.raises(PathInvalid, match="in parts"):
        view.read("/large")
    assert len(view.read("/large", 16 << 20)) == 1 << 20
    assert len(view.read("/large", 0, 1 << 30)) == 16 << 20


def test_a_view_is_not_data(view: FileView) -> None:
    with pytest.raises(TypeError, match="reference"):
        pickle.dumps(view)
    with pytest.raises(ValueError, match="mode"):
        view.database.fs.view("/docs", "w")  # type: ignore[arg-type]
