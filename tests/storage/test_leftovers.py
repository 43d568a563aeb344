"""What a crash leaves is removed by the next opening, and nothing else is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from storage import Store
from storage.clone import clone
from storage.database import Database
from storage.doctor import examine
from storage.errors import StorageError
from storage.graft import Graft
from storage.restore import Restore
from tests.storage.kit import CutDisk, PowerCut, crashed, image, put, read
from tests.storage.kit import small_files as small_files


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store.open(tmp_path / "state")
    put(store.root("K", "a"), 1)
    put(store.root("K", "a").child("leaf"), 1)
    store.sync()
    yield store
    store.close()


def files(root: Path) -> set[str]:
    return {path.name for path in root.glob("db/??/*")}


def cloning(store: Store) -> Graft:
    graft = clone(store, store.root("K", "a"), store.root("K", "b"))
    graft.work()
    return graft


def test_the_files_of_a_graft_without_a_record_are_removed(store: Store) -> None:
    before = files(image(store.directory))
    cloning(store)

    assert len(files(image(store.directory))) > len(before)
    with crashed(store) as again:
        left = {name for name in files(again.directory) if name.endswith(".db")}
        assert left == {name for name in before if name.endswith(".db")}
        assert not (again.directory / "staging").exists()


def test_the_files_of_a_graft_whose_record_is_there_stay(store: Store) -> None:
    cloning(store).finish()
    store._journal.sync()  # and the note is still there

    assert list((store.directory / "staging").glob("*.names"))
    with crashed(store) as again:
        assert read(again.root("K", "b")) == 1
        assert read(again.root("K", "b").child("leaf")) == 1


@pytest.mark.parametrize("end", [Graft.finish, Graft.cancel])
def test_a_graft_that_is_over_leaves_no_note(store: Store, end: Callable[[Graft], object]) -> None:
    graft = cloning(store)
    end(graft)
    store.sync()

    assert not list((store.directory / "staging").iterdir())


def undone(store: Store, root: Database) -> None:
    mark = store.bookmark()
    put(root, 2)
    job = Restore(store, root, mark)
    job.work()
    job.finish()
    put(root, 3)
    cloning(store).finish()
    root.child("leaf").delete()


def test_a_crash_anywhere_leaves_no_file_without_an_actor(store: Store, small_files: None) -> None:
    del small_files
    cut_somewhere = False
    for after in range(0, 120, 4):
        root = image(store.directory, "cut")
        disk = CutDisk(10_000)
        cut = Store.open(root, disk=disk)
        disk.left = after
        try:
            undone(cut, cut.root("K", "a"))
            cut.sync()
        except (PowerCut, StorageError):
            cut_somewhere = True
        cut._lock.release()
        after_it = image(root)
        Store.open(after_it).close()
        assert not [one for one in examine(after_it).findings if "no row" in one.what]
    assert cut_somewhere
