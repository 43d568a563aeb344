"""FacetBackend and facet_subagent with real deep agents and a scripted model."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path
from typing import Any

import pytest
from deepagents import create_deep_agent
from deepagents.backends import FilesystemBackend
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, ToolMessage

from facets import Actor, LocalRuntime
from facets.adapters.deepagents import FacetBackend, facet_subagent
from facets.agents import Agent
from facets.errors import NotActive
from facets.testing import MemoryRuntime
from tests.facets.adapters.classes import Librarian


class Scripted(GenericFakeChatModel):
    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        return self


def scripted(*calls: tuple[str, dict[str, Any]]) -> Scripted:
    """A model that makes these calls, one in a response, and then is done."""
    answers = [
        AIMessage("", tool_calls=[{"name": name, "args": args, "id": f"call {i}"}])
        for i, (name, args) in enumerate(calls)
    ]
    return Scripted(messages=iter([*answers, AIMessage("done")]))


def read(state: Any) -> list[str]:
    """What the model read of its calls."""
    return [str(one.content) for one in state["messages"] if isinstance(one, ToolMessage)]


class Notes(Actor):
    async def text(self, path: str) -> str:
        return self.fs.read_text(path)

    async def put(self, path: str, data: bytes) -> None:
        self.fs.mkdir(path.rpartition("/")[0] or "/", parents=True, exist_ok=True)
        self.fs.write(path, data)


WORK = [
    ("write_file", {"file_path": "/plan/a.md", "content": "one\ntwo\none"}),
    ("edit_file", {"file_path": "/plan/a.md", "old_string": "two", "new_string": "three"}),
    ("edit_file", {"file_path": "/plan/a.md", "old_string": "one", "new_string": "1"}),
    ("read_file", {"file_path": "/plan/a.md"}),
    ("ls", {"path": "/"}),
    ("grep", {"pattern": "three", "output_mode": "content"}),
    ("glob", {"pattern": "**/*.md"}),
    ("read_file", {"file_path": "/nothing"}),
]


async def test_a_deep_agent_works_on_the_files_of_an_actor_which_outlive_a_crash() -> None:
    async with MemoryRuntime() as runtime:
        agent = create_deep_agent(scripted(*WORK), backend=FacetBackend(runtime, Notes, "a"))

        said = read(await agent.ainvoke({"messages": [("user", "plan")]}))

        assert "appears 2 times" in said[2]
        assert "three" in said[3]
        assert "/plan" in said[4]
        assert "2:three" in said[5].replace(" ", "")
        assert "/plan/a.md" in said[6]
        assert "FileMissing" in said[7]
        assert "Traceback" not in said[7]
        await runtime.crash()
        assert await runtime.get(Notes, "a").text("/plan/a.md") == "one\nthree\none"


def test_plain_code_works_on_the_blocking_runtime(state: Path) -> None:
    with LocalRuntime(state).blocking() as runtime:
        agent = create_deep_agent(scripted(*WORK), backend=FacetBackend(runtime, Notes, "a"))

        said = read(agent.invoke({"messages": [("user", "plan")]}))

        assert "three" in said[3]
        assert runtime.get(Notes, "a").text("/plan/a.md") == "one\nthree\none"


FILES = {
    "/a.py": b"import os\nx = 1\n",
    "/src/b.py": b"x = 2\r\ny = x\r\n",
    "/src/deep/c.txt": b"x marks\nthe spot",
    "/src/.hidden/d.py": b"x",
    "/empty": b"",
    "/data.bin": b"\x00\xff\xfe",
}


def test_it_answers_what_a_backend_of_the_framework_answers(state: Path, tmp_path: Path) -> None:
    theirs = FilesystemBackend(root_dir=tmp_path / "root", virtual_mode=True)
    with LocalRuntime(state).blocking() as runtime:
        ours = FacetBackend(runtime, Notes, "a")
        for one in (ours, theirs):
            uploaded = one.upload_files(list(FILES.items()))
            assert [done.error for done in uploaded] == [None] * len(FILES)
        for path in ("/", "/src", "/a.py"):
            assert _names(ours.ls(path)) == _names(theirs.ls(path))
        for pattern, path in [
            ("*.py", None), ("*.py", "/src"), ("/*.py", None), ("**/*.txt", None),
            ("{a,b}.py", "/"),
            ("*", "/src/deep"), ("../*", None), ("nothing*", None),
        ]:  # fmt: skip
            mine, its = ours.glob(pattern, path), theirs.glob(pattern, path)
            assert _paths(mine) == _paths(its)
            assert bool(mine.error) == bool(its.error)
        for needle, path, glob in [
            ("x", None, None), ("x", "/src", "*.py"), ("x = ", "/", "*.py"), ("spot", None, "*.py"),
            ("(", None, None),
        ]:  # fmt: skip
            mine, its = ours.grep(needle, path, glob), theirs.grep(needle, path, glob)
            assert _lines(mine) == _lines(its)
        for path in ("/a.py", "/src/deep/c.txt"):
            for window in ((0, 2000), (1, 1), (-1, 0), (5, 1)):
                mine, its = ours.read(path, *window), theirs.read(path, *window)
                assert _content(mine) == _content(its)
                assert (mine.total_lines, mine.start_line, mine.end_line, mine.next_offset) == (
                    its.total_lines, its.start_line, its.end_line, its.next_offset,
                )  # fmt: skip
                assert bool(mine.error) == bool(its.error)
        for change in (("x", "z"), ("nothing", "z"), ("", "z"), ("x = 1", "x = 5"), ("\n\n", "z")):
            mine, its = ours.edit("/a.py", *change), theirs.edit("/a.py", *change)
            assert (mine.occurrences, bool(mine.error)) == (its.occurrences, bool(its.error))
        found = ours.download_files(["/a.py", "/nothing", "/src"])
        assert [(one.content, one.error) for one in found] == [
            (one.content, one.error) for one in theirs.download_files(["/a.py", "/nothing", "/src"])
        ]
        assert ours.delete("/src").error is None
        assert ours.delete("/src").error is not None
        assert _paths(ours.glob("*.py")) == ["/a.py"]


def _names(result: Any) -> Any:
    return sorted((one["path"].rstrip("/"), one["is_dir"]) for one in result.entries or ())


def _paths(result: Any) -> list[str]:
    return sorted(one["path"] for one in result.matches or ())


def _lines(result: Any) -> Any:
    return sorted((one["path"], one["line"], one["text"].rstrip("\r")) for one in result.matches)


def _content(result: Any) -> Any:
    return result.file_data and result.file_data["content"]


async def test_what_is_no_text_is_read_as_base64_and_not_edited(runtime: LocalRuntime) -> None:
    backend = FacetBackend(runtime, Notes, "a")
    await backend.aupload_files([("/data.bin", b"\x00\xff")])

    found = (await backend.aread("/data.bin")).file_data

    assert found is not None
    assert (found["encoding"], base64.b64decode(found["content"])) == ("base64", b"\x00\xff")
    assert (await backend.aedit("/data.bin", "a", "b")).error == "/data.bin is no text"
    assert (await backend.agrep("a")).matches == []


async def test_of_edits_at_the_same_time_none_is_lost(runtime: LocalRuntime) -> None:
    backend = FacetBackend(runtime, Notes, "a")
    await backend.awrite("/a", " ".join(f"<{i}>" for i in range(20)))

    await asyncio.gather(*(backend.aedit("/a", f"<{i}>", f"[{i}]") for i in range(20)))

    assert await runtime.get(Notes, "a").text("/a") == " ".join(f"[{i}]" for i in range(20))


async def test_a_search_stops_at_its_count_and_says_so(runtime: LocalRuntime) -> None:
    backend = FacetBackend(runtime, Notes, "a")
    await backend.awrite("/a", "x\n" * 5)

    cut, whole = await backend.agrep("x", max_count=3), await backend.agrep("x", max_count=5)

    assert (len(cut.matches or ()), cut.truncated) == (3, True)
    assert (len(whole.matches or ()), whole.truncated) == (5, False)


async def test_waiting_on_the_thread_of_the_loop_is_refused(runtime: LocalRuntime) -> None:
    with pytest.raises(NotActive, match="waiting would stop it"):
        FacetBackend(runtime, Notes, "a").ls("/")


# -- sub-agents --------------------------------------------------------------------------------


def task(prompt: str, kind: str = "librarian") -> tuple[str, dict[str, Any]]:
    return "task", {"description": prompt, "subagent_type": kind}


async def test_a_task_is_a_turn_of_an_agent_of_ours(runtime: LocalRuntime) -> None:
    librarian = runtime.get(Librarian, "a")
    agent = create_deep_agent(scripted(task("what of it?")), subagents=[facet_subagent(librarian)])

    state = await agent.ainvoke({"messages": [("user", "go")]})

    assert read(state) == ["success (no tool calls)"]
    (turn,) = await librarian.turns()
    assert (turn.prompt, turn.status) == ("what of it?", "completed")


def test_plain_code_has_sub_agents_of_the_blocking_runtime(state: Path) -> None:
    with LocalRuntime(state).blocking() as runtime:
        subagent = facet_subagent(runtime.get(Librarian, "a"), name="books", description="Books.")
        assert (subagent["name"], subagent["description"]) == ("books", "Books.")
        agent = create_deep_agent(scripted(task("go", "books")), subagents=[subagent])
        assert read(agent.invoke({"messages": [("user", "go")]})) == ["success (no tool calls)"]


class Broken(Agent):
    """Fails."""

    model = "no-such-provider:none"


async def test_a_turn_that_fails_is_text_for_the_model(runtime: LocalRuntime) -> None:
    subagent = facet_subagent(runtime.get(Broken, "a"))
    agent = create_deep_agent(scripted(task("go", "broken")), subagents=[subagent])

    (said,) = read(await agent.ainvoke({"messages": [("user", "go")]}))

    assert said.startswith("TurnFailed: ")
    assert "Traceback" not in said
