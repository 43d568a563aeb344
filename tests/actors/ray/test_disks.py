"""Hosts whose disk has the only copy: they run where it is, and nowhere else."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from actors.ray.errors import DiskAway
from actors.ray.runtime import RayRuntime
from tests.actors.ray.disks import Nodes, lost, nodes_of, opened, spread, until_away, until_back


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    with nodes_of(tmp_path_factory.mktemp("disks"), "a", "b") as made:
        yield made


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
async def test_per_node_is_a_host_on_each_node_and_one_that_dies_or_stops_is_back_on_its_own(
    nodes: Nodes, tmp_path: Path, how: signal.Signals
) -> None:
    async with opened(tmp_path) as runtime:
        found = await spread(runtime)
        assert set(found) == set(nodes.up)
        stub, pid = found[next(iter(nodes.up))]
        os.kill(pid, how)
        assert await until_back(stub) == 2
        assert not Path(f"/proc/{pid}/fd").is_dir() or not list(Path(f"/proc/{pid}/fd").iterdir())
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


async def test_where_nodes_share_the_root_a_host_goes_on_at_another_node(
    nodes: Nodes, tmp_path: Path
) -> None:
    name = f"of-{tmp_path.name}"[:40]
    async with RayRuntime(
        tmp_path / "state", hosts=2, name=name, resources={"num_cpus": 0.1}
    ) as runtime:
        found = await spread(runtime)
        assert set(found) == set(nodes.up), "new hosts are spread over the nodes"
        one, other = found
        stub, pid = found[one]
        await lost(nodes, runtime, one, pid)
        assert await until_back(stub) == 2
        assert (await stub.where())[1] == other
        await runtime.down()
        nodes.add(Path(one).name)
