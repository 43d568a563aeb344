"""Finding and comparing: walk, glob, grep, diff."""

from __future__ import annotations

import difflib
import fnmatch
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from storage.errors import FileTooLarge
from storage.files import paths

if TYPE_CHECKING:
    from storage.files.files import Files

DIFF_LINES = 10_000
"""Comparing takes time up to the product of both lengths."""
_MAGIC = re.compile(r"[*?\[]")
_SAMPLE = 8192


@dataclass(frozen=True, slots=True)
class Match:
    """A line in which a pattern was found."""

    path: str
    line: int
    """Its number; the first is 1."""
    text: str
    """The whole line, without its end."""


def walk(files: Files, top: str) -> Iterator[tuple[str, list[str], list[str]]]:
    """Directories from the top down: path, names of directories, names of everything else."""
    waiting = [top]
    while waiting:
        path = waiting.pop()
        directories: list[str] = []
        others: list[str] = []
        for one in files.scandir(path):
            (directories if one.stat.kind == "directory" else others).append(one.name)
        yield path, directories, others
        waiting += [paths.join(path, name) for name in reversed(directories)]


def glob(files: Files, pattern: str) -> list[str]:
    """Paths that match, in order. Goes on name by name, so no depth is too deep."""
    found = ["/"]
    names = paths.parts(pattern)
    for i, name in enumerate(names):
        last = i == len(names) - 1
        if name == "**":
            step = [one for top in found for one in _below(files, top, only_directories=not last)]
        elif _MAGIC.search(name):
            step = [one for top in found for one in _matching(files, top, name)]
        else:
            step = [one for one in (paths.join(top, name) for top in found) if _there(files, one)]
        found = list(dict.fromkeys(step))
    return sorted(found)


def _below(files: Files, top: str, *, only_directories: bool) -> Iterator[str]:
    if not files.is_dir(top):
        return
    if only_directories:
        yield top
    for path, directories, others in walk(files, top):
        for name in directories if only_directories else (*directories, *others):
            yield paths.join(path, name)


def _matching(files: Files, top: str, pattern: str) -> Iterator[str]:
    if files.is_dir(top):
        matches = re.compile(fnmatch.translate(pattern)).match
        for name in files.listdir(top):
            if matches(name):
                yield paths.join(top, name)


def _there(files: Files, path: str) -> bool:
    parent = path.rpartition("/")[0] or "/"
    return files.is_dir(parent) and files.lexists(path)


def grep(files: Files, pattern: str | re.Pattern[str], where: str, limit: int) -> Iterator[Match]:
    """Lines of text files that match, at most `limit`."""
    search = re.compile(pattern).search
    for path in glob(files, where):
        if limit > 0 and files.is_file(path):
            for line, text in _lines(files, path):
                if search(text):
                    yield Match(path, line, text)
                    limit -= 1
                    if limit <= 0:
                        return


def _lines(files: Files, path: str) -> Iterator[tuple[int, str]]:
    if b"\0" in files.read(path, 0, _SAMPLE):
        return
    with files.open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            yield number, line.decode(errors="replace").rstrip("\r\n")


def diff(old: str, new: str, labels: tuple[str, str], context: int) -> str:
    """A unified diff, "" where both are the same."""
    before, after = old.splitlines(keepends=True), new.splitlines(keepends=True)
    longest = max(len(before), len(after))
    if longest > DIFF_LINES:
        raise FileTooLarge(
            f"{labels[0]!r} or {labels[1]!r} has over {DIFF_LINES} lines",
            path=labels[0],
            size=longest,
            limit=DIFF_LINES,
        )
    return "".join(_ended(difflib.unified_diff(before, after, *labels, n=context)))


def _ended(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        yield line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"
