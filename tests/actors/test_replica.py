"""A runtime whose commits also go to an object store."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

import storage.imaging
from actors import LocalRuntime
from actors.errors import NoReplica, RuntimeClosed
from facets import Actor
from storage.errors import LeaseLost, ObjectStoreFailed, StateStale
from storage.limits import JournalLimits
from storage.objects import FolderStore, ObjectStore, open_store
from storage.replica.shipper import Shipper
from storage.testing.objects import FaultyStore, MemoryStore, StoreCall


class Tally(Actor, kind="ReplicaTally"):
    async def add(self, n: int = 1) -> int:
        self.kv["n"] = self.kv.get("n", 0) + n
        return int(self.kv["n"])

    async def keep(self, name: str, text: str) -> None:
        self.fs.write_text(name, text)

    async def show(self, name: str) -> str:
        return self.fs.read_text(name)


class Ledger(Tally, kind="Ledger", durability="replicated"):
    async def ask(self, other: Any) -> int:
        return int(await other.add())


@pytest.fixture(params=["memory", "folder", "s3"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if request.param == "memory":
        return MemoryStore()
    if request.param == "folder":
        return FolderStore(tmp_path / "replica")
    pytest.importorskip("obstore")
    return open_store(f"s3://{request.getfixturevalue('bucket')}/facets")


async def test_an_empty_directory_is_filled_from_the_replica(
    objects: ObjectStore, tmp_path: Path
) -> None:
    async with LocalRuntime(tmp_path / "a", replica=objects, durability="replicated") as runtime:
        for n in range(5):
            await runtime.get(Tally, str(n)).add(n)
        await runtime.delete(Tally, "3")
        await runtime.get(Tally, "0").keep("/big", "x" * 3_000_000)
    shutil.rmtree(tmp_path / "a")

    async with LocalRuntime(tmp_path / "b", replica=objects) as runtime:
        assert runtime.list(Tally) == ["0", "1", "2", "4"]
        assert await runtime.get(Tally, "4").add(0) == 4
        assert len(await runtime.get(Tally, "0").show("/big")) == 3_000_000
        assert await runtime.get(Tally, "3").add(0) == 0


async def test_a_copy_goes_on_and_can_be_lost_again(objects: ObjectStore, tmp_path: Path) -> None:
    for n in range(1, 4):
        root = tmp_path / str(n)
        async with LocalRuntime(root, replica=objects, durability="replicated") as runtime:
            assert await runtime.get(Tally, "x").add() == n
        shutil.rmtree(root)


async def test_a_directory_older_than_its_replica_is_refused(tmp_path: Path) -> None:
    objects = MemoryStore()
    async with LocalRuntime(tmp_path / "a", replica=objects) as runtime:
        await runtime.get(Tally, "x").add()
    async with LocalRuntime(tmp_path / "b", replica=objects) as runtime:
        await runtime.get(Tally, "x").add()

    with pytest.raises(StateStale):
        await LocalRuntime(tmp_path / "a", replica=objects).open()


async def test_state_from_before_the_replica_is_in_it(tmp_path: Path) -> None:
    objects = MemoryStore()
    async with LocalRuntime(tmp_path / "a") as runtime:
        await runtime.get(Tally, "x").add(7)
    async with LocalRuntime(tmp_path / "a", replica=objects) as runtime:
        await runtime.get(Tally, "y").add(1)

    async with LocalRuntime(tmp_path / "b", replica=objects) as runtime:
        assert await runtime.get(Tally, "x").add(0) == 7


async def test_what_was_not_uploaded_before_a_crash_is_uploaded_after_it(tmp_path: Path) -> None:
    objects = MemoryStore()
    async with LocalRuntime(tmp_path / "a", replica=objects) as runtime:
        await runtime.get(Tally, "x").add()
    async with LocalRuntime(tmp_path / "a") as runtime:  # the replica hears nothing of this
        await runtime.get(Tally, "x").add()
        shutil.copytree(tmp_path / "a", tmp_path / "crashed")

    async with LocalRuntime(tmp_path / "crashed", replica=objects):
        pass
    async with LocalRuntime(tmp_path / "b", replica=objects) as runtime:
        assert await runtime.get(Tally, "x").add(0) == 2


async def test_clones_and_restores_are_in_the_replica(tmp_path: Path) -> None:
    objects = MemoryStore()
    async with LocalRuntime(tmp_path / "a", replica=objects, durability="replicated") as runtime:
        tally = runtime.get(Tally, "x")
        await tally.add(1)
        mark = runtime.bookmark()
        await tally.add(1)
        await runtime.clone(Tally, "x", "copy")
        await runtime.restore(Tally, "x", mark)
        await runtime.get(Tally, "copy").add(10)

    async with LocalRuntime(tmp_path / "b", replica=objects) as runtime:
        assert await runtime.get(Tally, "x").add(0) == 1
        assert await runtime.get(Tally, "copy").add(0) == 12


async def test_an_older_incarnation_can_acknowledge_nothing(tmp_path: Path) -> None:
    objects = MemoryStore()
    old = LocalRuntime(tmp_path / "a", replica=objects, durability="replicated")
    await old.open()
    await old.get(Tally, "x").add()
    new = LocalRuntime(tmp_path / "b", replica=objects, durability="replicated")
    await new.open()

    with pytest.raises(LeaseLost):
        await old.get(Tally, "x").add()
    with pytest.raises(LeaseLost):
        await old.get(Tally, "x").add(0)
    assert await new.get(Tally, "x").add() == 2
    await old.close()
    await new.close()


class Door:
    """Holds every creation of a log slot back until it is opened."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.knocked = threading.Event()

    def __call__(self, call: StoreCall) -> None:
        if call.method == "create" and call.key.startswith("log/") and call.moment == "before":
            self.knocked.set()
            self.open.wait(30)


@pytest.fixture
async def held(tmp_path: Path) -> AsyncIterator[Callable[..., Any]]:
    """`await held("replicated")`: a runtime on a replica whose log is held back."""
    opened: list[tuple[LocalRuntime, Door]] = []

    async def make(durability: Any) -> tuple[LocalRuntime, Door]:
        door = Door()
        store = FaultyStore(MemoryStore(), door)
        runtime = LocalRuntime(tmp_path / "held", replica=store, durability=durability)
        await runtime.open()
        opened.append((runtime, door))
        return runtime, door

    yield make
    for runtime, door in opened:
        door.open.set()
        await runtime.close()


async def test_nothing_is_answered_before_the_replica_has_it(held: Callable[..., Any]) -> None:
    runtime, door = await held("replicated")
    writing = asyncio.create_task(runtime.get(Tally, "x").add())
    await asyncio.to_thread(door.knocked.wait, 30)
    for _ in range(50):
        await asyncio.sleep(0)
    assert not writing.done()

    door.open.set()
    assert await writing == 1


async def test_a_reader_waits_for_what_it_saw(held: Callable[..., Any]) -> None:
    runtime, door = await held("replicated")
    writing = asyncio.create_task(runtime.get(Tally, "x").add())
    await asyncio.to_thread(door.knocked.wait, 30)
    reading = asyncio.create_task(runtime.get(Tally, "x").add(0))
    for _ in range(50):
        await asyncio.sleep(0)
    assert not reading.done()

    door.open.set()
    assert await asyncio.gather(writing, reading) == [1, 1]


async def test_a_class_chooses_for_itself(held: Callable[..., Any]) -> None:
    runtime, door = await held("local")

    assert await runtime.get(Tally, "x").add() == 1
    waiting = asyncio.create_task(runtime.get(Ledger, "y").add())
    await asyncio.to_thread(door.knocked.wait, 30)
    for _ in range(50):
        await asyncio.sleep(0)
    assert not waiting.done()
    door.open.set()
    assert await waiting == 1


async def test_who_depends_on_a_replicated_actor_waits_too(held: Callable[..., Any]) -> None:
    runtime, door = await held("local")
    ledger = asyncio.create_task(runtime.get(Ledger, "y").add())
    await asyncio.to_thread(door.knocked.wait, 30)

    class Reader(Actor, kind="ReplicaReader"):
        async def ask(self, other: Any) -> int:
            return int(await other.add(0))

    reading = asyncio.create_task(runtime.get(Reader, "r").ask(runtime.get(Ledger, "y")))
    for _ in range(50):
        await asyncio.sleep(0)
    assert not reading.done()
    door.open.set()
    assert await asyncio.gather(ledger, reading) == [1, 1]


async def test_a_store_that_fails_for_a_while_only_delays(tmp_path: Path) -> None:
    failures = iter(range(3))

    def hook(call: StoreCall) -> None:
        failing = call.method == "create" and call.key.startswith("log/")
        if failing and call.moment == "before" and next(failures, None) is not None:
            raise ObjectStoreFailed("not now", url="", key=call.key, cause="test")

    store = FaultyStore(MemoryStore(), hook)
    async with LocalRuntime(tmp_path / "a", replica=store, durability="replicated") as runtime:
        assert await runtime.get(Tally, "x").add() == 1


class Tree(Tally, kind="ReplicaTree"):
    async def grow(self, name: str, n: int = 1) -> int:
        return int(await self.facets.get(name, Tally).add(n))

    async def cut(self, name: str) -> None:
        self.facets.delete(name)


def compacted(runtime: LocalRuntime) -> asyncio.Future[None]:
    """Snapshots take the place of the log, on a thread, while everything goes on."""
    shipper = runtime._open().store.replica
    assert shipper is not None
    return asyncio.ensure_future(asyncio.to_thread(_compact, shipper))


def _compact(shipper: Shipper) -> None:
    shipper._compactor.compact(shipper._image)


async def test_what_was_deleted_and_brought_back_is_in_a_compacted_replica(
    tmp_path: Path,
) -> None:
    objects = MemoryStore()
    async with LocalRuntime(tmp_path / "a", replica=objects, durability="replicated") as runtime:
        tree = runtime.get(Tree, "t")
        await tree.grow("leaf", 5)
        mark = runtime.bookmark()
        await tree.cut("leaf")
        await runtime.restore(Tree, "t", mark)
        await runtime.get(Tree, "t").add()
        await compacted(runtime)

    async with LocalRuntime(tmp_path / "b", replica=objects) as runtime:
        assert await runtime.get(Tree, "t").grow("leaf", 0) == 5


async def test_a_replica_compacted_while_actors_write_and_go_holds_what_they_left(
    tmp_path: Path,
) -> None:
    objects = MemoryStore()
    left: dict[str, int] = {}
    async with LocalRuntime(tmp_path / "a", replica=objects, durability="replicated") as runtime:

        async def live(name: str, n: int) -> None:
            for _ in range(n):
                await runtime.get(Tree, name).add()
                await runtime.get(Tree, name).grow("leaf")
            if n % 3 == 0:
                await runtime.delete(Tree, name)
            elif n % 3 == 1:
                await runtime.clone(Tree, name, name + "copy")
                left[name] = left[name + "copy"] = n
            else:
                mark = runtime.bookmark()
                await runtime.get(Tree, name).add(100)
                await runtime.restore(Tree, name, mark)
                left[name] = n

        living = asyncio.gather(*[live(str(n), n) for n in range(1, 13)])
        while not living.done():
            await compacted(runtime)
        await living

    async with LocalRuntime(tmp_path / "b", replica=objects) as runtime:
        assert runtime.list(Tree) == sorted(left)
        for name, n in left.items():
            assert await runtime.get(Tree, name).add(0) == n
            assert await runtime.get(Tree, name).grow("leaf", 0) == n


async def test_a_runtime_closes_while_its_replica_asks_for_an_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading, go = threading.Event(), threading.Event()
    read = storage.imaging.read

    def slowly(*args: Any) -> bytes:
        reading.set()
        assert go.wait(30)
        return read(*args)

    monkeypatch.setattr("storage.imaging.read", slowly)
    monkeypatch.setattr("storage.replica.shipper.COMPACT", -1)
    monkeypatch.setattr("storage.replica.shipper.LOOK", 0.01)
    objects = MemoryStore()
    runtime = LocalRuntime(tmp_path / "a", replica=objects)
    await runtime.open()
    await runtime.get(Tally, "x").add()
    assert await asyncio.to_thread(reading.wait, 30)
    closing = asyncio.ensure_future(runtime.close())
    for _ in range(200):
        await asyncio.sleep(0)
    assert not closing.done()

    go.set()
    async with asyncio.timeout(20):
        await closing
    async with LocalRuntime(tmp_path / "b", replica=objects) as again:
        assert await again.get(Tally, "x").add(0) == 1


async def test_who_waits_for_a_replica_that_fails_is_told_when_the_runtime_closes(
    tmp_path: Path,
) -> None:
    failing = False

    def hook(call: StoreCall) -> None:
        if failing and call.method == "create" and call.moment == "before":
            raise ObjectStoreFailed("gone", url="", key=call.key, cause="test")

    store = FaultyStore(MemoryStore(), hook)
    runtime = LocalRuntime(tmp_path / "a", replica=store, durability="replicated")
    await runtime.open()
    shipper = runtime._open().store.replica
    assert shipper is not None
    failing = True
    writing = asyncio.ensure_future(runtime.get(Tally, "x").add())
    while not shipper.stats().failing:
        await asyncio.sleep(0)
    await runtime.close()

    async with asyncio.timeout(20):
        with pytest.raises(RuntimeClosed):
            await writing


async def test_a_replicated_class_needs_a_replica(runtime: LocalRuntime) -> None:
    with pytest.raises(NoReplica):
        await runtime.get(Ledger, "x").add()


async def test_a_replicated_runtime_needs_a_replica(tmp_path: Path) -> None:
    with pytest.raises(NoReplica):
        await LocalRuntime(tmp_path / "a", durability="replicated").open()


async def test_a_small_journal_and_a_replica_agree(tmp_path: Path) -> None:
    objects = MemoryStore()
    limits = JournalLimits(segment=64 << 10, size=256 << 10)
    async with LocalRuntime(tmp_path / "a", replica=objects, journal=limits) as runtime:
        tallies = [runtime.get(Tally, str(n)) for n in range(10)]
        for _ in range(30):
            await asyncio.gather(*[tally.add() for tally in tallies])
    async with LocalRuntime(tmp_path / "b", replica=objects) as runtime:
        assert await runtime.get(Tally, "7").add(0) == 30
