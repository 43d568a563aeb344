"""Files of an agent as tools of its model: read, ls, find, grep, write, edit, delete.

    tools = [Workspace("/work")]

The model sees a folder of the agent's `fs` as `/`, and nothing that is not below it. What a tool
changes is in one step with the result that is kept of its call. What it returns has at most so
many tokens; of a longer list all lines are left in a file below `/.output`, which the model can
read. What is wrong is said so that the model can do better.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from facets.agents.errors import BadToolArguments
from facets.agents.tool import Tool, tool_of
from facets.codemode.tokens import CHARACTERS, cut, tokens

if TYPE_CHECKING:
    from facets.actor import Actor
    from storage.views import FileView

OUTPUT = "/.output"
OUTPUTS = 50
"""Files that are kept there; the oldest go first."""
LINE = 2000
"""Characters of one line that are shown."""
SCANNED = 32 << 20
"""Bytes that one `grep` looks through: it holds the loop meanwhile."""
_SAMPLE = 8192

Path = Annotated[str, Field(description="from / on")]


@dataclass(frozen=True, slots=True)
class Workspace:
    """Tools for the files below `root`, as one of `Agent.tools`. With mode "r" there is nothing
    that changes them."""

    root: str = "/workspace"
    mode: Literal["r", "rw"] = "rw"
    max_tokens: int = 4000
    """Of one result."""

    def bind(self, agent: Actor) -> list[Tool]:
        """The tools of one agent. The folder is made by the first that writes."""
        uses = _Uses(agent, self)
        tools: list[Callable[..., Any]] = [uses.read, uses.ls, uses.find, uses.grep]
        if self.mode == "rw":
            tools += [uses.write, uses.edit, uses.delete]
        return [tool_of(one) for one in tools]


class _Uses:
    """What the tools do."""

    def __init__(self, agent: Actor, space: Workspace) -> None:
        self._agent = agent
        self._space = space

    async def read(
        self, path: Path, start: Annotated[int, Field(ge=1)] = 1, lines: int = 500
    ) -> str:
        """Read lines of a text file, each with its number, from line `start` on."""
        every = self._text(path).splitlines()
        if start > max(len(every), 1):
            raise BadToolArguments(f"{path} has {len(every)} lines", name="read")
        shown: list[str] = []
        left = self._space.max_tokens
        for number, line in enumerate(every[start - 1 : start - 1 + max(lines, 1)], start):
            text = f"{number}\t{_short(line, left * CHARACTERS if not shown else LINE)}"
            left -= tokens(text + "\n")
            if left < 0 and shown:
                break
            shown.append(text)
        end = start + len(shown) - 1
        more = f"\n[lines {start}-{end} of {len(every)}; go on with start={end + 1}]"
        return ("\n".join(shown) or "[it is empty]") + (more if end < len(every) else "")

    async def ls(self, path: Path = "/") -> str:
        """List a folder: names, with a / behind those of folders, and the bytes of files."""
        entries = self._view.scandir(path) if self._is_there else []
        return self._lines(
            "ls",
            [
                f"{one.name}/" if one.stat.kind == "directory" else f"{one.name}\t{one.stat.size}"
                for one in entries
            ],
        )

    async def find(self, pattern: str) -> str:
        """List paths that match a pattern: `*`, `?` and `[a-z]` in a name, `**` for any depth."""
        return self._lines("find", self._glob(pattern))

    async def grep(
        self,
        texts: Annotated[list[str], Field(description="plain texts, no patterns", min_length=1)],
        files: Annotated[str, Field(description="a pattern as for find")] = "**",
        ignore_case: bool = False,
    ) -> str:
        """Find lines of files that contain one of some texts: path, number, line."""
        wanted = [one.casefold() if ignore_case else one for one in texts if one]
        if not wanted:
            raise BadToolArguments("an empty text is in each line", name="grep")
        found: list[str] = []
        left = SCANNED
        for path in filter(self._view.is_file, self._glob(files)):
            left -= self._view.stat(path).size
            if left < 0:
                found.append(f"[not looked through: {path} and what follows; name fewer files]")
                break
            found += _matches(path, self._view.read(path), wanted, ignore_case=ignore_case)
        return self._lines("grep", found)

    async def write(self, path: Path, text: str) -> str:
        """Write a text file, in the place of what is there. Folders above it are made."""
        view = self._writable(path)
        verb = "replaced" if view.exists(path) else "made"
        return f"{verb} {path}: {view.write_text(path, text)} bytes"

    async def edit(self, path: Path, old: str, new: str) -> str:
        """Replace a text in a file. It must be there exactly once, with all spaces and line ends as
        they are in the file, without the numbers that `read` shows."""
        text = self._text(path)
        count = text.count(old) if old else 0
        if count != 1:
            raise BadToolArguments(_unclear(path, text, old, count), name="edit")
        self._view.write_text(path, text.replace(old, new))
        return f"edited {path}, line {text[: text.index(old)].count(chr(10)) + 1}"

    async def delete(self, path: Path, recursive: bool = False) -> str:
        """Delete a file, or a folder with all that is in it if `recursive` is true."""
        view = self._view
        if not view.is_dir(path):
            view.unlink(path)
        elif recursive:
            view.remove_tree(path)
        else:
            view.rmdir(path)
        return f"deleted {path}"

    # -- inside ---------------------------------------------------------------------------------

    @property
    def _view(self) -> FileView:
        return self._agent.fs.view(self._space.root, self._space.mode)

    @property
    def _is_there(self) -> bool:
        return self._agent.fs.is_dir(self._space.root)

    def _writable(self, path: str) -> FileView:
        self._agent.fs.mkdir(self._space.root, parents=True, exist_ok=True)
        above = "/" + "/".join(path.strip("/").split("/")[:-1])
        if above != "/":
            self._view.mkdir(above, parents=True, exist_ok=True)
        return self._view

    def _text(self, path: str) -> str:
        data = self._view.read(path)
        if b"\0" in data[:_SAMPLE]:
            raise BadToolArguments(f"{path} is no text: {len(data)} bytes", name="read")
        return data.decode(errors="replace")

    def _glob(self, pattern: str) -> list[str]:
        if not self._is_there:
            return []
        found = self._view.glob(pattern)
        named = pattern.lstrip("/").startswith(OUTPUT.lstrip("/"))
        return [one for one in found if named or not one.startswith(OUTPUT)]

    def _lines(self, tool: str, lines: list[str]) -> str:
        """The lines; the first of too many, and where all of them are."""
        text = "\n".join(lines)
        most = self._space.max_tokens
        if tokens(text) <= most:
            return text or "[nothing]"
        kept = text[: most * CHARACTERS].rpartition("\n")[0] or cut(text, most)
        where = f"in {self._keep(tool, text)}" if self._space.mode == "rw" else "not shown"
        return f"{kept}\n[{kept.count(chr(10)) + 1} of {len(lines)} lines; all are {where}]"

    def _keep(self, tool: str, text: str) -> str:
        view = self._writable(f"{OUTPUT}/x")
        names = sorted(view.listdir(OUTPUT), key=_number)
        for name in names[: max(0, len(names) - OUTPUTS + 1)]:
            view.unlink(f"{OUTPUT}/{name}")
        path = f"{OUTPUT}/{tool}-{_number(names[-1]) + 1 if names else 1}.txt"
        view.write_text(path, text)
        return path


def _matches(path: str, data: bytes, wanted: list[str], *, ignore_case: bool) -> Iterator[str]:
    if b"\0" in data[:_SAMPLE]:
        return
    for number, line in enumerate(data.decode(errors="replace").splitlines(), 1):
        compared = line.casefold() if ignore_case else line
        if any(one in compared for one in wanted):
            yield f"{path}:{number}:{_short(line, LINE)}"


def _short(line: str, most: int) -> str:
    return line if len(line) <= most else f"{line[:most]}[{len(line) - most} more characters]"


def _unclear(path: str, text: str, old: str, count: int) -> str:
    if not old:
        return "the text to replace is empty"
    if not count:
        near = next((one.strip() for one in old.splitlines() if one.strip()), old)
        lines = [n for n, line in enumerate(text.splitlines(), 1) if near in line][:5]
        begins = f"; its first line is in line {', '.join(map(str, lines))}" if lines else ""
        return f"the text is not in {path} as it stands{begins}: read it again"
    return f"the text is {count} times in {path}: say more of what is around it"


def _number(name: str) -> int:
    digits = name.rpartition("-")[2].removesuffix(".txt")
    return int(digits) if digits.isdecimal() else 0
