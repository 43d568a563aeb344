"""Hosts whose disk has the only copy: they run where it is, and nowhere else."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from actors.local import LocalRuntime
from actors.ray.entering import enter
from actors.ray.errors import DiskAway, DiskForgotten, HostLost, NodeThere, OnlyCopy
from actors.ray.health import HostInfo, Presence
from actors.ray.runtime import RayRuntime
from facets import Actor
from storage.replica.reach import reach

NAMES = [f"name {i}" for i in range(8)]


class Counter(Actor):
    async def add(self) -> int:
        self.kv["n"] = self.kv.get("n", 0) + 1
        return int(self.kv["n"])

    async def where(self) -> tuple[int, str]:
        return os.getpid(), os.environ["FACETS_TEST_DISK"]


class Nodes:
    """Nodes of one cluster, each with a disk of its own that outlives it."""

    def __init__(self, cluster: Any, make: Callable[[str], Path]) -> None:
        self._cluster = cluster
        self._make = make
        self.up: dict[str, Any] = {}
        self.add("a")
        self.add("b")

    def add(self, name: str) -> str:
        """A node more; its disk."""
        disk = str(self._make(name))
        env = {"FACETS_TEST_DISK": disk}
        self.up[disk] = self._cluster.add_node(num_cpus=2, env_vars=env)
        return disk

    def lose(self, disk: str) -> str:
        """End a node as the loss of a machine would, processes included; its id."""
        node = self.up.pop(disk)
        self._cluster.remove_node(node, allow_graceful=False)
        return str(node.node_id)


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    import ray
    from ray.cluster_utils import Cluster

    disks: dict[str, Path] = {}

    def make(name: str) -> Path:
        return disks.setdefault(name, tmp_path_factory.mktemp(name))

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    made = Nodes(cluster, make)
    ray.init(cluster.address, namespace="facets", log_to_driver=False)
    yield made
    ray.shutdown()
    cluster.shutdown()


def opened(tmp_path: Path, **options: Any) -> RayRuntime:
    root, name = f"$FACETS_TEST_DISK/{tmp_path.name}", f"of-{tmp_path.name}"[:40]
    return RayRuntime(root, hosts="per-node", name=name, resources={"num_cpus": 0.1}, **options)


async def spread(runtime: RayRuntime) -> dict[str, tuple[Any, int]]:
    """By disk, a stub of an actor that is on it and has counted once, and the pid of its host."""
    found = {}
    for name in NAMES:
        stub = runtime.get(Counter, name)
        pid, disk = await stub.where()
        if disk not in found:
            assert await stub.add() == 1
            found[disk] = stub, pid
    return found


async def until_back(stub: Any) -> int:
    while True:
        try:
            return int(await stub.add())
        except HostLost:
            await asyncio.sleep(0.05)


async def test_per_node_is_a_host_on_each_node_and_a_killed_one_is_back_on_its_own(
    nodes: Nodes, tmp_path: Path
) -> None:
    async with opened(tmp_path) as runtime:
        found = await spread(runtime)
        assert set(found) == set(nodes.up)
        stub, pid = found[next(iter(nodes.up))]
        os.kill(pid, signal.SIGKILL)
        assert await until_back(stub) == 2
        assert (await stub.where())[1] == next(iter(nodes.up))
        await runtime.down()


async def test_a_host_is_away_with_its_node_and_goes_on_when_one_has_the_disk_again(
    nodes: Nodes, tmp_path: Path
) -> None:
    async with opened(tmp_path) as runtime:
        found = await spread(runtime)
        one, other = found
        stub, pid = found[one]
        host = await lost(nodes, runtime, one, pid)
        with pytest.raises(DiskAway) as caught:
            await until_away(stub)
        assert caught.value.fields["node"] == host.node
        told = next(now for now in runtime.hosts() if now.name == host.name)
        assert (told.state, told.node) == ("lost", host.node)
        assert await found[other][0].add() == 2
        nodes.add(Path(one).name[0])
        assert await until_back(stub) == 2
        assert (await stub.where())[1] == one
        await runtime.down()


async def lost(nodes: Nodes, runtime: RayRuntime, disk: str, pid: int) -> HostInfo:
    """Lose a node with the host that runs on it; what was known of that."""
    host = next(one for one in runtime.hosts() if one.pid == pid)
    assert nodes.lose(disk) == host.node
    os.kill(pid, signal.SIGKILL)
    return host


async def test_what_only_a_lost_disk_has_is_given_up_only_expressly_and_never_served_again(
    nodes: Nodes, tmp_path: Path
) -> None:
    async with opened(tmp_path) as runtime:
        found = await spread(runtime)
        one, other = found
        stub, pid = found[one]
        with pytest.raises(NodeThere):
            await runtime.forget(runtime.hosts()[0].node, lose=True)
        host = await lost(nodes, runtime, one, pid)
        with pytest.raises(OnlyCopy) as caught:
            await runtime.forget(host.node)
        assert caught.value.fields["hosts"] == [host.name]
        (loss,) = await runtime.forget(host.node, lose=True)
        assert (loss.host, loss.seconds) == (host.name, None)
        assert await until_back(stub) == 1, "it began anew"
        assert (await stub.where())[1] == other

        nodes.add(Path(one).name[0])
        os.kill((await stub.where())[0], signal.SIGKILL)
        assert await until_back(stub) == 2
        assert (await stub.where())[1] == other, "though the disk that has it is there again"
        old = LocalRuntime(Path(one) / tmp_path.name / host.name)
        me = Presence(host.node, host.ip, os.getpid(), 0.0)
        with pytest.raises(DiskForgotten):
            await enter(old, runtime.plan.shared(), host.name, me, anywhere=False)
        await runtime.down()


async def test_a_disk_that_is_given_up_is_followed_by_what_the_replica_has(
    nodes: Nodes, tmp_path: Path
) -> None:
    replica = (tmp_path / "replica").as_uri()
    async with opened(tmp_path, replica=replica) as runtime:
        found = await spread(runtime)
        one, other = found
        stub, pid = found[one]
        for n in range(2, 6):
            assert await stub.add() == n
        written = time.time()
        host = next(one for one in runtime.hosts() if one.pid == pid)
        while reach(runtime.plan.shared(), host.name).complete < written:
            await asyncio.sleep(0.05)
        await lost(nodes, runtime, one, pid)
        (loss,) = await runtime.forget(host.node)
        assert loss.complete >= written
        assert loss.seen >= written
        assert loss.seconds == 0
        assert await until_back(stub) == 6
        assert (await stub.where())[1] == other
        await runtime.down()
        nodes.add(Path(one).name[0])


async def until_away(stub: Any) -> None:
    while True:
        try:
            await stub.add()
        except DiskAway:
            raise
        except HostLost:
            await asyncio.sleep(0.05)
