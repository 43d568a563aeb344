"""A cluster of several nodes on this machine, each with a disk and a way to S3 of its own."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actors.ray.router import handle
from actors.ray.runtime import RayRuntime
from tests.actors.ray.proxy import Proxy

DISK = "FACETS_TEST_DISK"
HOSTS = ("host-0", "host-1", "host-2")


def opened(replica: str) -> RayRuntime:
    """Three hosts, on whatever node, each with its state on the disk of that."""
    return RayRuntime(
        f"${DISK}/state",
        hosts=len(HOSTS),
        name="faults",
        replica=replica,
        durability="replicated",
        resources={"num_cpus": 1},
    )


@dataclass(eq=False)
class Node:
    """One node."""

    disk: Path
    proxy: Proxy
    ray: Any
    """Ray's own, to be removed."""


class Nodes:
    """A head that runs nothing, and nodes that may come and go."""

    def __init__(self, folder: Path, s3: str) -> None:
        from ray.cluster_utils import Cluster

        self._folder = folder
        self._s3 = s3
        self._count = 0
        self.cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
        self.nodes: list[Node] = []
        self._gone: list[Node] = []

    def add(self) -> Node:
        """One more node, with an empty disk."""
        self._count += 1
        disk = self._folder / f"n{self._count}"
        disk.mkdir()
        proxy = Proxy(self._s3)
        env = {DISK: str(disk), "AWS_ENDPOINT_URL": proxy.url}
        node = Node(disk, proxy, self.cluster.add_node(num_cpus=4, env_vars=env))
        self.nodes.append(node)
        return node

    async def where(self, runtime: str, host: str) -> tuple[int, Node]:
        """The process of a host, and its node."""
        pid, disk = await handle(runtime, host).__ray_call__.remote(_here)
        return pid, next(node for node in self.nodes if str(node.disk) == disk)

    def lose(self, node: Node, pids: list[int]) -> None:
        """The machine is gone for Ray, with these processes."""
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        self.cluster.remove_node(node.ray, allow_graceful=False)
        self.nodes.remove(node)
        self._gone.append(node)

    def close(self) -> None:
        self.cluster.shutdown()
        for node in self.nodes + self._gone:
            node.proxy.close()


def ended(pid: int) -> bool:
    """Whether a process has, also one that nobody has reaped."""
    try:
        return not list(Path(f"/proc/{pid}/fd").iterdir())
    except (FileNotFoundError, PermissionError, ProcessLookupError):
        return True


def _here(_: Any) -> tuple[int, str]:
    return os.getpid(), os.environ[DISK]


@contextmanager
def cluster(folder: Path, s3: str, nodes: int) -> Iterator[Nodes]:
    """A cluster, with this process connected to it as a driver."""
    import ray

    made = Nodes(folder, s3)
    try:
        for _ in range(nodes):
            made.add()
        ray.init(made.cluster.address, namespace="facets", log_to_driver=False)
        yield made
    finally:
        ray.shutdown()
        made.close()
