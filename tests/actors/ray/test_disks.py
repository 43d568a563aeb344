"""Hosts whose disk has the only copy: they run where it is, and nowhere else."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from actors.ray.errors import DiskAway, HostLost
from actors.ray.runtime import RayRuntime
from facets import Actor

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
        name = next(host.name for host in runtime.hosts() if host.pid == pid)
        node = nodes.lose(one)
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(DiskAway) as caught:
            await until_away(stub)
        assert caught.value.fields["node"] == node
        lost = next(host for host in runtime.hosts() if host.name == name)
        assert (lost.state, lost.node) == ("lost", node)
        assert await found[other][0].add() == 2
        nodes.add(Path(one).name[0])
        assert await until_back(stub) == 2
        assert (await stub.where())[1] == one
        await runtime.down()


async def until_away(stub: Any) -> None:
    while True:
        try:
            await stub.add()
        except DiskAway:
            raise
        except HostLost:
            await asyncio.sleep(0.05)
