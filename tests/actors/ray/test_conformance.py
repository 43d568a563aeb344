"""What every runtime must do, done on a cluster."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from inspect import isawaitable
from pathlib import Path
from typing import Any

import pytest
from ray.exceptions import RayActorError

from actors.errors import ActorBroken
from actors.host import Host
from actors.ray.router import handle
from actors.ray.runtime import RayRuntime
from facets.testing import VirtualClock
from facets.testing.conformance import RuntimeConformance


@pytest.fixture(scope="module")
def root(ray: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("conformance") / "state"


clock = VirtualClock()
"""What hosts begin with, and are kept at: each has one of its own."""


class TestRayRuntime(RuntimeConformance):
    @pytest.fixture
    async def runtime(self, root: Path) -> AsyncIterator[RayRuntime]:
        async with RayRuntime(root, hosts=2, clock=clock) as runtime:
            yield runtime
            await on_hosts(runtime, wipe)

    async def restart(self, runtime: Any) -> None:
        await runtime.down()
        await runtime.open()

    async def crash(self, runtime: Any) -> None:
        with suppress(RayActorError):
            await on_hosts(runtime, lambda _: os._exit(9))
        await runtime.close()
        await runtime.open()
        now = clock.time()
        await on_hosts(runtime, lambda host: host.clock.advance(now - host.clock.time()))

    async def sleep(self, runtime: Any) -> None:
        await on_hosts(runtime, sleep)

    async def sleep_all(self, runtime: Any) -> None:
        await on_hosts(runtime, sleep)

    async def pass_time(self, runtime: Any, seconds: float) -> None:
        await on_hosts(runtime, lambda host: host.clock.run(seconds))
        clock.advance(seconds)


async def on_hosts(runtime: RayRuntime, work: Callable[[Any], Any]) -> None:
    """Run a function on the loop of each host."""

    def run(hosting: Any) -> None:
        async def call() -> None:
            done = work(hosting._runtime.host)
            if isawaitable(done):
                await done

        asyncio.run_coroutine_threadsafe(call(), hosting._runtime._host.loop).result()

    handles = [handle(runtime.name, name) for name in ("host-0", "host-1")]
    await asyncio.gather(*[one.__ray_call__.remote(run) for one in handles])


def sleep(host: Host) -> None:
    for activation in sorted(host.awake, key=lambda one: -one.node.depth):
        activation.node.sleep()


def wipe(host: Host) -> None:
    for node in list(host.roots.values()):
        node.abort(ActorBroken("the next test begins"))
    for kind, name in host.store.catalogue.read("select kind, name from actors where parent = 0"):
        if kind in host.classes:
            host.store.root(kind, name).delete()
