"""The sweep: what nobody can reach goes, and nothing else does."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from storage import FileLimits, HistoryLimits, Store
from storage.archive import Export, import_
from storage.clone import clone
from storage.database import Database
from storage.disk import Disk
from storage.errors import DatabaseCorrupt, ObjectMissing, ObjectStoreFailed
from storage.history import Bookmark
from storage.restore import Restore
from storage.spilled import PREFIX, Generation, Spilled
from storage.sweep import Sweep, sweep_now
from storage.testing.objects import FaultyStore, MemoryStore, StoreCall, fail
from tests.storage.kit import crashed

FORGETFUL = HistoryLimits(age=0.0)
"""Nothing of the past is kept."""
MIB = 1 << 20


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a step has put may go as soon as the step is over."""
    monkeypatch.setattr("storage.spilled.GRACE", 0.0)


def opened(state: Path, history: HistoryLimits = FORGETFUL) -> Store:
    return Store.open(state, history=history, files=FileLimits(inline=1000))


@pytest.fixture
def store(state: Path) -> Iterator[Store]:
    store = opened(state)
    yield store
    store.close()


@pytest.fixture
def remembering(state: Path) -> Iterator[Store]:
    store = opened(state, HistoryLimits())
    yield store
    store.close()


def keep(database: Database, n: int, path: str = "/f") -> None:
    """A file of one large content of its own."""
    database.fs.write(path, bytes([n]) * MIB)
    database.commit()


def drop(database: Database, path: str = "/f") -> None:
    database.fs.unlink(path)
    database.commit()


def content(database: Database, path: str = "/f") -> int:
    found = database.fs.read(path)
    database.rollback()
    assert len(found) == MIB
    return found[0]


def there(store: Store) -> int:
    return len(store.objects.list(PREFIX))


def restore(store: Store, database: Database, bookmark: Bookmark) -> None:
    job = Restore(store, database, bookmark)
    job.work()
    job.finish()


def test_what_no_database_and_no_past_names_goes(store: Store) -> None:
    root = store.root("K", "a")
    keep(root, 1)
    keep(root, 2, "/g")
    drop(root)

    assert sweep_now(store) == 1
    assert there(store) == 1
    assert content(root, "/g") == 2
    assert sweep_now(store) == 0


def test_what_a_deleted_actor_left_goes(store: Store) -> None:
    keep(store.root("K", "a"), 1)
    keep(store.root("K", "a").child("leaf"), 2)
    store.root("K", "a").delete()

    assert sweep_now(store) == 2


def test_what_a_bookmark_leads_to_stays(remembering: Store) -> None:
    store = remembering
    root = store.root("K", "a")
    keep(root, 1)
    mark = store.bookmark()
    drop(root)

    assert [sweep_now(store) for _ in range(3)] == [0, 0, 0]
    restore(store, root, mark)
    assert content(root) == 1


def test_what_only_a_past_named_goes_when_that_is_forgotten(state: Path) -> None:
    store = opened(state, HistoryLimits())
    keep(store.root("K", "a"), 1)
    drop(store.root("K", "a"))
    assert sweep_now(store) == 0
    store.close()

    again = opened(state)
    assert sweep_now(again) == 1
    again.close()


def test_a_candidate_named_again_and_given_up_again_waits_anew(state: Path) -> None:
    store = opened(state, HistoryLimits())
    other = store.root("K", "b")
    keep(other, 9)
    root = store.root("K", "a")
    keep(root, 1)
    drop(root)
    assert sweep_now(store) == 0
    (first,) = store.objects._generations
    keep(root, 1)  # the same content
    mark = store.bookmark()
    drop(root)

    assert sweep_now(store) == 0
    found = store.objects._generations
    assert not found or found[0].bookmark > mark > first.bookmark
    restore(store, root, mark)
    assert content(root) == 1
    store.close()


@pytest.mark.parametrize("way", ["clone", "restore", "import"])
def test_what_is_put_in_place_while_a_sweep_looks_is_safe(
    remembering: Store, tmp_path: Path, way: str
) -> None:
    """The source is looked at when it names the content no more, the target before it does."""
    store = remembering
    target, source = store.root("K", "a"), store.root("K", "b")
    keep(target, 9)
    keep(source, 1)
    mark = store.bookmark()
    finish = made(store, way, source, target, mark, tmp_path)
    drop(source)
    store.chronicler.archive.limits = FORGETFUL
    sweep = Sweep(store)
    sweep.begin()
    look_at_all(sweep)
    finish()
    sweep.mark()
    sweep.end()

    assert sweep.removed <= 1
    assert content(source if way == "restore" else target) == 1


def made(
    store: Store, way: str, source: Database, target: Database, mark: Bookmark, folder: Path
) -> Callable[[], object]:
    """Something on its way that names what the source does."""
    if way == "restore":
        job = Restore(store, source, mark)
        job.work()
        return job.finish
    if way == "clone":
        graft = clone(store, source, target)
    else:
        export = Export(store, source, folder / "a.tar")
        export.work()
        export.close()
        graft = import_(store, folder / "a.tar", target)
    graft.work()
    return graft.finish


def look_at_all(sweep: Sweep) -> None:
    while rows := sweep.next():
        for row in rows:
            work = sweep.look(row)
            assert work
            if callable(work):
                work()
            sweep.leave()


def test_nothing_goes_while_something_is_on_its_way(store: Store, tmp_path: Path) -> None:
    root = store.root("K", "a")
    keep(root, 1)
    export = Export(store, root, tmp_path / "a.tar")
    drop(root)

    assert sweep_now(store) == 0
    export.work()
    export.close()
    assert sweep_now(store) == 1
    graft = import_(store, tmp_path / "a.tar", root)
    graft.work()
    graft.finish()
    assert content(root) == 1


def test_an_actor_in_a_step_is_looked_at_when_that_is_over(store: Store) -> None:
    root = store.root("K", "a")
    keep(root, 9, "/g")
    sweep = Sweep(store)
    sweep.begin()
    (row,) = sweep.next()
    root.fs.write("/f", bytes([1]) * MIB)
    assert sweep.look(row) is False
    root.commit()
    assert sweep.look(row) is True
    sweep.mark()
    sweep.end()

    assert content(root) == 1


def test_a_content_put_before_its_first_row_is_safe(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.spilled.GRACE", 3600.0)
    root = store.root("K", "a")
    keep(root, 9, "/g")
    data = bytes([1]) * MIB
    digest = root.fs._chunks.put(data)  # as a stream does, on its thread
    assert sweep_now(store) == 0
    assert root.fs._chunks.get(digest) == data


def test_a_database_that_cannot_be_read_lets_nothing_go(state: Path) -> None:
    store = opened(state)
    keep(store.root("K", "a"), 1)
    drop(store.root("K", "a"))
    keep(store.root("K", "b"), 2)
    store.tend(everything=True)
    path = store.root("K", "b").path
    assert path is not None
    store.close()

    again = opened(state)
    path.write_bytes(path.read_bytes()[:100] + b"\xff" * (path.stat().st_size - 100))
    with pytest.raises(DatabaseCorrupt):
        sweep_now(again)
    assert there(again) == 2
    again.close()


def test_a_put_waits_for_the_deletion_of_the_same_content(tmp_path: Path) -> None:
    """And the other way round: what was put is not deleted."""
    memory = MemoryStore()
    reached, go = threading.Event(), threading.Event()

    def hook(call: StoreCall) -> None:
        if (call.method, call.moment) == ("delete", "before"):
            reached.set()
            assert go.wait(20)

    spilled = Spilled(FaultyStore(memory, hook), Disk(), tmp_path)
    memory.put("files/aa/x", b"old")
    spilled.settle({"files/aa/x"}, 0.0, Generation(1, 1, 1, ()))
    deleting = threading.Thread(target=partial(spilled.remove, "files/aa/x"))
    deleting.start()
    assert reached.wait(20)
    putting = threading.Thread(target=partial(spilled.put, "files/aa/x", b"new"))
    putting.start()
    go.set()
    deleting.join()
    putting.join()
    assert memory.get("files/aa/x") == b"new"
    assert not spilled.remove("files/aa/x")
    again = Spilled(memory, Disk(), tmp_path)
    assert again._generations == ()


def test_candidates_outlive_the_process(remembering: Store) -> None:
    root = remembering.root("K", "a")
    keep(root, 1)
    drop(root)
    sweep_now(remembering)
    with crashed(remembering) as again:
        assert again.objects._generations == remembering.objects._generations != ()


# -- in a replica -----------------------------------------------------------------------


@pytest.fixture
def replicated(state: Path) -> Iterator[tuple[Store, MemoryStore]]:
    objects = MemoryStore()
    store = Store.open(
        state, history=FORGETFUL, files=FileLimits(inline=1000), replica=objects, host="h"
    )
    assert store.replica is not None
    store.replica._compactor._grace = 0.0
    yield store, objects
    store.close()


def compact(store: Store) -> None:
    """As the replica does by itself when somebody waits for it."""
    replica = store.replica
    assert replica is not None
    store.sync()
    replica._log.wait(store.durable)
    replica._compactor.compact(replica._image)


def test_what_the_replica_may_be_restored_to_stays(
    replicated: tuple[Store, MemoryStore],
) -> None:
    store, _ = replicated
    root = store.root("K", "a")
    keep(root, 1)
    compact(store)
    drop(root)

    assert sweep_now(store) == 0  # the newest manifest has it
    compact(store)
    assert sweep_now(store) == 1
    assert there(store) == 0


def test_an_older_incarnation_cannot_delete_what_a_newer_one_put(
    replicated: tuple[Store, MemoryStore], tmp_path: Path
) -> None:
    store, objects = replicated
    root = store.root("K", "a")
    keep(root, 1)
    drop(root)
    compact(store)
    (key,) = store.objects.list(PREFIX)
    newer = Store.open(tmp_path / "b", files=FileLimits(inline=1000), replica=objects, host="h")
    keep(newer.root("K", "a"), 1)
    newer.sync()

    store.objects.delete(key)  # a request that was under way when the lease went
    assert content(newer.root("K", "a")) == 1
    with pytest.raises(ObjectMissing):
        objects.get(f"objects/h/{1:010}/{key}")
    newer.close()


def test_large_contents_from_before_the_replica_are_in_it(state: Path, tmp_path: Path) -> None:
    store = opened(state)
    keep(store.root("K", "a"), 1)
    store.close()
    objects = MemoryStore()
    Store.open(state, replica=objects).close()

    copy = Store.open(tmp_path / "b", replica=objects)
    assert content(copy.root("K", "a")) == 1
    copy.close()


def test_an_opening_that_cannot_bring_contents_to_the_replica_can_be_repeated(
    state: Path,
) -> None:
    store = opened(state)
    keep(store.root("K", "a"), 1)
    store.close()
    objects = MemoryStore()

    def refuse(call: StoreCall) -> None:
        if call.method == "put" and call.key.startswith("objects/"):
            fail(call)

    with pytest.raises(ObjectStoreFailed):
        Store.open(state, replica=FaultyStore(objects, refuse))
    again = Store.open(state, replica=objects)
    assert content(again.root("K", "a")) == 1
    again.close()
