"""The directory: ours, of this version, with one owner."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from storage import Store
from storage.disk import Disk
from storage.errors import StateFormat, StateInUse, StorageFull
from storage.format import FORMAT, check_format
from storage.layout import Layout

from .kit import BadDisk, CutDisk, PowerCut, descriptors, put, read
from .kit import small_files as small_files


def test_an_empty_directory_becomes_ours(tmp_path: Path) -> None:
    Store.open(tmp_path / "new" / "deep").close()

    assert (tmp_path / "new" / "deep" / "format").read_text() == FORMAT


def test_the_folder_of_a_new_file_system_is_no_foreign_content(tmp_path: Path) -> None:
    (tmp_path / "lost+found").mkdir()

    Store.open(tmp_path).close()


def test_a_directory_with_other_files_is_refused_and_untouched(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("precious")

    with pytest.raises(StateFormat, match="not empty"):
        Store.open(tmp_path)

    assert (tmp_path / "thesis.txt").read_text() == "precious"
    assert {one.name for one in tmp_path.iterdir()} == {"thesis.txt", "lock"}


@pytest.mark.parametrize("folder", ["db", "journal"])
def test_a_state_without_its_format_file_is_refused(tmp_path: Path, folder: str) -> None:
    (tmp_path / folder).mkdir()
    (tmp_path / folder / "x").write_bytes(b"x")

    with pytest.raises(StateFormat):
        Store.open(tmp_path)


@pytest.mark.parametrize("content", ["facets state 1\n", "facets state 999\n", "", "\x00\xff"])
def test_another_format_is_refused(tmp_path: Path, content: str) -> None:
    Store.open(tmp_path).close()
    (tmp_path / "format").write_text(content)

    with pytest.raises(StateFormat):
        Store.open(tmp_path)


def test_a_first_opening_may_be_cut_after_each_of_its_operations(
    tmp_path: Path, small_files: None
) -> None:
    for after in range(100):
        root = tmp_path / str(after)
        try:
            Store.open(root, disk=CutDisk(after, torn=True)).close()
        except PowerCut:
            store = Store.open(root)
            put(store.root("K", "a"), 1)
            store.close()
        else:
            break
    assert after > 8


def test_making_a_directory_ours_again_changes_nothing(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    put(store.root("K", "a"), 1)
    store.close()

    check_format(Layout(tmp_path), Disk())

    store = Store.open(tmp_path)
    assert read(store.root("K", "a")) == 1
    store.close()


def test_a_second_owner_learns_who_the_first_is(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    with pytest.raises(StateInUse) as caught:
        Store.open(tmp_path)
    assert caught.value.pid == os.getpid()

    store.close()
    Store.open(tmp_path).close()


@pytest.mark.parametrize("step", ["open", "write", "sync"])
def test_a_directory_without_room_is_let_go(tmp_path: Path, step: str) -> None:
    disk = BadDisk()
    disk.fails = lambda name, _path: name == step
    before = descriptors()

    with pytest.raises(StorageFull):
        Store.open(tmp_path, disk=disk)

    assert descriptors() == before
    Store.open(tmp_path).close()


@pytest.mark.parametrize("step", ["open", "write", "sync", "unlink"])
def test_a_recovery_without_room_leaves_everything_to_the_next(tmp_path: Path, step: str) -> None:
    store = Store.open(tmp_path)
    put(store.root("K", "a"), 1)
    store.close()
    disk = BadDisk()
    disk.fails = lambda name, _path: name == step
    before = descriptors()

    with pytest.raises(StorageFull):
        Store.open(tmp_path, disk=disk)

    assert descriptors() == before
    store = Store.open(tmp_path)
    assert read(store.root("K", "a")) == 1
    store.close()


def test_a_damaged_catalogue_lets_the_directory_go(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    put(store.root("K", "a"), 1)
    store.tend(everything=True)
    store.close()
    Store.open(tmp_path).close()
    good = (tmp_path / "catalogue.db").read_bytes()
    (tmp_path / "catalogue.db").write_bytes(b"x" * len(good))
    before = descriptors()

    with pytest.raises(Exception, match=r"catalogue\.db"):
        Store.open(tmp_path)

    assert descriptors() == before
    (tmp_path / "catalogue.db").write_bytes(good)
    store = Store.open(tmp_path)
    assert read(store.root("K", "a")) == 1
    store.close()
