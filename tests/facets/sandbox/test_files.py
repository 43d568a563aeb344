"""An actor's files in a box: in before, what changed out after, in one commit with the result."""

from __future__ import annotations

import posixpath
from collections.abc import AsyncIterator
from typing import Any

import pytest

from facets import Actor, FileLimits
from facets.errors import FilesQuota, SandboxFailed, SandboxTimeout
from facets.sandbox import Sandbox
from facets.sandbox.changes import Changes
from facets.testing import MemoryRuntime

HOLD: dict[str, Sandbox] = {}


class Builder(Actor):
    async def put(self, path: str, content: bytes) -> None:
        self.fs.mkdir(posixpath.dirname(path), parents=True, exist_ok=True)
        self.fs.write(path, content)

    async def run(self, command: str, root: str = "/work") -> str:
        done = await HOLD["sandbox"].run(self, ["sh", "-c", command], root=root)
        return done.text + done.stderr.decode()

    async def run_and_fail(self, command: str) -> None:
        await HOLD["sandbox"].run(self, ["sh", "-c", command], root="/work")
        raise ValueError

    async def run_for(self, command: str, seconds: float) -> None:
        await HOLD["sandbox"].run(self, ["sh", "-c", command], root="/work", seconds=seconds)

    async def several(self, *commands: str) -> list[str]:
        async with HOLD["sandbox"].open(self, "/work") as box:
            return [(await box.exec(["sh", "-c", one])).text for one in commands]

    async def apply(self, changes: Changes) -> None:
        changes.apply(self, "/work")

    async def files(self, root: str = "/") -> dict[str, Any]:
        found: dict[str, Any] = {}
        for folder, _, names in self.fs.walk(root):
            for name in names:
                path = f"{folder.rstrip('/')}/{name}"
                link = self.fs.lstat(path).kind == "link"
                found[path] = self.fs.readlink(path) if link else self.fs.read(path)
        return found

    async def mode(self, path: str) -> int:
        return self.fs.stat(path).mode

    async def link(self, target: str, path: str) -> None:
        self.fs.symlink(target, path)


@pytest.fixture
async def builder(sandbox: Sandbox) -> AsyncIterator[Builder]:
    HOLD["sandbox"] = sandbox
    async with MemoryRuntime() as runtime:
        yield runtime.get(Builder, "one")
    HOLD.clear()


async def test_a_command_works_on_the_files_of_the_actor(builder: Builder) -> None:
    await builder.put("/work/a/in.txt", b"octopus")
    await builder.put("/other", b"not shown")
    said = await builder.run(
        "find . -type f; tr a-z A-Z < a/in.txt > a/out.txt; chmod 755 a/out.txt"
    )

    assert said == "./a/in.txt\n"
    assert await builder.files() == {
        "/other": b"not shown", "/work/a/in.txt": b"octopus", "/work/a/out.txt": b"OCTOPUS",
    }  # fmt: skip
    assert await builder.mode("/work/a/out.txt") == 0o755


async def test_what_a_command_removes_or_replaces_is_so_in_the_actor(builder: Builder) -> None:
    for path in ("gone", "folder/one", "folder/two", "file", "same"):
        await builder.put(f"/work/{path}", b"old")
    await builder.run(
        "rm gone file; mv folder moved; mkdir file empty; echo n > file/new; ln -s moved link"
    )

    assert await builder.files("/work") == {
        "/work/moved/one": b"old", "/work/moved/two": b"old", "/work/file/new": b"n\n",
        "/work/link": "moved", "/work/same": b"old",
    }  # fmt: skip


async def test_a_change_of_the_same_size_and_time_is_seen(builder: Builder) -> None:
    await builder.put("/work/a", b"old")
    await builder.run("touch -r a stamp; printf new > a; touch -r stamp a; rm stamp")

    assert await builder.files("/work") == {"/work/a": b"new"}


async def test_commands_of_one_box_keep_what_changed_after_each(builder: Builder) -> None:
    await builder.put("/work/a", b"1")

    assert await builder.several("cat a; echo 2 > a", "cat a; rm a", "ls; echo 3 > b") == [
        "1", "2\n", "",
    ]  # fmt: skip
    assert await builder.files("/work") == {"/work/b": b"3\n"}


async def test_files_are_kept_in_one_commit_with_what_the_caller_writes(builder: Builder) -> None:
    await builder.put("/work/a", b"old")
    with pytest.raises(ValueError, match=r"^$"):
        await builder.run_and_fail("echo new > a")

    assert await builder.files("/work") == {"/work/a": b"old"}


async def test_a_command_that_a_limit_ends_changes_no_files(builder: Builder) -> None:
    await builder.put("/work/a", b"old")
    with pytest.raises(SandboxTimeout):
        await builder.run_for("echo new > a; sleep 1000", 0.3)

    assert await builder.files("/work") == {"/work/a": b"old"}


async def test_files_over_the_quota_of_the_actor_change_nothing(sandbox: Sandbox) -> None:
    HOLD["sandbox"] = sandbox
    async with MemoryRuntime(files=FileLimits(total=1 << 20)) as runtime:
        small = runtime.get(Builder, "small")
        with pytest.raises(FilesQuota):
            await small.run("echo a > a; head -c 4000000 /dev/zero > z")
        assert await small.files() == {}


async def test_a_link_never_leads_a_change_out_of_the_root(builder: Builder) -> None:
    await builder.put("/secret/key", b"secret")
    assert "No such file" in await builder.run(
        "ln -s ../secret out; ln -s /secret/key k; cat out/key k"
    )
    await builder.run("rm out k; mkdir out; echo x > out/key; echo x > k")

    assert await builder.files() == {
        "/secret/key": b"secret", "/work/out/key": b"x\n", "/work/k": b"x\n",
    }  # fmt: skip


async def test_a_box_that_lies_about_changes_writes_nothing_outside(builder: Builder) -> None:
    await builder.put("/secret/key", b"secret")
    await builder.put("/work/a", b"a")
    await builder.link("../secret", "/work/out")
    lie = Changes(files={"out/key": (0o644, b"x")}, links={"a/b": "/secret"})
    with pytest.raises(OSError, match="a"):
        await builder.apply(lie)
    assert (await builder.files("/secret")) == {"/secret/key": b"secret"}
    lie = Changes(files={"b/x": (0o644, b"")}, links={"b": "/secret", "b/c": "/etc"})
    await builder.apply(lie)
    await builder.apply(Changes(gone=["out/key"]))
    assert (await builder.files("/secret")) == {"/secret/key": b"secret"}
    await builder.apply(Changes(files={"out/key": (0o644, b"x")}))

    assert await builder.files("/secret") == {"/secret/key": b"secret"}


@pytest.mark.parametrize("path", ["/etc", "../a", "a/../b", "", ".", "a//b", "a\0", 5, "x" * 5000])
def test_a_path_that_leads_out_is_no_change(path: Any) -> None:
    with pytest.raises(SandboxFailed):
        Changes().add(({"path": path, "kind": "link", "target": "a"}, b""), 1 << 20)
    with pytest.raises(SandboxFailed):
        Changes().add(({"gone": [path]}, b""), 1 << 20)
