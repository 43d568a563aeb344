"""Directories and their replicas meet again: what lagged is uploaded, what forked is refused."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from storage import Store
from storage.clone import clone
from storage.compact import Compaction
from storage.errors import (
    BookmarkGone,
    NoState,
    ObjectStoreFailed,
    StateFormat,
    StateStale,
)
from storage.objects import ObjectStore
from storage.replica.lineage import NAME
from storage.testing.objects import FaultyStore, MemoryStore, StoreCall
from tests.storage.kit import image, put, read
from tests.storage.test_restore import restore


@pytest.fixture
def objects() -> MemoryStore:
    return MemoryStore()


def at(store: Store, name: str) -> object:
    return read(store.root("K", name))


def filled(folder: Path, objects: ObjectStore, names: Iterable[str]) -> dict[str, object]:
    """What a new directory has of these actors."""
    shutil.rmtree(folder / "filled", ignore_errors=True)
    store = Store.open(folder / "filled", replica=objects)
    found = {name: at(store, name) for name in names}
    store.close()
    return found


def cloned(store: Store, source: str, target: str) -> None:
    graft = clone(store, store.root("K", source), store.root("K", target))
    graft.work()
    graft.finish()
    store.sync()


class Cut:
    """A store that no log slot reaches while it is `on`."""

    def __init__(self) -> None:
        self.on = False

    def __call__(self, call: StoreCall) -> None:
        if self.on and call.method == "create" and call.key.startswith("log/"):
            raise ObjectStoreFailed("cut off", url="", key=call.key, cause="test")


def lagging(folder: Path, objects: MemoryStore, act: Callable[[Store], object]) -> Path:
    """A directory killed after `act`, of which the replica has heard nothing."""
    cut = Cut()
    store = Store.open(folder / "a", replica=FaultyStore(objects, cut))
    put(store.root("K", "a"), 1)
    store.sync()
    assert store.replica is not None
    store.replica.close()
    store.close()
    store = Store.open(folder / "a", replica=FaultyStore(objects, cut))
    cut.on = True
    act(store)
    store.sync()
    killed = image(store.directory)
    store.close()
    return killed


def test_a_clone_that_the_log_lacks_is_uploaded_with_its_file(
    memory: Path, objects: MemoryStore
) -> None:
    def act(store: Store) -> None:
        cloned(store, "a", "b")
        put(store.root("K", "b"), 2)

    Store.open(lagging(memory, objects, act), replica=objects).close()

    assert filled(memory, objects, "ab") == {"a": 1, "b": 2}


def test_a_clone_made_without_the_replica_is_uploaded_with_its_file(
    memory: Path, objects: MemoryStore
) -> None:
    store = Store.open(memory / "a", replica=objects)
    put(store.root("K", "a"), 1)
    store.close()
    store = Store.open(memory / "a")
    cloned(store, "a", "b")
    killed = image(store.directory)
    store.close()

    Store.open(killed, replica=objects).close()

    assert filled(memory, objects, "ab") == {"a": 1, "b": 1}


def test_a_file_that_a_crash_left_and_no_record_names_is_not_uploaded(
    memory: Path, objects: MemoryStore
) -> None:
    store = Store.open(memory / "a")
    put(store.root("K", "a"), 1)
    store.close()
    store = Store.open(memory / "a")  # whose journal no longer has the beginning
    job = Compaction(store, store.root("K", "a"))
    job.work()
    put(store.root("K", "a"), 2)
    store.sync()
    killed = image(store.directory)
    job.cancel()
    store.close()

    Store.open(killed, replica=objects).close()

    assert filled(memory, objects, "a") == {"a": 2}


@pytest.mark.parametrize("behind", [1, 2, 3])
def test_a_directory_that_lagged_when_another_went_on_is_refused(
    memory: Path, objects: MemoryStore, behind: int
) -> None:
    def act(store: Store) -> None:
        for n in range(behind):
            put(store.root("K", "a"), ["lost", n])

    killed = lagging(memory, objects, act)
    other = Store.open(memory / "other", replica=objects)
    put(other.root("K", "a"), "acknowledged 1")
    put(other.root("K", "a"), "acknowledged 2")
    other.close()

    with pytest.raises(StateStale):
        Store.open(killed, replica=objects)
    with pytest.raises(StateStale):  # still: having been refused is no credit
        Store.open(killed, replica=objects)
    assert filled(memory, objects, "a") == {"a": "acknowledged 2"}


def test_a_directory_goes_on_when_another_only_looked(memory: Path, objects: MemoryStore) -> None:
    killed = lagging(memory, objects, lambda store: put(store.root("K", "a"), 2))
    assert filled(memory, objects, "a") == {"a": 1}

    Store.open(killed, replica=objects).close()

    assert filled(memory, objects, "a") == {"a": 2}


def test_a_directory_that_was_never_in_a_replica_does_not_join_a_full_one(
    memory: Path, objects: MemoryStore
) -> None:
    store = Store.open(memory / "a", replica=objects)
    put(store.root("K", "a"), 1)
    store.close()
    stranger = Store.open(memory / "stranger")
    for n in range(5):
        put(stranger.root("K", "a"), n)
    stranger.close()

    with pytest.raises(StateStale):
        Store.open(memory / "stranger", replica=objects)


def test_the_note_of_a_directory_that_is_damaged_is_an_error(
    memory: Path, objects: MemoryStore
) -> None:
    store = Store.open(memory / "a", replica=objects)
    put(store.root("K", "a"), 1)
    store.close()
    (memory / "a" / NAME).write_bytes(b"{")

    with pytest.raises(StateFormat):
        Store.open(memory / "a", replica=objects)


def test_a_filled_directory_does_not_take_the_present_for_its_past(
    memory: Path, objects: MemoryStore
) -> None:
    store = Store.open(memory / "a", replica=objects)
    put(store.root("K", "a"), 1)
    old = store.bookmark()
    put(store.root("K", "a"), 2)
    store.close()
    store = Store.open(memory / "b", replica=objects)
    here = store.bookmark()
    put(store.root("K", "a"), 3)
    put(store.root("K", "new"), 1)

    for name in ("a", "new"):
        with pytest.raises(BookmarkGone):
            restore(store, store.root("K", name), old)
    with pytest.raises(NoState):
        restore(store, store.root("K", "new"), here)
    restore(store, store.root("K", "a"), here)
    assert at(store, "a") == 2
    store.close()

    store = Store.open(memory / "b", replica=objects)  # and it remembers
    with pytest.raises(BookmarkGone):
        restore(store, store.root("K", "a"), old)
    store.close()


class Slow:
    """A store whose every call takes some seconds of the machine's clock."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seconds = 0.0
        self._now = 1000.0
        monkeypatch.setattr(time, "clock_gettime", lambda clock: self._now)

    def __call__(self, call: StoreCall) -> None:
        if call.moment == "before":
            self._now += self.seconds


@pytest.mark.parametrize("seconds", [1.0, 3.5])
def test_an_opening_may_take_longer_than_the_lease(
    memory: Path, objects: MemoryStore, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    clock = Slow(monkeypatch)

    def act(store: Store) -> None:
        for n in range(5):
            put(store.root("K", f"b{n}"), n)

    lagging_one = lagging(memory, objects, act)
    for folder in (lagging_one, memory / "filled"):
        clock.seconds = seconds
        store = Store.open(folder, replica=FaultyStore(objects, clock))
        clock.seconds = 0.0
        assert store.replica is not None
        assert store.replica.lost is None
        put(store.root("K", "last"), 1)
        store.sync()
        store.close()
    assert filled(memory, objects, ["a", "b4", "last"]) == {"a": 1, "b4": 4, "last": 1}
