"""What a runtime knows of its hosts."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from actors.ray.directory import BUCKETS
from actors.ray.errors import PythonDiffers
from actors.ray.fleet import HELD
from actors.ray.router import handle
from actors.ray.runtime import RayRuntime
from facets import Actor

NAMES = [f"name {i}" for i in range(12)]


class Here(Actor):
    async def process(self) -> int:
        return os.getpid()

    async def variable(self, name: str) -> str | None:
        return os.environ.get(name)


async def test_hosts_are_told_with_where_they_run_what_they_own_and_how_many_are_awake(
    ray: Any, runtime: RayRuntime
) -> None:
    pids = {await runtime.get(Here, name).process() for name in NAMES}
    hosts = runtime.hosts()
    assert [one.state for one in hosts] == ["up", "up"]
    assert {one.pid for one in hosts} == pids
    assert {one.node for one in hosts} == {ray.get_runtime_context().get_node_id()}
    assert sum(one.buckets for one in hosts) == BUCKETS
    assert sum(one.awake for one in hosts) == len(NAMES)


async def test_a_stopped_process_is_told_as_stuck_and_a_killed_one_comes_back(
    runtime: RayRuntime,
) -> None:
    first = runtime.hosts()[0]
    os.kill(first.pid, signal.SIGSTOP)
    stopped, other = runtime.hosts()
    assert (stopped.state, stopped.pid, stopped.node) == ("stuck", first.pid, first.node)
    assert other.state == "up"
    os.kill(first.pid, signal.SIGKILL)
    while (found := runtime.hosts()[0]).state != "up":
        assert found.state in ("starting", "stuck")
    assert found.pid != first.pid
    assert found.since > first.since


async def test_a_host_that_nothing_starts_is_told_as_lost(ray: Any, runtime: RayRuntime) -> None:
    ray.kill(handle(runtime.name, "host-1"))
    while runtime.hosts()[1].state != "lost":
        pass
    assert runtime.hosts()[0].state == "up"


async def test_hosts_take_no_cpu_and_enough_else_that_their_node_is_not_idle(
    ray: Any, runtime: RayRuntime
) -> None:
    whole = ray.cluster_resources()
    while whole["memory"] - ray.available_resources()["memory"] != 2 * HELD["memory"]:
        await asyncio.sleep(0.05)
    assert ray.available_resources()["CPU"] == whole["CPU"]


async def test_variables_of_a_runtime_env_reach_the_hosts(ray: Any, tmp_path: Path) -> None:
    env = {"env_vars": {"FACETS_TEST_COLOUR": "blue"}}
    async with RayRuntime(tmp_path / "state", resources={"runtime_env": env}) as runtime:
        assert await runtime.get(Here, "one").variable("FACETS_TEST_COLOUR") == "blue"
        await runtime.down()


async def test_a_host_of_another_minor_version_of_python_is_refused_at_connect(
    runtime: RayRuntime,
) -> None:
    def age(_: Any) -> None:
        sys.version_info = (3, 7, 0, "final", 0)  # type: ignore[assignment]

    await handle(runtime.name, "host-1").__ray_call__.remote(age)
    with pytest.raises(PythonDiffers) as caught:
        await RayRuntime(runtime.root, hosts=2).open()
    assert caught.value.fields == {"here": sys.version_info[:2], "there": (3, 7)}
