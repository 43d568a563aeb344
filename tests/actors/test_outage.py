"""A runtime whose object store is away for longer than its lease lasts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from actors import LocalRuntime
from facets import Actor
from storage.errors import LeaseLapsed, LeaseLost, ObjectStoreFailed, ReplicaBehind
from storage.objects import ObjectStore
from storage.replica import Lease
from storage.replica.shipper import Shipper
from storage.testing.objects import FaultyStore, MemoryStore, StoreCall


class Counter(Actor, kind="OutageCounter"):
    async def add(self, n: int = 1) -> int:
        self.kv["n"] = self.kv.get("n", 0) + n
        return int(self.kv["n"])

    async def fill(self, size: int) -> None:
        self.kv["ballast"] = bytes(size)


class Safe(Counter, kind="OutageSafe", durability="replicated"):
    pass


class Away:
    """A store that can be away."""

    def __init__(self) -> None:
        self.objects = MemoryStore()
        self.store = FaultyStore(self.objects, self._hook)
        self.away = False

    def _hook(self, call: StoreCall) -> None:
        if self.away and call.moment == "before":
            raise ObjectStoreFailed("the store is away", url="", key=call.key, cause="test")


class Time:
    """Stands where a test puts it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def away() -> Away:
    return Away()


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    """The clock of every lease claimed here, which are looked after all the time."""
    time = Time()
    claim = Lease.claim

    def claimed(store: ObjectStore, host: str, **_: Any) -> Lease:
        lease = claim(store, host, clock=time)
        lease.ttl = 0.03  # how often the renewer looks; the lease lasts as it always does
        return lease

    monkeypatch.setattr(Lease, "claim", claimed)
    return time


@pytest.fixture
async def runtime(tmp_path: Path, away: Away, time: Time) -> AsyncIterator[LocalRuntime]:
    del time
    runtime = LocalRuntime(tmp_path / "a", replica=away.store)
    await runtime.open()
    yield runtime
    away.away = False
    await runtime.close()


def shipper(runtime: LocalRuntime) -> Shipper:
    found = runtime.host.store.replica
    assert found is not None
    return found


async def until(condition: Any) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0)


async def lapse(runtime: LocalRuntime, away: Away, time: Time) -> None:
    away.away = True
    time.now += 100
    await until(lambda: shipper(runtime).stats().failing)


async def test_a_local_host_serves_through_an_outage_and_uploads_when_it_is_over(
    runtime: LocalRuntime, away: Away, time: Time, tmp_path: Path
) -> None:
    counter = runtime.get(Counter, "x")
    await counter.add()
    await lapse(runtime, away, time)

    assert [await counter.add() for _ in range(20)][-1] == 21
    said = runtime.stats().storage["replica"]
    assert not said["held"]
    assert said["queued"] > 0
    assert said["lag"] > 0
    assert "away" in said["failing"] or "lease" in said["failing"]

    away.away = False
    await until(lambda: not shipper(runtime).stats().queued)
    said = runtime.stats().storage["replica"]
    assert (said["held"], said["lag"]) == (True, 0)
    assert await runtime.get(Safe, "y").add() == 1
    await runtime.close()
    async with LocalRuntime(tmp_path / "b", replica=away.objects) as again:
        assert await again.get(Counter, "x").add(0) == 21


async def test_a_host_that_was_taken_over_in_the_outage_ends_loudly(
    runtime: LocalRuntime, away: Away, time: Time, tmp_path: Path
) -> None:
    counter = runtime.get(Counter, "x")
    await counter.add()
    await lapse(runtime, away, time)
    await counter.add()
    async with LocalRuntime(tmp_path / "b", replica=away.objects):
        pass

    away.away = False
    await until(lambda: shipper(runtime).lost)
    with pytest.raises(LeaseLost, match=r"claimed|sealed|published") as caught:
        await counter.add()
    assert (caught.value.host, caught.value.token) == ("main", 1)


async def test_what_depends_on_the_replica_waits_for_the_lease(
    runtime: LocalRuntime, away: Away, time: Time
) -> None:
    safe = runtime.get(Safe, "y")
    await safe.add()
    await lapse(runtime, away, time)

    reading = asyncio.ensure_future(safe.add(0))
    for _ in range(50):
        await asyncio.sleep(0)
    assert not reading.done()
    away.away = False
    async with asyncio.timeout(20):
        assert await reading == 1


async def test_a_replicated_host_stops_when_its_lease_lapses(
    tmp_path: Path, away: Away, time: Time
) -> None:
    runtime = LocalRuntime(tmp_path / "a", replica=away.store, durability="replicated")
    await runtime.open()
    counter = runtime.get(Counter, "x")
    await counter.add()
    time.now += 100  # and nobody has noticed yet

    with pytest.raises(LeaseLapsed):
        await counter.add(0)
    with pytest.raises(LeaseLapsed):
        await counter.add()
    await runtime.close()


async def test_a_host_whose_backlog_is_too_long_goes_on_without_its_replica(
    runtime: LocalRuntime, away: Away, time: Time, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.replica.shipper.BACKLOG", 100_000)
    counter = runtime.get(Counter, "x")
    await counter.add()
    await lapse(runtime, away, time)

    await counter.fill(200_000)
    assert await counter.add() == 2
    assert runtime.stats().storage["replica"]["behind"]
    assert runtime.stats().storage["replica"]["queued"] == 0
    with pytest.raises(ReplicaBehind) as caught:
        await runtime.get(Safe, "y").add()
    assert caught.value.acknowledged < runtime.host.store.committed

    away.away = False
    await runtime.close()
    async with LocalRuntime(tmp_path / "a", replica=away.objects):
        pass
    async with LocalRuntime(tmp_path / "b", replica=away.objects) as again:
        assert await again.get(Counter, "x").add(0) == 2
