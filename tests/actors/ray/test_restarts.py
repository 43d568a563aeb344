"""A cluster ends and another begins: what hosts share comes back from their disks."""

from __future__ import annotations

from pathlib import Path

import pytest

from actors.ray.errors import DiskAway
from tests.actors.ray.disks import Counter, nodes_of, opened, spread, until_back


@pytest.mark.timeout(240)  # two clusters, on a busy machine
async def test_a_new_cluster_goes_on_from_the_disks_it_has_and_begins_nothing_anew(
    tmp_path: Path,
) -> None:
    base = tmp_path / "disks"
    base.mkdir()
    with nodes_of(base, "a", "b"):
        async with opened(tmp_path) as runtime:
            found = await spread(runtime)
            a, b = (next(disk for disk in found if Path(disk).name == name) for name in "ab")
            names = {disk: stub._ref.name for disk, (stub, _) in found.items()}
            before = {host.name for host in runtime.hosts()}
            await runtime.down()
    with nodes_of(base, "a") as nodes:
        async with opened(tmp_path) as runtime:
            there, away = (runtime.get(Counter, names[disk]) for disk in (a, b))
            assert await there.add() == 2
            with pytest.raises(DiskAway):
                await away.add()
            nodes.add("b")
            assert await until_back(away) == 2
        nodes.add("c")
        async with opened(tmp_path) as runtime:
            hosts = {host.name: host for host in runtime.hosts()}
            (new,) = set(hosts) - before
            assert set(hosts) == {*before, new}
            assert (hosts[new].state, hosts[new].buckets) == ("up", 0)
            assert await runtime.get(Counter, names[b]).add() == 3
            await runtime.scale("per-node")
            assert all(host.buckets > 1000 for host in runtime.hosts())
            assert await runtime.get(Counter, names[b]).add() == 4
            await runtime.drain(new)
            assert {host.name for host in runtime.hosts()} == before
            await runtime.down()
