"""Hosts come and go while calls flow, and nobody notices."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from actors.errors import ActorMoved
from actors.ray.directory import BUCKETS, bucket, newest
from actors.ray.errors import DirectoryTaken, HostLost
from actors.ray.router import handle
from actors.ray.runtime import RayRuntime
from facets import Actor

NAMES = [f"name {i}" for i in range(24)]


class Counter(Actor):
    async def add(self) -> int:
        self.kv["n"] = self.kv.get("n", 0) + 1
        return int(self.kv["n"])

    async def slow(self) -> int:
        """The first call does not end by itself."""
        if not self.kv.get("begun"):
            self.kv["begun"] = True
            await asyncio.Event().wait()
        return await self.add()

    async def has_begun(self) -> bool:
        return bool(self.kv.get("begun"))

    async def get(self) -> int:
        return int(self.kv.get("n", 0))

    async def through(self, other: Any) -> int:
        return int(await other.add())


async def test_no_call_is_lost_or_doubled_while_hosts_are_added_and_drained(
    ray: Any, tmp_path: Path
) -> None:
    async with RayRuntime(tmp_path / "state", hosts=1) as runtime:
        stubs = {name: runtime.get(Counter, name) for name in NAMES}
        made = dict.fromkeys(NAMES, 0)
        over = asyncio.Event()

        async def call(name: str) -> None:
            while not over.is_set():
                made[name] += 1
                assert await stubs[name].add() == made[name]

        calling = [asyncio.ensure_future(call(name)) for name in NAMES]
        added = await runtime.scale(2)
        assert added.trees
        assert len(newest(runtime.plan.shared()).owned("host-1")) > 1000
        drained = await runtime.drain("host-0")
        assert drained.buckets + added.buckets == 4096
        assert [host.name for host in runtime.hosts()] == ["host-1"]
        for name in NAMES:
            before = made[name]
            while made[name] < before + 2:
                await asyncio.sleep(0)
                assert not any(one.done() for one in calling)
        over.set()
        await asyncio.gather(*calling)
        await runtime.down()
        await runtime.open()
        assert {name: await stubs[name].get() for name in NAMES} == made
        assert runtime.list(Counter) == sorted(NAMES)
        await runtime.down()


async def test_stubs_lead_to_an_actor_wherever_it_went(ray: Any, tmp_path: Path) -> None:
    async with RayRuntime(tmp_path / "state", hosts=1) as runtime:
        target = runtime.get(Counter, "target")
        assert await target.add() == 1
        await runtime.scale(2)

        @ray.remote
        def task(stub: Any) -> int:
            async def add() -> int:
                return int(await stub.add())

            return asyncio.run(add())

        done = 1
        for name in NAMES:
            done += 1
            assert await runtime.get(Counter, name).through(target) == done
        assert await task.remote(target) == done + 1
        await runtime.drain("host-0")
        assert await task.remote(target) == done + 2, "host-0 is not there to ask"
        with pytest.raises(DirectoryTaken, match=r"runtime\.scale\(2\)"):
            await RayRuntime(runtime.root, hosts=2).open()
        await runtime.down()
    async with RayRuntime(tmp_path / "state", hosts=1) as runtime:
        assert await runtime.get(Counter, "target").get() == done + 2
        await runtime.down()


async def test_a_call_that_a_move_broke_off_is_made_again_under_its_key(
    ray: Any, tmp_path: Path
) -> None:
    async with RayRuntime(tmp_path / "state", hosts=2) as runtime:
        stub = runtime.get(Counter, "one")
        calls = [stub.slow, partial(stub.slow, idempotency_key="k")]
        plain, keyed = [asyncio.ensure_future(call()) for call in calls]
        while not await stub.has_begun():
            pass
        here = newest(runtime.plan.shared()).owner("Counter", "one")
        there = "host-1" if here == "host-0" else "host-0"
        moving = handle(runtime.name, here).hand_over.remote([bucket("Counter", "one")], there, 0.0)
        with pytest.raises(ActorMoved, match="may have run"):
            await plain
        assert await keyed in (1, 2)
        await moving
        assert await stub.get() == await keyed
        await runtime.down()


async def test_no_acknowledged_write_is_lost_when_hosts_are_killed_while_actors_move(
    ray: Any, tmp_path: Path
) -> None:
    async with RayRuntime(tmp_path / "state", hosts=1) as runtime:
        stubs = {name: runtime.get(Counter, name) for name in NAMES}
        tried, acknowledged = dict.fromkeys(NAMES, 0), dict.fromkeys(NAMES, 0)
        over = asyncio.Event()

        async def call(name: str) -> None:
            while not over.is_set():
                tried[name] += 1
                with suppress(HostLost):
                    await stubs[name].add()
                    acknowledged[name] += 1
                await asyncio.sleep(0)

        calling = [asyncio.ensure_future(call(name)) for name in NAMES]
        while not all(acknowledged.values()):
            await asyncio.sleep(0)
        (first,) = runtime.hosts()
        scaling = asyncio.ensure_future(runtime.scale(2))
        while not newest(runtime.plan.shared()).owned("host-1"):
            await asyncio.sleep(0.01)
        os.kill(first.pid, signal.SIGKILL)  # the one that gives
        await scaling
        second = next(host for host in runtime.hosts() if host.name == "host-1")
        draining = asyncio.ensure_future(runtime.drain("host-0"))
        while newest(runtime.plan.shared()).owned("host-0") and not draining.done():
            if second.pid and len(newest(runtime.plan.shared()).owned("host-1")) > 2500:
                os.kill(second.pid, signal.SIGKILL)  # the one that takes
                break
            await asyncio.sleep(0.01)
        await draining
        over.set()
        await asyncio.gather(*calling)
        for name in NAMES:
            assert acknowledged[name] <= await _until_back(stubs[name]) <= tried[name]
        assert len(newest(runtime.plan.shared()).owned("host-1")) == BUCKETS
        await runtime.down()


async def _until_back(stub: Any) -> int:
    while True:
        with suppress(HostLost):
            return int(await stub.get())
        await asyncio.sleep(0.05)
