"""Acknowledged writes outlive processes, nodes and disks; who was replaced acknowledges nothing."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from actors.ray.errors import HostLost
from actors.ray.runtime import RayRuntime
from facets import Actor


class Counter(Actor):
    async def add(self) -> int:
        self.kv["n"] = self.kv.get("n", 0) + 1
        return int(self.kv["n"])

    async def where(self) -> tuple[int, str]:
        return os.getpid(), os.environ["FACETS_TEST_DISK"]


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A head that runs nothing, and two nodes with a disk each."""
    import ray
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    made = {}
    for name in ("a", "b"):
        disk = tmp_path_factory.mktemp(name)
        env = {"FACETS_TEST_DISK": str(disk)}
        made[str(disk)] = cluster.add_node(num_cpus=2, env_vars=env)
    ray.init(cluster.address, namespace="facets", log_to_driver=False)
    yield cluster, made
    ray.shutdown()
    cluster.shutdown()


def opened(tmp_path: Path) -> RayRuntime:
    return RayRuntime(
        f"$FACETS_TEST_DISK/{tmp_path.name}",
        hosts=1,
        name=f"of-{tmp_path.name}"[:40],
        replica=(tmp_path / "replica").as_uri(),
        durability="replicated",
        resources={"num_cpus": 1},
    )


async def _until_back(stub: Any) -> int:
    while True:
        try:
            return int(await stub.add())
        except HostLost:
            await asyncio.sleep(0.05)


async def test_a_paused_host_is_replaced_and_acknowledges_nothing_when_it_returns(
    nodes: Any, tmp_path: Path
) -> None:
    async with opened(tmp_path) as runtime:
        stub = runtime.get(Counter, "one")
        assert await stub.add() == 1
        pid, _ = await stub.where()
        os.kill(pid, signal.SIGSTOP)
        with pytest.raises(HostLost):
            await stub.add()
        assert await _until_back(stub) in (2, 3)
        assert (await stub.where())[0] != pid
        await runtime.down()
        assert not Path(f"/proc/{pid}/fd").is_dir() or not list(Path(f"/proc/{pid}/fd").iterdir())


async def test_acknowledged_writes_survive_the_loss_of_a_node_and_its_disk(
    nodes: Any, tmp_path: Path
) -> None:
    cluster, made = nodes
    async with opened(tmp_path) as runtime:
        stub = runtime.get(Counter, "one")
        for i in range(1, 6):
            assert await stub.add() == i
        pid, disk = await stub.where()
        cluster.remove_node(made[disk], allow_graceful=False)
        os.kill(pid, signal.SIGKILL)  # as the loss of a machine would
        assert await _until_back(stub) in (6, 7), "a lost call may have run"
        assert (await stub.where())[1] != disk
