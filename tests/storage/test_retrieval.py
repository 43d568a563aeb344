"""Retrieval cut anywhere: the actor is as it was, or as the replica has it, and never between."""

from __future__ import annotations

from pathlib import Path

import pytest

from storage import Store
from storage.database import Database
from storage.retrieval import Retrieval
from storage.testing.objects import MemoryStore
from tests.storage.kit import CutDisk, PowerCut, image, put, read, whole
from tests.storage.kit import small_files as small_files


@pytest.fixture(scope="module")
def replica(tmp_path_factory: pytest.TempPathFactory) -> MemoryStore:
    """A root and a facet, as another host left them."""
    objects = MemoryStore()
    store = Store.open(tmp_path_factory.mktemp("other") / "state", replica=objects, host="other")
    fill(store, "new")
    store.close()
    return objects


def fill(store: Store, value: str) -> None:
    root = store.root("K", "a")
    put(root, value)
    put(root.child(f"only {value}"), value)
    put(root.child("both"), value)


def state(store: Store) -> dict[str, object]:
    root = store.root("K", "a")
    databases: list[Database] = [root, *(root.child(name) for name in root.children())]
    assert all(whole(one) for one in databases)
    return {one.name: read(one) for one in databases}


OLD = {"a": "old", "only old": "old", "both": "old"}
NEW = {"a": "new", "only new": "new", "both": "new"}


def retrieve(store: Store, replica: MemoryStore) -> None:
    job = Retrieval(store, store.root("K", "a"), replica, "other")
    job.read()
    job.graft().work()
    job.finish()
    store.sync()


@pytest.fixture
def before(tmp_path: Path) -> Path:
    store = Store.open(tmp_path / "state")
    fill(store, "old")
    store.close()
    return tmp_path / "state"


@pytest.mark.usefixtures("small_files")
def test_a_retrieval_cut_anywhere_leaves_the_old_or_the_new(
    before: Path, replica: MemoryStore
) -> None:
    seen = []
    for after in range(1, 400, 3):
        root = image(before, "cut")
        disk = CutDisk(10_000, torn=True)
        store = Store.open(root, disk=disk)
        disk.left = after
        try:
            retrieve(store, replica)
        except PowerCut:
            done = False
        else:
            done = True
        again = Store.open(image(root))
        seen.append(state(again))
        again.close()
        store._lock.release()
        if done:
            break
    assert seen[0] == OLD
    assert seen[-1] == NEW
    assert all(one in (OLD, NEW) for one in seen)
    assert seen == sorted(seen, key=lambda one: one == NEW)


def test_a_retrieval_that_is_called_off_leaves_nothing(before: Path, replica: MemoryStore) -> None:
    store = Store.open(before)
    job = Retrieval(store, store.root("K", "a"), replica, "other")
    job.read()
    job.graft().work()
    job.cancel()

    assert state(store) == OLD
    assert not list((before / "staging").iterdir())
    named = {path.name for path in before.glob("db/??/*.db")}
    store.close()
    assert len(named) == 3
