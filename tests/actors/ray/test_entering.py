"""What a host does before it serves from a directory, and which ones it refuses."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
from pathlib import Path
from typing import Any

import pytest

from actors.local import LocalRuntime
from actors.ray.entering import enter
from actors.ray.errors import DiskAway, DiskForgotten
from actors.ray.health import Presence
from actors.ray.seats import Seat, announce, newest
from facets import Actor
from storage.testing.objects import MemoryStore

ME = Presence("node-1", "10.0.0.1", os.getpid(), 1.0)


class Counter(Actor):
    async def add(self) -> int:
        self.kv["n"] = self.kv.get("n", 0) + 1
        return int(self.kv["n"])


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


async def entered(
    root: Path, store: MemoryStore, *, anywhere: bool = False, **options: Any
) -> LocalRuntime:
    runtime = LocalRuntime(root, host="host-0", **options)
    await enter(runtime, store, "host-0", ME, anywhere=anywhere)
    return runtime


async def test_each_process_takes_the_next_seat(tmp_path: Path, store: MemoryStore) -> None:
    for number in (1, 2, 3):
        runtime = await entered(tmp_path / "a", store)
        assert newest(store, "host-0").number == number
        assert newest(store, "host-0").node == "node-1"
        await runtime.close()


async def test_a_host_does_not_begin_where_its_disk_is_not(
    tmp_path: Path, store: MemoryStore
) -> None:
    await (await entered(tmp_path / "a", store)).close()
    with pytest.raises(DiskAway) as caught:
        await entered(tmp_path / "b", store)
    assert caught.value.fields["path"] == str(tmp_path / "a")
    assert not (tmp_path / "b").exists()


async def test_a_disk_that_was_given_up_is_refused_and_left_as_it_is(
    tmp_path: Path, store: MemoryStore
) -> None:
    await (await entered(tmp_path / "a", store)).close()
    assert announce(store, Seat("host-0", newest(store, "host-0").number + 1))
    await (await entered(tmp_path / "b", store)).close()
    with pytest.raises(DiskForgotten):
        await entered(tmp_path / "a", store)
    assert (tmp_path / "a" / "seat.json").exists()


async def test_a_host_that_begins_again_on_the_disk_that_was_given_up_finds_nothing_of_it(
    tmp_path: Path, store: MemoryStore
) -> None:
    runtime = await entered(tmp_path / "a", store)
    assert await runtime.get(Counter, "one").add() == 1
    await runtime.close()
    announce(store, Seat("host-0", newest(store, "host-0").number + 1))
    runtime = await entered(tmp_path / "a", store)
    assert await runtime.get(Counter, "one").add() == 1
    await runtime.close()
    assert (tmp_path / "a.stale").is_dir()


async def test_a_crash_between_the_two_notes_of_a_seat_does_not_lose_it(
    tmp_path: Path, store: MemoryStore
) -> None:
    runtime = await entered(tmp_path / "a", store)
    await runtime.close()
    store.delete("seats/host-0/0000000001")  # as if it had not come that far
    await (await entered(tmp_path / "a", store)).close()
    assert newest(store, "host-0").number == 2


async def test_who_gave_the_disk_up_while_its_host_came_back_wins_or_fails(
    tmp_path: Path, store: MemoryStore
) -> None:
    class Overtaken(MemoryStore):
        def create(self, key: str, data: bytes) -> bool:
            super().create(key, b'{"host": "host-0", "number": 1}')
            return super().create(key, data)

    with pytest.raises(DiskForgotten):
        await entered(tmp_path / "a", Overtaken())
    LocalRuntime(tmp_path / "a")  # and the directory is nobody's
    async with LocalRuntime(tmp_path / "a"):
        pass


async def test_a_replicated_host_sets_the_disk_aside_that_it_left_behind(
    tmp_path: Path, store: MemoryStore
) -> None:
    options = {"replica": (tmp_path / "replica").as_uri(), "durability": "replicated"}
    for number, disk in enumerate(("a", "b", "a"), 1):
        runtime = await entered(tmp_path / disk, store, anywhere=True, **options)
        assert await runtime.get(Counter, "one").add() == number
        await runtime.close()
    assert (tmp_path / "a.stale").is_dir()


async def test_a_lock_of_another_machine_is_waited_for_and_no_process_here_is_ended(
    tmp_path: Path, store: MemoryStore
) -> None:
    await (await entered(tmp_path / "a", store)).close()
    fd = os.open(tmp_path / "a" / "lock", os.O_RDWR)
    fcntl.flock(fd, fcntl.LOCK_EX)
    said = {"pid": os.getpid(), "command": "ray::Hosting", "machine": "another"}
    os.ftruncate(fd, 0)
    os.pwrite(fd, json.dumps(said).encode(), 0)
    entering = asyncio.ensure_future(entered(tmp_path / "a", store))
    done, _ = await asyncio.wait([entering], timeout=0.3)
    assert not done
    os.close(fd)
    await (await entering).close()
