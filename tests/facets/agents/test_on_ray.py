"""The same agents on a cluster: turns, sub-agents, events, code mode and MCP on hosts that die."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, StdioServerParameters

from actors.ray.errors import HostLost
from actors.ray.runtime import RayRuntime
from facets.agents import Agent, Event, Progressed, TextDelta, ToolFinished, as_tool, tool
from facets.codemode import CodeMode, FunctionConnector, McpConnector
from tests.facets.agents.test_log import counted, numbered
from tests.facets.agents.test_turns import call, script

SHOP = '''
from mcp.server.mcpserver import MCPServer

server = MCPServer("shop")


@server.tool()
def price(count: int) -> float:
    """The price of so many."""
    return 2.5 * count


server.run()
'''


def note(path: Path, what: str) -> None:
    with path.open("a") as file:
        file.write(f"{what}\n")


class Surveyor(Agent):
    """Surveys a place."""

    model = script([call("measure")], "three metres")

    @tool
    async def measure(self) -> int:
        """Measure."""
        await self.progress("measuring", 0.5, milestone="begun")
        return os.getpid()


class Builder(Agent):
    """Digs, then waits until somebody says that the ground is firm."""

    model = script(
        [call("dig", {"what": "left"}), call("dig", {"what": "right"})],
        [call("surveyor", {"prompt": "measure"})],
        [call("firm")],
        "built",
    )
    tools = (as_tool(Surveyor),)

    async def here(self, path: str) -> None:
        self.kv["path"] = path

    @tool
    async def dig(self, what: str) -> str:
        """Dig."""
        note(Path(self.kv["path"]) / "done", what)
        return what

    @tool(seconds=None)
    async def firm(self) -> str:
        """Wait."""
        note(Path(self.kv["path"]) / "pids", str(os.getpid()))
        while not (Path(self.kv["path"]) / "firm").exists():
            await asyncio.sleep(0.02)
        return "firm"


class Calculator(Agent):
    """Computes with code, over functions and an MCP server."""

    model = script(
        [call("execute", {"code": "await shop.price(count=await maths.double(n=21))"})],
        "computed",
    )

    async def on_start(self) -> None:
        def double(n: int) -> int:
            """Twice as much."""
            return 2 * n

        command = StdioServerParameters(command=sys.executable, args=["-c", SHOP])
        self.shop = McpConnector("shop", lambda: Client(command))
        self.tools = CodeMode(self, [FunctionConnector("maths", [double]), self.shop]).tools()

    async def on_stop(self) -> None:
        await self.shop.close()


@pytest.fixture(scope="module")
def ray() -> Iterator[Any]:
    """A local Ray, ended after the last test."""
    import ray

    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False, namespace="agents")
    yield ray
    ray.shutdown()


@pytest.fixture
async def runtime(ray: Any, tmp_path: Path) -> AsyncIterator[RayRuntime]:
    """Two hosts."""
    runtime = RayRuntime(tmp_path / "state", hosts=2)
    async with runtime:
        yield runtime
        await runtime.down()


async def told(path: Path, lines: int) -> list[str]:
    """A file's lines, once there are so many."""
    while not path.exists() or len(path.read_text().splitlines()) < lines:
        await asyncio.sleep(0.02)
    return path.read_text().splitlines()


async def back(work: Any) -> Any:
    """What it returns once its host is back."""
    while True:
        try:
            return await work()
        except HostLost:
            await asyncio.sleep(0.05)


async def test_a_turn_whose_host_is_killed_goes_on_at_another_and_repeats_no_finished_call(
    runtime: RayRuntime, tmp_path: Path
) -> None:
    builder = runtime.get(Builder, "a")
    await builder.here(str(tmp_path))
    await builder.submit("build", id="1")
    seen: list[Event] = []
    (first,) = await told(tmp_path / "pids", 1)
    assert int(first) != os.getpid()
    async for event in builder.events("1"):
        seen.append(event)
        if isinstance(event, ToolFinished) and event.name == "surveyor":
            break
    os.kill(int(first), signal.SIGKILL)

    async def go_on() -> list[Event]:
        return [one async for one in builder.events("1", after=seen[-1].seq)]

    (tmp_path / "firm").touch()
    seen += await back(go_on)
    turn = await builder.wait("1")
    assert (turn.status, turn.output, turn.steps) == ("completed", "built", 4)
    assert (tmp_path / "done").read_text().split() == ["left", "right"]
    pids = (tmp_path / "pids").read_text().split()
    assert len(set(pids)) == len(pids) == 2
    assert numbered(counted(seen)) == numbered(counted([one async for one in builder.events("1")]))
    assert [one.milestone for one in seen if isinstance(one, Progressed)] == ["begun"]
    (run,) = await builder.runs()
    assert (run.status, run.output, run.milestones) == ("completed", "three metres", ("begun",))


async def test_agents_stream_and_compute_with_code_on_their_hosts(runtime: RayRuntime) -> None:
    calculator = runtime.get(Calculator, "a")
    events = [one async for one in calculator.stream("twice 21", id="1")]
    (finished,) = [one for one in events if isinstance(one, ToolFinished)]
    assert "105" in finished.content
    assert [one.text for one in events if isinstance(one, TextDelta)] == ["computed"]
