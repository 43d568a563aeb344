"""Skills: texts that a model loads when it needs them.

Whether one is loaded is said by the history alone: the result of `load_skill` is its text, and
once a later `unload_skill` names it, the model is shown a line in the place of that text. So a
branch, an undone step and a compaction need no bookkeeping.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from pydantic_ai import messages as m

from facets.agents.blocks import Skills, bounded
from facets.agents.errors import NoSuchSkill
from facets.codemode.tokens import CHARACTERS, cut
from storage.errors import FileError

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

    from facets.actor import Actor

LOAD, UNLOAD = "load_skill", "unload_skill"
MAIN_FILE = "SKILL.md"
HEAD = 16 << 10
"""Bytes of a `SKILL.md` that are read for the list."""
DESCRIPTION = 256
"""Tokens of one description in the list: about what the format of `SKILL.md` allows."""


_NAME = re.compile(r"[\w-]{1,64}")


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
        lines = []
        for name in self.names():
            head = parsed(name, self._bytes(name, MAIN_FILE, HEAD).decode(errors="replace"))
            lines.append(f"- {name}: {cut(' '.join(head.description.split()), DESCRIPTION)}")
        return cut("\n".join(lines), self._block.max_tokens)

    def names(self) -> list[str]:
        """All of them, in order. What has another name than one of letters, digits, `_` and `-`, or
        no `SKILL.md`, is none."""
        block = self._block
        if block.folder is not None:
            files = self._actor.fs
            found = files.listdir(block.folder) if files.is_dir(block.folder) else []
        elif block.package is not None:
            found = sorted(one.name for one in block.package.iterdir())
        else:
            return sorted(block.texts)
        return [one for one in found if one in self]

    def __contains__(self, name: str) -> bool:
        block = self._block
        if not _NAME.fullmatch(name):
            return False
        if block.folder is not None:
            return self._actor.fs.is_file(f"{block.folder}/{name}/{MAIN_FILE}")
        if block.package is not None:
            return (block.package / name / MAIN_FILE).is_file()
        return name in block.texts

    def load(self, name: str, file: str = MAIN_FILE) -> str:
        """The text of a skill, or of a file beside it; `NoSuchSkill`, `BlockTooLong`."""
        if name not in self:
            raise NoSuchSkill(f"there is no skill {name!r}", name=name)
        most = self._block.max_tokens
        try:
            data = self._bytes(name, file, most * CHARACTERS * 4 + 1)  # of UTF-8, at most
        except (FileError, OSError) as error:
            raise NoSuchSkill(f"skill {name!r} has no file {file!r}", name=name) from error
        text = data.decode(errors="replace")
        if file != MAIN_FILE:
            return bounded(f"{name}/{file}", text, most)
        beside = ", ".join(one for one in self._files(name) if one != MAIN_FILE)
        found = bounded(name, parsed(name, text).text, most)
        return f"{found}\n\nFiles beside it: {beside}" if beside else found

    def _files(self, name: str) -> list[str]:
        block = self._block
        if block.folder is not None:
            return self._actor.fs.listdir(f"{block.folder}/{name}", limit=100)
        if block.package is not None:
            return sorted(one.name for one in (block.package / name).iterdir())[:100]
        return []

    def _bytes(self, name: str, file: str, most: int) -> bytes:
        """The beginning of a file of a skill. FileError or OSError if there is none, or it is not
        below the skill's folder."""
        block = self._block
        if block.folder is not None:
            return self._actor.fs.view(f"{block.folder}/{name}").read(file, 0, most)
        if block.package is not None:
            with _inside(block.package / name, file).open("rb") as opened:
                return opened.read(most)
        if file != MAIN_FILE:
            raise FileNotFoundError(file)
        return block.texts[name].encode()


def _inside(folder: Traversable, file: str) -> Traversable:
    path = PurePosixPath(file)
    if path.is_absolute() or ".." in path.parts or "\0" in file:
        raise PermissionError(f"{file!r} is not below the skill")
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
