"""The commands on a state directory: doctor, export, import."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from facets import Actor, LocalRuntime
from facets.cli import app


class Note(Actor, kind="Note"):
    async def put(self, text: str) -> None:
        self.kv["text"] = text

    async def read(self) -> str | None:
        return self.kv.get("text")


@pytest.fixture
def kept(state: Path) -> Path:
    with LocalRuntime(state).blocking() as runtime:
        runtime.get(Note, "a").put("hello")
    with LocalRuntime(state).blocking():
        pass  # recovery moves it into the file
    return state


def run(*args: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(one) for one in args], catch_exceptions=False)
    return result.exit_code, result.output


def test_a_sound_directory_is_sound(kept: Path) -> None:
    code, said = run("doctor", kept, "--json")

    assert code == 0
    assert json.loads(said)["sound"] is True


def test_a_damaged_database_is_found_and_moved_aside(kept: Path) -> None:
    (file,) = kept.glob("db/*/*.db")
    file.write_bytes(b"garbage" * 2000)

    code, said = run("doctor", kept)
    assert code == 1
    assert "NOT SOUND" in said

    run("doctor", kept, "--repair")
    assert not file.exists()
    assert list((kept / "lost+found").iterdir())


def test_an_actor_moves_to_another_directory(kept: Path, tmp_path: Path) -> None:
    assert run("export", kept, "Note", "a", tmp_path / "a.tar")[0] == 0
    assert run("import", tmp_path / "other", "Note", "b", tmp_path / "a.tar")[0] == 0

    with LocalRuntime(tmp_path / "other").blocking() as runtime:
        assert runtime.get(Note, "b").read() == "hello"


def test_an_actor_goes_back_by_its_history_and_by_a_replica(kept: Path, tmp_path: Path) -> None:
    url = (tmp_path / "replica").as_uri()
    with LocalRuntime(kept, replica=url).blocking() as runtime:
        mark = runtime.bookmark()
        runtime.get(Note, "a").put("later")

    code, undo = run("restore", kept, "Note", "a", "--at", mark)
    assert (code, said(kept)) == (0, "hello")
    assert run("restore", kept, "Note", "a", "--at", undo.strip())[0] == 0
    assert said(kept) == "later"
    assert run("restore", tmp_path / "other", "Note", "a", "--replica", url)[0] == 0
    assert said(tmp_path / "other") == "later"
    assert run("restore", tmp_path / "other", "Note", "a")[0] == 2


def said(state: Path) -> str | None:
    with LocalRuntime(state).blocking() as runtime:
        found: str | None = runtime.get(Note, "a").read()
        return found


def test_the_actors_of_a_directory_are_listed_with_their_facets(kept: Path) -> None:
    code, said = run("tree", kept, "--json")
    assert code == 0
    (found,) = [json.loads(line) for line in said.splitlines()]
    assert (found["kind"], found["path"]) == ("Note", ["a"])
    assert found["size"] > 0

    assert "Note a" in run("tree", kept)[1]
    assert run("tree", kept, "Other")[1] == ""


def test_an_actor_gets_another_name(kept: Path) -> None:
    assert run("rename", kept, "Note", "a", "b")[0] == 0

    with LocalRuntime(kept).blocking() as runtime:
        assert runtime.list(Note) == ["b"]
        assert runtime.get(Note, "b").read() == "hello"


def test_what_differs_since_a_bookmark_and_from_another_actor_is_printed(kept: Path) -> None:
    with LocalRuntime(kept).blocking() as runtime:
        mark = runtime.bookmark()
        runtime.get(Note, "a").put("later")
        runtime.get(Note, "b").put("later")

    assert run("diff", kept, "Note", "a", "b") == (0, "")
    code, since = run("diff", kept, "Note", "a", "--at", mark)
    assert (code, since) == (1, "~ .: key 'text' value: 'hello' -> 'later'\n")
    code, lines = run("diff", kept, "Note", "b", "a", "--to", mark, "--json")
    assert (code, json.loads(lines)["new"]) == (1, {"value": "hello"})
    assert run("diff", kept, "Note", "a")[0] == 2
