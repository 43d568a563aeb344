"""Nodes of one cluster with a disk each, and an actor that counts on them."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from actors.ray.errors import DiskAway, HostLost
from actors.ray.health import HostInfo
from actors.ray.runtime import RayRuntime
from facets import Actor

NAMES = [f"name {i}" for i in range(8)]
QUICK = {
    "health_check_period_ms": 1000,
    "health_check_timeout_ms": 2000,
    "health_check_failure_threshold": 3,
}
"""Ray takes a node for lost after some 4 seconds, and not 15."""


class Counter(Actor):
    async def add(self) -> int:
        self.kv["n"] = self.kv.get("n", 0) + 1
        return int(self.kv["n"])

    async def where(self) -> tuple[int, str]:
        return os.getpid(), os.environ["FACETS_TEST_DISK"]


class Nodes:
    """Nodes of one cluster, each with a disk of its own that outlives it."""

    def __init__(self, cluster: Any, base: Path) -> None:
        self._cluster = cluster
        self._base = base
        self.up: dict[str, Any] = {}

    def add(self, name: str) -> str:
        """A node more; its disk."""
        disk = self._base / name
        disk.mkdir(exist_ok=True)
        env = {"FACETS_TEST_DISK": str(disk)}
        self.up[str(disk)] = self._cluster.add_node(num_cpus=2, env_vars=env)
        return str(disk)

    def lose(self, disk: str) -> str:
        """End a node as the loss of a machine would; its id. Its processes are the caller's."""
        node = self.up.pop(disk)
        self._cluster.remove_node(node, allow_graceful=False)
        return str(node.node_id)


@contextmanager
def nodes_of(base: Path, *names: str) -> Iterator[Nodes]:
    """A head that runs nothing, and nodes of these names. This process is connected to them."""
    import ray
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 0, "include_dashboard": False, "_system_config": QUICK}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    made = Nodes(cluster, base)
    for name in names:
        made.add(name)
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


async def lost(nodes: Nodes, runtime: RayRuntime, disk: str, pid: int) -> HostInfo:
    """Lose a node with the host that runs on it; what was known of that."""
    host = next(one for one in runtime.hosts() if one.pid == pid)
    assert nodes.lose(disk) == host.node
    os.kill(pid, signal.SIGKILL)
    return host


async def until_away(stub: Any) -> None:
    while True:
        try:
            await stub.add()
        except DiskAway:
            raise
        except HostLost:
            await asyncio.sleep(0.05)
