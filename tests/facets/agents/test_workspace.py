"""Workspace: files as tools, which a model uses well or ill."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from facets.agents import Agent, Workspace
from facets.agents.workspace import OUTPUTS, SCANNED
from facets.codemode.tokens import tokens
from facets.errors import BadToolArguments, FacetsError
from facets.testing import MemoryRuntime
from tests.facets.agents.test_turns import call, script

Use = Callable[..., Awaitable[str]]
WORK: list[Callable[..., Awaitable[Any]]] = []
SPACE = Workspace("/work", max_tokens=100)


class Clerk(Agent):
    model = "test"

    async def do(self, space: Workspace) -> Any:
        tools = {one.name: one for one in space.bind(self)}

        async def use(name: str, **arguments: Any) -> str:
            return str(await tools[name].call(**arguments))

        return await WORK.pop()(self, use)


class Desk:
    """Has an agent do what no call could carry."""

    def __init__(self, clerk: Any) -> None:
        self.clerk = clerk

    async def do(self, work: Callable[..., Awaitable[Any]], space: Workspace = SPACE) -> Any:
        WORK.append(work)
        return await self.clerk.do(space)


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    async with MemoryRuntime() as runtime:
        yield Desk(runtime.get(Clerk, "a"))


async def test_files_are_written_read_listed_found_and_deleted(desk: Desk) -> None:
    async def work(_agent: Agent, use: Use) -> None:
        assert await use("ls") == await use("find", pattern="**") == "[nothing]"
        assert await use("write", path="/src/a.py", text="one\ntwo\n") == "made /src/a.py: 8 bytes"
        assert await use("write", path="src/b.txt", text="") == "made src/b.txt: 0 bytes"
        assert await use("write", path="/src/b.txt", text="2") == "replaced /src/b.txt: 1 bytes"
        assert await use("ls") == "src/"
        assert await use("ls", path="/src") == "a.py\t8\nb.txt\t1"
        assert await use("find", pattern="**/*.py") == "/src/a.py"
        assert await use("read", path="/src/a.py") == "1\tone\n2\ttwo"
        assert await use("grep", texts=["TWO", "2"]) == "/src/b.txt:1:2"
        found = await use("grep", texts=["TWO"], files="src/*.py", ignore_case=True)
        assert found == "/src/a.py:2:two"
        with pytest.raises(FacetsError):
            await use("delete", path="/src")
        assert await use("delete", path="/src/b.txt") == "deleted /src/b.txt"
        assert await use("delete", path="/src", recursive=True) == "deleted /src"
        with pytest.raises(FacetsError, match=r"/src/a\.py"):
            await use("read", path="/src/a.py")

    await desk.do(work)


async def test_an_edit_must_fit_exactly_once_and_says_what_to_do_otherwise(desk: Desk) -> None:
    async def work(agent: Agent, use: Use) -> None:
        text = "x = 1\ny = 2\nx = 3\n"
        await use("write", path="/a", text=text)
        for old, told in (
            ("x = ", "2 times in /a"),
            ("y = 2\n\nx = 3", "as it stands; its first line is in line 2"),
            ("z", "is not in /a"),
            ("", "empty"),
        ):
            with pytest.raises(BadToolArguments, match=told):
                await use("edit", path="/a", old=old, new="!")
        assert agent.fs.read_text("/work/a") == text
        assert await use("edit", path="/a", old="2\nx", new="5\nz") == "edited /a, line 2"
        assert agent.fs.read_text("/work/a") == "x = 1\ny = 5\nz = 3\n"

    await desk.do(work)


async def test_a_long_file_is_read_in_ranges_that_say_where_to_go_on(desk: Desk) -> None:
    async def work(_agent: Agent, use: Use) -> None:
        await use("write", path="/a", text="\n".join(f"line {n}" for n in range(1, 301)))
        seen, start = [], 1
        while True:
            text = await use("read", path="/a", start=start)
            assert tokens(text) <= 130
            *lines, last = text.split("\n")
            if not last.startswith("["):
                seen += [*lines, last]
                break
            seen += lines
            start = int(last.rpartition("=")[2].rstrip("]"))
        assert [one.partition("\t")[2] for one in seen] == [f"line {n}" for n in range(1, 301)]
        assert await use("read", path="/a", start=7, lines=1) == (
            "7\tline 7\n[lines 7-7 of 300; go on with start=8]"
        )
        with pytest.raises(BadToolArguments, match="300 lines"):
            await use("read", path="/a", start=301)
        await use("write", path="/long", text="x" * 10_000)
        assert "more characters]" in await use("read", path="/long")
        assert tokens(await use("read", path="/long")) < 130

    await desk.do(work)


async def test_of_a_long_list_the_rest_is_in_a_file_and_old_ones_go(desk: Desk) -> None:
    async def work(agent: Agent, use: Use) -> None:
        for n in range(100):
            await use("write", path=f"/many/file-{n:03}", text="hit\n")
        told = await use("grep", texts=["hit"])
        assert tokens(told) < 130
        assert told.endswith("of 100 lines; all are in /.output/grep-1.txt]")
        kept = agent.fs.read_text("/work/.output/grep-1.txt")
        assert kept.count("\n") == 99
        assert "1\t/many/file-000" in await use("read", path="/.output/grep-1.txt")
        for _ in range(OUTPUTS + 5):
            told = await use("find", pattern="**")
        assert ".output" not in told.partition("\n[")[0]
        assert len(agent.fs.listdir("/work/.output")) == OUTPUTS
        assert "/.output/find-56.txt" in await use("find", pattern=".output/find-56*")
        only = agent.fs.view("/work")
        assert only.exists("/.output/find-56.txt")

    await desk.do(work)


async def test_a_workspace_for_reading_has_no_tool_that_changes_and_keeps_no_files(
    desk: Desk,
) -> None:
    async def work(agent: Agent, use: Use) -> None:
        agent.fs.mkdir("/work")
        for n in range(200):
            agent.fs.write_text(f"/work/{n}", "hit")
        assert (await use("grep", texts=["hit"])).endswith("of 200 lines; all are not shown]")
        for name in ("write", "edit", "delete"):
            with pytest.raises(KeyError):
                await use(name)

    await desk.do(work, Workspace("/work", "r", max_tokens=100))


async def test_nothing_outside_of_the_folder_is_read_written_or_found(desk: Desk) -> None:
    async def work(agent: Agent, use: Use) -> None:
        agent.fs.write_text("/secret", "hidden")
        agent.fs.mkdir("/work")
        agent.fs.symlink("/secret", "/work/link")
        agent.fs.symlink("/", "/work/top")
        for name, arguments in (
            ("read", {"path": "/../secret"}),
            ("read", {"path": "/link"}),
            ("read", {"path": "/top/secret"}),
            ("ls", {"path": "/top"}),
            ("write", {"path": "/top/secret", "text": "x"}),
            ("write", {"path": "/link", "text": "x"}),
            ("write", {"path": "/top/new/file", "text": "x"}),
            ("edit", {"path": "/link", "old": "hidden", "new": "x"}),
            ("delete", {"path": "/top/secret"}),
            ("delete", {"path": "/", "recursive": True}),
            ("read", {"path": "a\0b"}),
        ):
            with pytest.raises(FacetsError):
                await use(name, **arguments)
        assert "hidden" not in await use("grep", texts=["hidden"])
        assert "secret" not in await use("find", pattern="/top/*")
        assert await use("write", path="/../../x", text="inside") == "made /../../x: 6 bytes"
        assert agent.fs.read_text("/work/x") == "inside"
        assert agent.fs.read_text("/secret") == "hidden"
        assert sorted(agent.fs.listdir("/")) == ["secret", "work"]

    await desk.do(work)


async def test_what_is_no_text_is_said_so_and_a_search_ends_where_it_would_hold_the_loop(
    desk: Desk,
) -> None:
    async def work(agent: Agent, use: Use) -> None:
        agent.fs.mkdir("/work")
        agent.fs.write("/work/a.png", b"\x89\0hit")
        agent.fs.write("/work/b", b"\xff hit")
        with pytest.raises(BadToolArguments, match="is no text: 5 bytes"):
            await use("read", path="/a.png")
        assert await use("grep", texts=["hit"]) == "/b:1:� hit"
        with pytest.raises(BadToolArguments):
            await use("grep", texts=[""])
        for n in range(3):
            agent.fs.write(f"/work/c{n}", b"hit\n" + b"x" * (SCANNED // 2 - 10))
        told = await use("grep", texts=["hit"])
        assert told.count(":1:hit") == 2
        assert "[not looked through: /c" in told

    await desk.do(work)


class Coder(Agent):
    model = script(
        [call("write", {"path": "/a", "text": "one"}, "1")],
        [call("edit", {"path": "/a", "old": "two", "new": "x"}, "1"),
         call("read", {"path": "/b"}, "2")],
        [call("edit", {"path": "/a", "old": "one", "new": "two"}, "1")],
        "done",
    )  # fmt: skip
    tools = [Workspace()]

    async def text(self) -> tuple[str, list[str]]:
        said = [one.message for one in self.session.path()]
        parts = [part for one in said for part in one.parts if part.part_kind == "tool-return"]
        return self.fs.read_text("/workspace/a"), [str(part.content) for part in parts]


async def test_a_model_works_on_files_and_reads_what_was_wrong() -> None:
    async with MemoryRuntime() as runtime:
        coder = runtime.get(Coder, "a")
        assert await coder.run("go") == "done"
        text, told = await coder.text()
        assert text == "two"
        assert told[1].startswith("the text is not in /a")
        assert told[2].startswith("FileMissing: ")


TEXT = st.text(st.sampled_from("ab\n"), max_size=12)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(TEXT, TEXT, TEXT)
async def test_an_edit_is_one_replacement_or_nothing(text: str, old: str, new: str) -> None:
    async def work(agent: Agent, use: Use) -> None:
        await use("write", path="/a", text=text)
        at = text.find(old)
        once = bool(old) and at >= 0 and text.count(old) == 1
        try:
            await use("edit", path="/a", old=old, new=new)
        except BadToolArguments:
            assert not once
            assert agent.fs.read_text("/work/a") == text
        else:
            assert once
            assert agent.fs.read_text("/work/a") == text[:at] + new + text[at + len(old) :]

    async with MemoryRuntime() as runtime:
        await Desk(runtime.get(Clerk, "a")).do(work)
