"""Disks that are given up: what their hosts go on from, and that they never serve again."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from actors.local import LocalRuntime
from actors.ray.entering import enter
from actors.ray.errors import DiskForgotten, NodeThere, OnlyCopy
from actors.ray.health import Presence
from storage.replica.reach import reach
from tests.actors.ray.disks import Nodes, lost, nodes_of, opened, spread, until_back


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    with nodes_of(tmp_path_factory.mktemp("disks"), "a", "b") as made:
        yield made


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
