"""Files of an actor for frameworks that ask by path.

Each function here is given `Files`, and is one step of the actor that has them: it happens as a
whole or not at all. `FilesOf` runs them from any thread and event loop.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable
from typing import Any, Concatenate, NamedTuple, ParamSpec, TypeVar

from actors.actor import Actor
from actors.blocking import BlockingRuntime
from facets.adapters.bridge import Bridge
from storage.errors import FileMissing, LinkLoop
from storage.files.files import Files

P = ParamSpec("P")
T = TypeVar("T")
LINKS = 40
"""Links that one path may lead through."""


class FilesOf:
    """The files of one actor: `FilesOf(runtime, Lead, "alice")`, or `FilesOf(self.fs)` inside it.

    A runtime is of any kind, also of `blocking()`. What runs is on disk when it returns; an actor
    that has never written has no files, and its first one makes its database. `StorageError` while
    a transaction holds its database.
    """

    def __init__(self, of: Any, cls: type[Actor] | None = None, name: str = "") -> None:
        if (cls is None) != isinstance(of, Files):
            raise TypeError("files are those of an actor: give a runtime, its class and its name")
        self._of: Any = of._runtime if isinstance(of, BlockingRuntime) else of
        self._cls = cls
        self.name = name
        self.bridge = Bridge(of)

    @property
    def kind(self) -> str:
        """Of the actor; "" inside it."""
        return "" if self._cls is None else self._cls.kind

    async def do(
        self, work: Callable[Concatenate[Files, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """What one function gives."""

        async def run() -> T:
            if self._cls is None:
                return work(self._of, *args, **kwargs)
            self._of.register(self._cls)
            found: T = await self._of.on_files(self.kind, self.name, work, *args, **kwargs)
            return found

        return await self.bridge.run(run)


class Found(NamedTuple):
    """What is under a path; of a link, what it leads to."""

    path: str
    is_dir: bool
    size: int
    mtime: float
    """Seconds since 1970."""


def look(fs: Files, path: str) -> Found:
    """What is there; `FileMissing`."""
    stat = fs.stat(path)
    return Found(path, stat.kind == "directory", stat.size, stat.mtime)


def entries(fs: Files, path: str) -> list[Found]:
    """What is in a directory, by name."""
    return [_entry(fs, one.path) for one in fs.scandir(path)]


def tree(fs: Files, path: str) -> list[Found]:
    """All files at and below a path, by path."""
    if not fs.is_dir(path):
        return [look(fs, path)] if fs.exists(path) else []
    found = [
        _entry(fs, posixpath.join(above, name))
        for above, _, names in fs.walk(path)
        for name in names
    ]
    return sorted(one for one in found if not one.is_dir)


def read(fs: Files, path: str) -> tuple[bytes, float]:
    """All of a file, and when it changed."""
    return fs.read(path), fs.stat(path).mtime


def write(fs: Files, path: str, data: bytes) -> None:
    """Make a file, or replace what is in it, with the directories above it."""
    above = posixpath.dirname(path)
    if not fs.exists(above or "/"):
        fs.mkdir(above, parents=True, exist_ok=True)
    fs.write(path, data)


def edit(fs: Files, path: str, change: Callable[[str], tuple[str | None, T]]) -> T:
    """Replace the text of a file by what `change` makes of it, unless that is None; what `change`
    says of it besides. It may run in the process of another host."""
    text, said = change(fs.read_text(path))
    if text is not None:
        fs.write_text(path, text)
    return said


def remove(fs: Files, path: str) -> None:
    """Remove a file or a link, or a directory with all below it; `FileMissing`."""
    if not fs.lexists(path):
        raise FileMissing(f"{path!r} is not there", path=path)
    fs.remove_tree(path)


def make_dir(fs: Files, path: str) -> None:
    """Make a directory, and those above it, unless it is there."""
    if path != "/":
        fs.mkdir(path, parents=True, exist_ok=True)


def search(
    fs: Files, needle: str, paths: Iterable[str], most: int | None
) -> list[tuple[str, int, str]]:
    """The first `most` lines that hold a text, in those of the files that are text."""
    found: list[tuple[str, int, str]] = []
    for path in paths:
        try:
            lines = fs.read_text(path).split("\n")
        except (FileMissing, UnicodeDecodeError):
            continue
        for number, line in enumerate(lines, 1):
            if needle in line:
                found.append((path, number, line))
                if most is not None and len(found) >= most:
                    return found
    return found


def real(fs: Files, path: str) -> str:
    """Without links, as far as it exists; `LinkLoop`."""
    waiting = [one for one in reversed(path.split("/")) if one]
    done, links = "/", 0
    while waiting:
        name = waiting.pop()
        if name in (".", ".."):
            done = posixpath.dirname(done) if name == ".." else done
            continue
        step = posixpath.join(done, name)
        if not fs.is_link(step):
            done = step
            continue
        links += 1
        if links > LINKS:
            raise LinkLoop(f"{path!r} leads through too many links", path=path)
        target = fs.readlink(step)
        done = "/" if target.startswith("/") else done
        waiting += [one for one in reversed(target.split("/")) if one]
    return done


def _entry(fs: Files, path: str) -> Found:
    """A link that leads nowhere is a file without content."""
    if fs.exists(path):
        return look(fs, path)
    return Found(path, False, 0, fs.lstat(path).mtime)
