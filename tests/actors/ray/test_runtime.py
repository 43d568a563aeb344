"""What a cluster promises besides what every runtime does."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from actors.errors import EffectInTransaction, NotCopyable
from actors.ray.directory import Directory, place
from actors.ray.errors import DirectoryTaken, HostLost, OtherHost
from actors.ray.runtime import RayRuntime
from facets import Actor

NAMES = [f"name {i}" for i in range(12)]
"""Enough to be sure that both hosts have some."""


class Odd(Exception):
    """An error of this module, which a host cannot import."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Tally(Actor):
    migrations = ("create table words(word text primary key, n integer not null)",)

    async def add(self, word: str) -> int:
        self.sql("insert into words values (?, 1) on conflict do update set n = n + 1", word)
        return int(self.sql("select n from words where word = ?", word).value())

    async def process(self) -> int:
        return os.getpid()

    async def below(self, word: str) -> int:
        return await self.facets.get("below", Tally).add(word)

    async def through(self, other: Any, word: str) -> int:
        self.kv["asked"] = word
        return int(await other.add(word))

    async def through_in_transaction(self, other: Any) -> None:
        async with self.facets.transaction():
            self.kv["asked"] = "x"
            await other.add("x")

    async def same(self, value: Any) -> Any:
        return value

    async def fail(self, code: int) -> None:
        self.kv["failed"] = code
        raise Odd(code)

    async def failed(self) -> Any:
        return self.kv.get("failed")

    async def wait(self) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            self.ended = True

    async def has_ended(self) -> bool:
        return getattr(self, "ended", False)

    async def items(self, n: int) -> AsyncIterator[int]:
        for i in range(n):
            self.kv["failed"] = i
            yield i


async def test_actors_on_different_hosts_keep_their_state_apart(runtime: RayRuntime) -> None:
    found = await asyncio.gather(*[runtime.get(Tally, name).add("x") for name in NAMES])
    assert found == [1] * len(NAMES)
    processes = await asyncio.gather(*[runtime.get(Tally, name).process() for name in NAMES])
    assert len(set(processes)) == 2
    assert os.getpid() not in processes
    assert runtime.list(Tally) == sorted(NAMES)


async def test_a_facet_lives_in_the_process_of_its_parent(runtime: RayRuntime) -> None:
    one = runtime.get(Tally, "one")
    assert await one.below("x") == 1
    assert await one.below("x") == 2
    assert await one.add("x") == 1


async def test_what_was_acknowledged_survives_the_death_of_a_host(runtime: RayRuntime) -> None:
    stubs = [runtime.get(Tally, name) for name in NAMES]
    await asyncio.gather(*[stub.add("x") for stub in stubs])
    pids = set(await asyncio.gather(*[stub.process() for stub in stubs]))
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    assert [await _until_back(stub) for stub in stubs] == [2] * len(NAMES)


async def _until_back(stub: Any) -> int:
    while True:
        try:
            return int(await stub.add("x"))
        except HostLost:
            await asyncio.sleep(0)


async def test_a_call_under_way_on_a_host_that_dies_ends_with_host_lost(
    runtime: RayRuntime,
) -> None:
    stub = runtime.get(Tally, "one")
    pid = await stub.process()
    waiting = asyncio.ensure_future(stub.wait())
    await stub.process()  # the wait has begun: one actor's calls keep their order
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(HostLost) as caught:
        await waiting
    assert caught.value.fields["method"] == "wait"
    assert await _until_back(stub) == 1


async def test_hosts_go_on_without_their_driver(ray: Any, tmp_path: Path) -> None:
    async with RayRuntime(tmp_path / "state", hosts=2) as first:
        await first.get(Tally, "one").add("x")
        pid = await first.get(Tally, "one").process()
    async with RayRuntime(tmp_path / "state", hosts=2) as second:
        assert await second.get(Tally, "one").process() == pid
        assert await second.get(Tally, "one").add("x") == 2
        await second.down()
    async with RayRuntime(tmp_path / "state", hosts=2) as third:
        assert await third.get(Tally, "one").add("x") == 3
        await third.down()


async def test_an_actor_calls_one_on_another_host(runtime: RayRuntime) -> None:
    stubs = [runtime.get(Tally, name) for name in NAMES]
    last = runtime.get(Tally, "last")
    found = [await stub.through(last, "y") for stub in stubs]
    assert found == list(range(1, len(NAMES) + 1))


async def test_a_call_to_another_host_has_no_place_in_a_transaction(runtime: RayRuntime) -> None:
    pids = {name: await runtime.get(Tally, name).process() for name in NAMES}
    here, there = next((a, b) for a in NAMES for b in NAMES if pids[a] != pids[b])
    with pytest.raises(EffectInTransaction):
        await runtime.get(Tally, here).through_in_transaction(runtime.get(Tally, there))


async def test_a_stub_works_in_a_ray_task(ray: Any, runtime: RayRuntime) -> None:
    @ray.remote
    def task(stub: Any) -> int:
        async def add() -> int:
            return int(await stub.add("z"))

        return asyncio.run(add())

    stub = runtime.get(Tally, "one")
    assert await stub.add("z") == 1
    assert await task.remote(stub) == 2
    assert await stub.same(stub) == stub


async def test_errors_of_a_script_arrive_as_what_they_were(runtime: RayRuntime) -> None:
    stub = runtime.get(Tally, "one")
    with pytest.raises(Odd) as caught:
        await stub.fail(7)
    assert caught.value.code == 7
    assert "in fail" in caught.value.__notes__[0]
    assert await stub.failed() is None, "the step that raised was undone"


async def test_what_cannot_be_sent_fails_before_the_call(runtime: RayRuntime) -> None:
    with pytest.raises(NotCopyable):
        runtime.get(Tally, "one").same([threading.Lock()])


async def test_cancelling_a_call_cancels_it_on_the_host(runtime: RayRuntime) -> None:
    stub = runtime.get(Tally, "one")
    waiting = asyncio.ensure_future(stub.wait())
    await stub.process()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    while not await stub.has_ended():
        pass


async def test_a_stream_is_made_as_it_is_taken(runtime: RayRuntime) -> None:
    stub = runtime.get(Tally, "one")
    items = stub.items(1000)
    taken = []
    async for item in items:
        taken.append(item)
        if item == 50:
            break
    assert taken == list(range(51))
    assert int(await stub.failed()) < 100


async def test_a_thousand_calls_at_once_are_a_few_requests(runtime: RayRuntime) -> None:
    stubs = [runtime.get(Tally, name) for name in NAMES]
    found = await asyncio.gather(*[stubs[i % len(NAMES)].same(i) for i in range(1000)])
    assert found == list(range(1000))


async def test_a_deleted_actor_begins_anew(runtime: RayRuntime) -> None:
    await runtime.get(Tally, "one").add("x")
    await runtime.delete(Tally, "one")
    assert runtime.list(Tally) == []
    assert await runtime.get(Tally, "one").add("x") == 1


async def test_a_directory_is_not_opened_with_another_number_of_hosts(
    ray: Any, runtime: RayRuntime
) -> None:
    with pytest.raises(DirectoryTaken):
        await RayRuntime(runtime.root, hosts=3).open()


async def test_what_is_known_of_an_actor_is_told_by_its_host(runtime: RayRuntime) -> None:
    await runtime.get(Tally, "one").below("x")
    assert runtime.stat(Tally, "one", below=True).below is not None
    assert [place.path for place in runtime.tree(Tally, "one")] == [(), ("below",)]


async def test_an_actor_is_renamed_where_both_names_live_on_one_host(runtime: RayRuntime) -> None:
    hosts = ("host-0", "host-1")
    directory = Directory(1, hosts, place(hosts))
    owner = {name: directory.owner("Tally", name) for name in NAMES}
    one = NAMES[0]
    same = next(name for name in NAMES[1:] if owner[name] == owner[one])
    other = next(name for name in NAMES if owner[name] != owner[one])
    await runtime.get(Tally, one).add("x")
    with pytest.raises(OtherHost):
        await runtime.rename(Tally, one, other)
    await runtime.rename(Tally, one, same)
    assert await runtime.get(Tally, same).add("x") == 2
