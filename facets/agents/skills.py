"""Skills: texts that a model loads when it needs them.

Whether one is loaded is said by the history alone: the result of `load_skill` is its text, and
once a later `unload_skill` names it, the model is shown a line in the place of that text. So a
branch, an undone step and a compaction need no bookkeeping.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from pydantic_ai import messages as m

from facets.agents.blocks import Skills, bounded
from facets.agents.errors import NoSuchSkill
from facets.codemode.tokens import cut
from storage.errors import FileError

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

    from facets.actor import Actor

LOAD, UNLOAD = "load_skill", "unload_skill"
MAIN_FILE = "SKILL.md"
DESCRIPTION = 256
"""Tokens of one description in the list: about what the format of `SKILL.md` allows."""


@dataclass(frozen=True, slots=True)
class Skill:
    """One skill."""

    name: str
    description: str
    text: str


class Shelf:
    """The skills of one block."""

    def __init__(self, actor: Actor, block: Skills) -> None:
        self._actor = actor
        self._block = block

    def listing(self) -> str:
        """Names and descriptions, one a line."""
        lines = [
            f"- {name}: {cut(' '.join(self._skill(name).description.split()), DESCRIPTION)}"
            for name in self.names()
        ]
        return cut("\n".join(lines), self._block.max_tokens)

    def names(self) -> list[str]:
        """All of them, in order. What has no readable `SKILL.md` is none."""
        block = self._block
        if block.folder is not None:
            files = self._actor.fs
            found = files.listdir(block.folder) if files.is_dir(block.folder) else []
            return [one for one in found if files.is_file(f"{block.folder}/{one}/{MAIN_FILE}")]
        if block.package is not None:
            inside = block.package.iterdir()
            return sorted(one.name for one in inside if (one / MAIN_FILE).is_file())
        return sorted(block.texts)

    def load(self, name: str, file: str | None = None) -> str:
        """The text of a skill, or of a file beside it; `NoSuchSkill`, `BlockTooLong`."""
        if file is not None:
            return bounded(f"{name}/{file}", self._read(name, file), self._block.max_tokens)
        text = bounded(name, self._skill(name).text, self._block.max_tokens)
        beside = ", ".join(one for one in self._files(name) if one != MAIN_FILE)
        return f"{text}\n\nFiles beside it: {beside}" if beside else text

    def _skill(self, name: str) -> Skill:
        return parsed(name, self._read(name, MAIN_FILE))

    def _files(self, name: str) -> list[str]:
        block = self._block
        if block.folder is not None:
            return self._actor.fs.listdir(f"{block.folder}/{name}", limit=100)
        if block.package is not None:
            return sorted(one.name for one in (block.package / name).iterdir())
        return []

    def _read(self, name: str, file: str) -> str:
        if name not in self.names():
            raise NoSuchSkill(f"there is no skill {name!r}", name=name)
        block = self._block
        try:
            if block.folder is not None:
                view = self._actor.fs.view(f"{block.folder}/{name}")
                return view.read_text(file, errors="replace")
            if block.package is not None:
                return _inside(block.package / name, file).read_bytes().decode(errors="replace")
        except (FileError, OSError, PermissionError) as error:
            raise NoSuchSkill(f"skill {name!r} has no file {file!r}", name=name) from error
        if file != MAIN_FILE:
            raise NoSuchSkill(f"skill {name!r} has no file {file!r}", name=name)
        return block.texts[name]


def _inside(folder: Traversable, file: str) -> Traversable:
    path = PurePosixPath(file)
    if path.is_absolute() or ".." in path.parts:
        raise PermissionError(file)
    return folder.joinpath(*path.parts)


def parsed(name: str, text: str) -> Skill:
    """A skill from a `SKILL.md`: `name` and `description` from the lines between two `---`, if it
    begins with some, and the rest. Of YAML that is plain values, quoted ones, and ones that go on
    in indented lines."""
    head: dict[str, str] = {}
    found, lines = "", text.splitlines()
    if not lines or lines[0].strip() != "---" or "---" not in map(str.strip, lines[1:]):
        first = next((line.lstrip("# ") for line in lines if line.strip()), "")
        return Skill(name, first, text)
    end = [*map(str.strip, lines[1:])].index("---") + 1
    for line in lines[1:end]:
        if line[:1].isspace():
            head[found] = f"{head.get(found, '')} {line.strip()}".strip()
        elif ":" in line:
            found, _, value = line.partition(":")
            head[found] = value.strip().strip("\"'").removeprefix(">").removeprefix("|")
    return Skill(name, head.get("description", "").strip(), "\n".join(lines[end + 1 :]).strip())


def loaded(history: list[m.ModelMessage]) -> set[str]:
    """Skills whose text a history has."""
    found: set[str] = set()
    for tool, name, _, _ in _uses(history):
        (found.add if tool == LOAD else found.discard)(name)
    return found


def without_unloaded(history: list[m.ModelMessage]) -> list[m.ModelMessage]:
    """A history in which the text of a skill is a line where it was unloaded later."""
    uses = [*_uses(history)]
    last = {name: at for tool, name, at, _ in uses if tool == UNLOAD}
    shown = [*history]
    for tool, name, at, part in uses:
        if tool == LOAD and at < last.get(name, -1):
            line = replace(part, content=f"[the skill {name!r} was unloaded]")
            message: Any = shown[at]
            shown[at] = replace(message, parts=[line if p is part else p for p in message.parts])
    return shown


def _uses(history: list[m.ModelMessage]) -> Iterator[tuple[str, str, int, Any]]:
    """Calls of both tools that succeeded: tool, skill, place of the message of the result, and the
    result."""
    calls: dict[str, str] = {}
    for at, one in enumerate(history):
        if isinstance(one, m.ModelResponse):
            calls = {
                part.tool_call_id: str(part.args_as_dict().get("name"))
                for part in one.tool_calls
                if part.tool_name in (LOAD, UNLOAD)
            }
        elif calls:
            for part in [one for one in one.parts if isinstance(one, m.ToolReturnPart)]:
                if part.tool_call_id in calls and part.outcome == "success":
                    yield part.tool_name, calls[part.tool_call_id], at, part
            calls = {}
