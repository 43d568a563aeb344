"""A sandbox in code mode and as a tool of an agent; what its changes undo."""

from __future__ import annotations

import itertools
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from facets import Actor
from facets.agents import Agent
from facets.codemode import Allow, Ask, CodeMode, Execution, SandboxConnector
from facets.sandbox import Sandbox
from facets.sandbox.changes import Changes
from facets.testing import MemoryRuntime

HOLD: dict[str, Sandbox] = {}


class Coder(Actor):
    async def on_start(self) -> None:
        connector = SandboxConnector(HOLD["sandbox"], self, "/work")
        self.code = CodeMode(self, [connector], rules=[Ask(when=dangerous), Allow()])

    async def put(self, path: str, text: str) -> None:
        self.fs.mkdir("/work", exist_ok=True)
        self.fs.write_text(f"/work/{path}", text)

    async def execute(self, source: str) -> Execution:
        return await self.code.execute(source)

    async def rollback(self, execution: str) -> int:
        return len(await self.code.rollback(execution))

    async def approve(self, call: str) -> Execution:
        return await self.code.approve(call)

    async def files(self) -> dict[str, str]:
        paths = self.fs.glob("/work/**") if self.fs.exists("/work") else []
        return {path: self.fs.read_text(path) for path in paths if self.fs.is_file(path)}

    async def undo_many(self, seeds: int) -> list[int]:
        """Seeds of random changes that their inverse did not undo."""
        return [seed for seed in range(seeds) if not undone(self, random.Random(seed))]


def dangerous(given: dict[str, Any]) -> bool:
    return "rm" in given["command"]


def tree(actor: Actor) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for folder, folders, others in actor.fs.walk("/"):
        for name in (*folders, *others):
            path = f"{folder.rstrip('/')}/{name}"
            kind = actor.fs.lstat(path).kind
            content = actor.fs.readlink(path) if kind == "link" else kind
            found[path] = actor.fs.read(path) if kind == "file" else content
    return found


Tree = dict[str, tuple[str, Any]]


def grown(dice: random.Random) -> Tree:
    """A workspace: kind and content by path."""
    found: Tree = {}
    for path in ["a", "b", "a/c", "a/d", "b/c", "a/c/e", "b/c/e"]:
        above = path.rpartition("/")[0]
        kind = dice.choice(["", "file", "link", "directory", "directory"])
        if kind and (not above or found.get(above, ("", None))[0] == "directory"):
            links = ["/secret", "../secret", "a"]
            content = {"file": dice.randbytes(1), "link": dice.choice(links)}.get(kind)
            found[path] = kind, content
    return found


def between(before: Tree, after: Tree) -> Changes:
    """What a box says that went from one to the other."""
    found = Changes()
    found.gone = sorted(
        (path for path, (kind, _) in before.items() if after.get(path, ("", 0))[0] != kind),
        reverse=True,
    )
    for path, (kind, content) in after.items():
        if before.get(path) == (kind, content):
            continue
        if kind == "directory":
            found.directories[path] = 0o755
        elif kind == "file":
            found.files[path] = 0o644, content
        else:
            found.links[path] = content
    return found


def undone(actor: Actor, dice: random.Random) -> bool:
    """Whether changes from workspace to workspace arrive, and their inverses lead back."""
    actor.fs.remove_tree("/")
    actor.fs.mkdir("/secret")
    actor.fs.write("/secret/c", b"secret")
    actor.fs.mkdir("/work")
    trees: list[Tree] = [{}, *(grown(dice) for _ in range(3))]
    for before, after in itertools.pairwise(trees):
        made, here = between(before, after), tree(actor)
        back = Changes.unpacked(made.inverse(actor.fs, "/work").packed())
        made.apply(actor, "/work")
        arrived = tree(actor)
        back.apply(actor, "/work")
        if tree(actor) != here or arrived != expected(after):
            return False
        made.apply(actor, "/work")
    return True


def expected(workspace: Tree) -> dict[str, Any]:
    found: dict[str, Any] = {"/secret": "directory", "/secret/c": b"secret", "/work": "directory"}
    for path, (kind, content) in workspace.items():
        found[f"/work/{path}"] = "directory" if kind == "directory" else content
    return found


@pytest.fixture
async def runtime(sandbox: Sandbox) -> AsyncIterator[MemoryRuntime]:
    HOLD["sandbox"] = sandbox
    async with MemoryRuntime() as runtime:
        yield runtime
    HOLD.clear()


async def test_code_runs_commands_over_the_files_of_its_actor(runtime: MemoryRuntime) -> None:
    coder = runtime.get(Coder, "one")
    await coder.put("in.txt", "octopus")
    done = await coder.execute("return await sandbox.run(['sh', '-c', 'cat in.txt | tee out.txt'])")

    assert done.status == "completed", done.error
    assert (done.result["exit_code"], done.result["stdout"]) == (0, "octopus")
    assert done.result["changed"] == ["out.txt"]
    assert await coder.files() == {"/work/in.txt": "octopus", "/work/out.txt": "octopus"}


async def test_a_rollback_undoes_what_commands_changed(runtime: MemoryRuntime) -> None:
    coder = runtime.get(Coder, "one")
    await coder.put("a", "1")
    await coder.put("b", "2")
    done = await coder.execute(
        "await sandbox.run(['sh', '-c', 'echo 3 > a; mv b c'])\n"
        "await sandbox.run(['sh', '-c', 'mkdir d; mv c d; echo 4 > a'])"
    )
    assert await coder.files() == {"/work/a": "4\n", "/work/d/c": "2"}
    await coder.rollback(done.id)

    assert await coder.files() == {"/work/a": "1", "/work/b": "2"}


async def test_a_command_that_a_rule_asks_for_runs_when_it_is_approved(
    runtime: MemoryRuntime,
) -> None:
    coder = runtime.get(Coder, "one")
    await coder.put("a", "1")
    done = await coder.execute("return (await sandbox.run(['rm', 'a']))['exit_code']")
    assert done.status == "paused"
    assert await coder.files() == {"/work/a": "1"}
    done = await coder.approve(done.pending[0].id)

    assert (done.status, done.result) == ("completed", 0)
    assert await coder.files() == {}


async def test_a_limit_is_an_error_that_code_may_handle(runtime: MemoryRuntime) -> None:
    done = await runtime.get(Coder, "one").execute(
        "try:\n    await sandbox.run(['sleep', '1000'], seconds=0.2)\n"
        "except TimeoutError as error:\n    return str(error)"
    )

    assert "longer than 0.2 seconds" in done.result


@pytest.mark.parametrize("root", ["/", "/codemode", "/codemode/undo/"])
async def test_a_root_that_holds_what_code_mode_keeps_is_refused(
    sandbox: Sandbox, root: str
) -> None:
    with pytest.raises(ValueError, match="a folder of its own"):
        SandboxConnector(sandbox, Actor.__new__(Actor), root)


async def test_the_inverse_of_any_changes_undoes_them_and_nothing_leaves_the_root() -> None:
    HOLD["sandbox"] = Sandbox()
    async with MemoryRuntime() as runtime:
        assert await runtime.get(Coder, "one").undo_many(60) == []


def scripted(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    if len(messages) == 1:
        command = ["sh", "-c", "echo made > made.txt; echo said"]
        return ModelResponse([ToolCallPart("run_command", {"command": command})])
    return ModelResponse([TextPart(str(messages[-1].parts[0].content))])  # type: ignore[union-attr]


class Engineer(Agent):
    model = FunctionModel(scripted)

    @property
    def tools(self) -> Any:  # type: ignore[override]
        return HOLD["sandbox"].tools(self, "/work")

    async def made(self) -> str:
        return self.fs.read_text("/work/made.txt")


async def test_an_agent_that_was_granted_it_runs_commands(runtime: MemoryRuntime) -> None:
    engineer = runtime.get(Engineer, "one")

    assert "'stdout': 'said\\n'" in await engineer.run("make it")
    assert await engineer.made() == "made\n"
