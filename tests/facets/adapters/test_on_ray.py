"""The same adapters on a cluster: what they give to actors is made in another process."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langgraph.types import Command
from pydantic_ai.workspaces import Workspace

from facets import RayRuntime
from facets.adapters.deepagents import FacetBackend
from facets.adapters.langgraph import FacetSaver
from facets.adapters.openai_agents import FacetSession
from facets.adapters.pydantic_ai import FacetToolset, FacetWorkspace
from facets.adapters.smolagents import FacetExecutor
from tests.facets.adapters.classes import Tally
from tests.facets.adapters.test_langgraph import asking, of
from tests.facets.adapters.test_pydantic_ai import ask


@pytest.fixture(scope="module")
def ray() -> Iterator[Any]:
    import ray

    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False, namespace="facets")
    yield ray
    ray.shutdown()


async def test_every_adapter_works_with_actors_of_another_host(ray: Any, tmp_path: Path) -> None:
    async with RayRuntime(tmp_path / "state", hosts=1) as runtime:
        await tools_and_sessions(runtime)
        await graphs(runtime)
        await files(runtime)
        await code(runtime)
        await runtime.down()


async def tools_and_sessions(runtime: RayRuntime) -> None:
    toolset = FacetToolset(runtime.get(Tally, "a"), interface=Tally)
    assert await ask(toolset, ("add", {"word": "octopus"}), ("words", {})) == "1 | ['octopus']"
    session = FacetSession(runtime, "alice")
    await session.add_items([{"role": "user", "content": "hello"}])
    assert await session.pop_item() == {"role": "user", "content": "hello"}


async def graphs(runtime: RayRuntime) -> None:
    graph = asking(FacetSaver(runtime))
    await graph.ainvoke({"said": ["hello"]}, of("alice"))
    done = await graph.ainvoke(Command(resume="yes"), of("alice"))
    assert done["said"] == ["hello", "begun", "yes"]
    assert len([one async for one in FacetSaver(runtime).alist(None)]) == 4


async def files(runtime: RayRuntime) -> None:
    workspace = Workspace(FacetWorkspace(runtime, Tally, "a"))
    await workspace.write_text("/deep/notes", "one two")
    backend = FacetBackend(runtime, Tally, "a")
    assert (await backend.aedit("/deep/notes", "two", "2")).occurrences == 1
    assert "not found" in str((await backend.aedit("/deep/notes", "two", "2")).error)
    assert await workspace.read_text("/deep/notes") == "one 2"


async def code(runtime: RayRuntime) -> None:
    executor = FacetExecutor(runtime, "alice")
    executor.send_tools({"double": lambda n: 2 * n})
    assert (await asyncio.to_thread(executor, "x = double(4)\nx")).output == 8
    assert (await asyncio.to_thread(executor, "x + 1")).output == 9
    await asyncio.to_thread(executor.cleanup)
