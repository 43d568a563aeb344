"""FacetWorkspace under pydantic-ai's own suite, and in a real run."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
from pydantic_ai import Agent, RunContext
from pydantic_ai.models.test import TestModel
from pydantic_ai.workspaces import (
    SupportsFilesystem,
    SupportsRealpath,
    Workspace,
    WorkspaceBackend,
    WorkspaceRef,
)
from pydantic_ai.workspaces.conformance import WorkspaceBackendSuite

from facets import Actor, LocalRuntime
from facets.adapters.pydantic_ai import FacetWorkspace
from facets.testing import MemoryRuntime


class Notes(Actor):
    async def text(self, path: str) -> str:
        return self.fs.read_text(path)

    async def link(self, target: str, path: str) -> None:
        self.fs.symlink(target, path)

    async def work(self) -> str:
        workspace = Workspace(FacetWorkspace(self.fs))
        await workspace.write_text("plan.txt", "begin")
        return await workspace.read_text("/plan.txt")


def applies(rule: Any) -> bool:
    """There are no commands, what a backend is of is known when it is made, and an actor that was
    deleted is an empty one."""
    needed = {"fresh_backend", "destroy_environment"} & set(inspect.signature(rule).parameters)
    return not needed and "_commands(" not in inspect.getsource(rule)


RULES = [
    name
    for name, rule in vars(WorkspaceBackendSuite).items()
    if name.startswith("test_") and applies(rule)
]


def test_most_rules_about_files_apply() -> None:
    assert len(RULES) >= 18


@pytest.mark.parametrize("rule", RULES)
async def test_it_keeps_the_rule_of_the_suite(rule: str, runtime: LocalRuntime) -> None:
    given: dict[str, Any] = {
        "backend": FacetWorkspace(runtime, Notes, "a"),
        "attach_backend": lambda ref: FacetWorkspace(runtime, Notes, ref.id.removeprefix("Notes/")),
        "enforces_parent_file_errors": True,
    }
    function = getattr(WorkspaceBackendSuite(), rule)

    await function(**{name: given[name] for name in inspect.signature(function).parameters})


async def test_it_has_files_and_links_and_no_commands(runtime: LocalRuntime) -> None:
    backend = FacetWorkspace(runtime, Notes, "a")

    assert isinstance(backend, WorkspaceBackend)
    assert isinstance(backend, SupportsFilesystem)
    assert isinstance(backend, SupportsRealpath)
    assert backend.ref == WorkspaceRef(provider="facets", id="Notes/a")


async def test_what_a_tool_of_a_run_writes_the_actor_reads_after_a_crash() -> None:
    agent = Agent(TestModel())

    @agent.tool
    async def note(ctx: RunContext[Any]) -> str:
        await ctx.workspace.write_text("deep/notes.txt", "eight arms")
        return "noted"

    async with MemoryRuntime() as runtime:
        await agent.run("go", workspace=FacetWorkspace(runtime, Notes, "a"))
        await runtime.crash()
        assert await runtime.get(Notes, "a").text("/deep/notes.txt") == "eight arms"


async def test_links_are_resolved_as_the_system_does_and_never_lead_out(
    runtime: LocalRuntime,
) -> None:
    notes, workspace = runtime.get(Notes, "a"), Workspace(FacetWorkspace(runtime, Notes, "a"))
    await workspace.write_bytes("/a/b/file", b"x")
    for target, path in [
        ("/a", "/link"), ("b", "/a/rel"), ("../out", "/a/up"), ("two", "/one"), ("one", "/two"),
        ("../../../../../etc", "/far"), ("/a", "/a/b/back"),
    ]:  # fmt: skip
        await notes.link(target, path)

    assert await workspace.realpath("/link/missing") == "/a/missing"
    assert await workspace.realpath("/a/b/back/x") == "/a/x"
    assert await workspace.realpath("/a/rel/file") == "/a/b/file"
    assert await workspace.realpath("/a/rel/..") == "/a"
    assert await workspace.realpath("/a/up/x") == "/out/x"
    assert await workspace.realpath("/far/passwd") == "/etc/passwd"
    with pytest.raises(FileNotFoundError):
        await workspace.read_bytes("/far/passwd")
    with pytest.raises(OSError, match="too many links"):
        await workspace.realpath("/one/x")
    assert {(one.name, one.is_dir) for one in await workspace.list_dir("/")} == {
        ("a", True), ("link", True), ("one", False), ("two", False), ("far", False),
    }  # fmt: skip


async def test_inside_an_actor_its_own_files_are_the_workspace(runtime: LocalRuntime) -> None:
    assert await runtime.get(Notes, "a").work() == "begin"
    assert await runtime.get(Notes, "a").text("plan.txt") == "begin"


async def test_an_actor_that_has_never_written_has_an_empty_workspace(state: Path) -> None:
    async with LocalRuntime(state) as runtime:
        workspace = Workspace(FacetWorkspace(runtime, Notes, "new"))
        assert await workspace.list_dir("/") == []
        assert not await workspace.exists("/x")
        assert runtime.list(Notes) == []
        await workspace.write_bytes("x", b"1")
        assert runtime.list(Notes) == ["new"]
    with pytest.raises(TypeError, match="give a runtime, its class and its name"):
        FacetWorkspace(runtime)
