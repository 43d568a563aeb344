"""Finding and comparing: walk, glob, grep, diff."""

from __future__ import annotations

import contextlib
import difflib
import fnmatch
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from storage.errors import FileMissing, FileTooLarge, LinkLoop, NotDirectory
from storage.files import paths

if TYPE_CHECKING:
    from storage.files.files import Files
    from storage.files.nodes import Node, Tree

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


def walk(tree: Tree, path: str, node: Node) -> Iterator[tuple[str, list[str], list[str]]]:
    """Directories from the top down: path, names of directories, names of everything else."""
    waiting = [(path, node.inode)]  # by number, or a path of n names would be walked n times
    while waiting:
        path, inode = waiting.pop()
        inodes: dict[str, int] = {}
        others: list[str] = []
        for one in tree.children(inode):
            if one.kind == "directory":
                inodes[one.name] = one.inode
            else:
                others.append(one.name)
        directories = list(inodes)
        yield path, directories, others
        waiting += [(paths.join(path, name), inodes[name]) for name in reversed(directories)]


def glob(tree: Tree, pattern: str) -> list[str]:
    """Paths that match, in order. Goes on name by name, so no depth is too deep."""
    found: dict[str, Node] = {"/": tree.root()}
    names = paths.parts(pattern)
    for i, name in enumerate(names):
        last = i == len(names) - 1
        found = {
            path: node
            for top, directory in _directories(tree, found)
            for path, node in _step(tree, top, directory, name, last=last)
        }
    return sorted(found)


def _directories(tree: Tree, found: dict[str, Node]) -> Iterator[tuple[str, Node]]:
    for path, node in found.items():
        if node.kind == "directory":
            yield path, node
        elif node.kind == "link":
            with contextlib.suppress(FileMissing, NotDirectory, LinkLoop):
                yield path, tree.resolve(path).directory()


def _step(
    tree: Tree, top: str, directory: Node, name: str, *, last: bool
) -> Iterator[tuple[str, Node]]:
    """What one name of a pattern leads to from a directory."""
    if name == "**":
        yield from _below(tree, top, directory, only_directories=not last)
    elif _MAGIC.search(name):
        matches = re.compile(fnmatch.translate(name)).match
        for node in tree.children(directory.inode):
            if matches(node.name):
                yield paths.join(top, node.name), node
    else:
        found = tree.find(directory.inode, name)
        if found is not None:
            yield paths.join(top, name), found


def _below(
    tree: Tree, top: str, directory: Node, *, only_directories: bool
) -> Iterator[tuple[str, Node]]:
    if only_directories:
        yield top, directory
    waiting = [(top, directory)]
    while waiting:
        path, node = waiting.pop()
        for one in tree.children(node.inode):
            entry = paths.join(path, one.name), one
            if one.kind == "directory":
                waiting.append(entry)
            if one.kind == "directory" or not only_directories:
                yield entry


def grep(files: Files, pattern: str | re.Pattern[str], where: str, limit: int) -> Iterator[Match]:
    """Lines of text files that match, at most `limit`."""
    search = re.compile(pattern).search
    for path in files.glob(where):
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
