"""Whatever dies, stops or is cut off under load: one order of events explains what clients saw."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from ray.exceptions import RayError

from actors.ray.directory import Directory, newest
from actors.ray.runtime import RayRuntime
from tests.actors.ray.load import under_load
from tests.actors.ray.nodes import HOSTS, Nodes, cluster, ended, opened
from tests.actors.ray.proxy import Mode

CUTS: tuple[Mode, ...] = ("refuse", "swallow", "lose answers")
SECONDS = float(os.environ.get("FACETS_FAULTS_SECONDS", "12"))
"""How long faults are drawn by lot."""


@pytest.fixture(scope="module")
def s3_bucket(s3_environment: str) -> str:
    import http.client
    from urllib.parse import urlsplit

    connection = http.client.HTTPConnection(urlsplit(s3_environment).netloc)
    connection.request("PUT", "/faults")
    assert connection.getresponse().status == 200
    connection.close()
    return "s3://faults/replica"


@pytest.fixture(scope="module")
def nodes(
    tmp_path_factory: pytest.TempPathFactory, s3_environment: str, s3_bucket: str
) -> Iterator[Nodes]:
    with cluster(tmp_path_factory.mktemp("n"), s3_environment, len(HOSTS)) as nodes:
        yield nodes


@pytest.fixture
async def runtime(nodes: Nodes, s3_bucket: str) -> AsyncIterator[RayRuntime]:
    """Three hosts over three nodes; they go on from test to test."""
    async with opened(s3_bucket) as runtime:
        yield runtime


async def test_a_host_that_is_killed(nodes: Nodes, runtime: RayRuntime) -> None:
    async with under_load(runtime, "killed"):
        pid, _ = await nodes.where(runtime.name, "host-1")
        os.kill(pid, signal.SIGKILL)


async def test_a_node_that_is_lost_with_its_disk(nodes: Nodes, runtime: RayRuntime) -> None:
    async with under_load(runtime, "lost"):
        found = {host: await nodes.where(runtime.name, host) for host in HOSTS}
        _, node = found["host-0"]
        node.proxy.set("swallow")  # first, so that whatever was acknowledged too early is lost
        await asyncio.sleep(0.5)
        nodes.lose(node, [pid for pid, its in found.values() if its is node])
        nodes.add()


async def test_two_hosts_killed_one_while_the_other_comes_back(
    nodes: Nodes, runtime: RayRuntime
) -> None:
    async with under_load(runtime, "twice") as load:
        first, _ = await nodes.where(runtime.name, "host-0")
        second, _ = await nodes.where(runtime.name, "host-1")
        os.kill(first, signal.SIGKILL)
        os.kill(second, signal.SIGKILL)
        await load.answered()
        third, _ = await nodes.where(runtime.name, "host-0")
        os.kill(third, signal.SIGKILL)


async def test_a_host_that_is_stopped_past_its_lease_and_goes_on(
    nodes: Nodes, runtime: RayRuntime
) -> None:
    async with under_load(runtime, "stopped"):
        pid, _ = await nodes.where(runtime.name, "host-2")
        os.kill(pid, signal.SIGSTOP)
        await asyncio.sleep(9)
        os.kill(pid, signal.SIGCONT)


async def test_a_host_that_returns_when_another_has_its_place(
    nodes: Nodes, runtime: RayRuntime
) -> None:
    """Ray has given up the node, and no longer knows of the process, which goes on there."""
    async with under_load(runtime, "returned") as load:
        pid, node = await nodes.where(runtime.name, "host-0")
        os.kill(pid, signal.SIGSTOP)
        nodes.lose(node, [])
        nodes.add()
        await load.answered()
        with suppress(ProcessLookupError):  # Ray may have ended what it could not reach
            os.kill(pid, signal.SIGCONT)
        while not ended(pid):
            await asyncio.sleep(0.05)


async def test_hosts_cut_off_from_the_object_store(nodes: Nodes, runtime: RayRuntime) -> None:
    async with under_load(runtime, "cut"):
        found = [await nodes.where(runtime.name, host) for host in HOSTS]
        for node, mode in zip(nodes.nodes, CUTS, strict=True):
            node.proxy.set(mode)
        while not all(ended(pid) for pid, _ in found):
            await asyncio.sleep(0.1)
        for node in nodes.nodes:
            node.proxy.set("pass")


async def test_an_object_store_that_is_slow_and_loses_connections(
    nodes: Nodes, runtime: RayRuntime
) -> None:
    async with under_load(runtime, "slow") as load:
        for node in nodes.nodes:
            node.proxy.set("slow")
        await load.answered()
        for node in nodes.nodes:
            node.proxy.set("pass")


async def test_a_driver_that_is_killed(
    nodes: Nodes, runtime: RayRuntime, s3_bucket: str, tmp_path: Path
) -> None:
    path = tmp_path / "history"
    driver = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.actors.ray.driver",
        nodes.cluster.address,
        s3_bucket,
        str(path),
        stdout=asyncio.subprocess.PIPE,
    )
    assert driver.stdout is not None
    assert await driver.stdout.readline() == b"at work\n"
    async with under_load(runtime, "driver") as load:
        driver.kill()
        await driver.wait()
        load.history.join(path)
    assert any(not one.ended for one in load.history.operations), "it had calls under way"


async def test_hosts_that_come_and_go_while_others_are_killed(
    nodes: Nodes, runtime: RayRuntime
) -> None:
    async with under_load(runtime, "scaled"):
        adding = asyncio.ensure_future(runtime.scale(4))
        await owned(runtime, "host-3", lambda buckets: buckets > 0)
        os.kill((await nodes.where(runtime.name, "host-0"))[0], signal.SIGKILL)
        added = await adding
        before = len((await directory(runtime)).owned("host-3"))
        draining = asyncio.ensure_future(runtime.drain("host-3"))
        await owned(runtime, "host-3", lambda buckets: buckets < before)
        os.kill((await nodes.where(runtime.name, "host-1"))[0], signal.SIGKILL)
        drained = await draining
        assert added.trees
        assert drained.trees


async def directory(runtime: RayRuntime) -> Directory:
    return await asyncio.to_thread(newest, runtime.plan.shared())


async def owned(runtime: RayRuntime, host: str, enough: Callable[[int], bool]) -> None:
    """Wait until a host owns such a number of buckets."""
    while not enough(len((await directory(runtime)).owned(host))):
        await asyncio.sleep(0.01)


async def test_faults_drawn_by_lot(nodes: Nodes, runtime: RayRuntime) -> None:
    """Set FACETS_FAULTS_SECONDS for a longer run, FACETS_FAULTS_SEED for another one."""
    seed = int(os.environ.get("FACETS_FAULTS_SEED", "1"))
    lot = random.Random(seed)
    loop = asyncio.get_running_loop()
    async with under_load(runtime, f"lot {seed}", seed=seed) as load:
        end = loop.time() + SECONDS
        while loop.time() < end:
            await one_fault(lot, nodes, runtime)
            if lot.random() < 0.6:
                await load.answered()


async def one_fault(lot: random.Random, nodes: Nodes, runtime: RayRuntime) -> None:
    """Something happens to one host, or to the way of one node to the store."""
    what = lot.choice(["kill", "kill", "stop", "cut", "slow", "lose connections"])
    length = lot.uniform(0.1, 1.5)
    if what in ("kill", "stop"):
        try:
            pid, _ = await nodes.where(runtime.name, lot.choice(HOSTS))
        except RayError:  # it is about to be started
            return
        os.kill(pid, signal.SIGKILL if what == "kill" else signal.SIGSTOP)
        if what == "stop":
            await asyncio.sleep(length)
            os.kill(pid, signal.SIGCONT)
        return
    node = lot.choice(nodes.nodes)
    if what != "lose connections":
        node.proxy.set(lot.choice(CUTS) if what == "cut" else "slow")
        await asyncio.sleep(length)
    node.proxy.set("pass")
