"""Whatever dies, stops or is cut off under load: one order of events explains what clients saw."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from actors.ray.runtime import RayRuntime
from tests.actors.ray.load import under_load
from tests.actors.ray.nodes import DISK, Nodes, cluster
from tests.actors.ray.proxy import Mode

HOSTS = ("host-0", "host-1", "host-2")


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
    runtime = RayRuntime(
        f"${DISK}/state",
        hosts=len(HOSTS),
        name="faults",
        replica=s3_bucket,
        durability="replicated",
        resources={"num_cpus": 1},
    )
    async with runtime:
        yield runtime


async def test_a_host_that_is_killed(nodes: Nodes, runtime: RayRuntime) -> None:
    async with under_load(runtime, "killed"):
        pid, _ = await nodes.where(runtime.name, "host-1")
        os.kill(pid, signal.SIGKILL)


async def test_a_node_that_is_lost_with_its_disk(nodes: Nodes, runtime: RayRuntime) -> None:
    async with under_load(runtime, "lost"):
        found = {host: await nodes.where(runtime.name, host) for host in HOSTS}
        _, node = found["host-0"]
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


@pytest.mark.parametrize("mode", ["refuse", "swallow", "lose answers"])
async def test_a_host_cut_off_from_the_object_store(
    nodes: Nodes, runtime: RayRuntime, mode: Mode
) -> None:
    async with under_load(runtime, f"cut {mode}"):
        pid, node = await nodes.where(runtime.name, "host-1")
        node.proxy.set(mode)
        while Path(f"/proc/{pid}").exists():
            await asyncio.sleep(0.1)
        node.proxy.set("pass")
