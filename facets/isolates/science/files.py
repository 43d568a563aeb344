"""A file system in memory: a library that all interpreters share, and scratch space of one.

There is no way from it to the host's own files: paths are names in a table. What is written
counts against a limit and is gone with the interpreter.
"""

from __future__ import annotations

import errno
import posixpath
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field

Content = bytes | bytearray

ENTRIES = 2_000
"""Files and folders that an interpreter may make."""
OPEN = 256
"""Descriptors that it may hold."""
LONGEST = 1_024
"""Characters of a path."""
ROOT = 3
"""The descriptor of "/", as WASI numbers it."""


class Failed(Exception):
    """An operation failed; `code` is an errno of the host's C library."""

    def __init__(self, code: int) -> None:
        self.code = code


@dataclass
class Open:
    """A file or folder that is open."""

    path: str
    content: Content | None
    """None for a folder."""
    position: int = 0
    appends: bool = False
    names: list[str] = field(default_factory=list)
    """Of a folder, as of when it was opened."""


class Library:
    """What all interpreters may read: files by path, and the folders they are in.

    `hidden` folders are not seen, though there are files below.
    """

    def __init__(self, files: Mapping[str, bytes], hidden: Container[str] = ()) -> None:
        self.files = files
        above = {up for path in files for up in _parents(path)}
        self.folders = frozenset({"/", "/tmp"} | {up for up in above if up not in hidden})  # noqa: S108


class Files:
    """The tree of one interpreter, and its descriptors."""

    def __init__(self, library: Library, most: int) -> None:
        self._library = library.files
        self._folders = set(library.folders)
        self._made: dict[str, bytearray] = {}
        self._most = most
        self._size = 0
        self._open: dict[int, Open] = {ROOT: Open("/", None)}

    # -- paths --------------------------------------------------------------------------------

    def path(self, base: int, path: bytes) -> str:
        """What a path below an open folder means."""
        text = path.decode("utf-8", "surrogateescape")
        if len(text) > LONGEST:
            raise Failed(errno.ENAMETOOLONG)
        return posixpath.normpath("/" + posixpath.join(self.at(base).path, text)).replace("//", "/")

    def find(self, path: str) -> Content | None:
        """The content of a file; None for a folder; ENOENT if there is neither."""
        made = self._made.get(path)
        if made is not None:
            return made
        if path in self._library:
            return self._library[path]
        if path in self._folders:
            return None
        raise Failed(errno.ENOENT)

    def open(self, path: str, *, create: bool, exclusive: bool, empty: bool, write: bool) -> int:
        """A descriptor for this path."""
        if len(self._open) >= OPEN:
            raise Failed(errno.EMFILE)
        try:
            content = self.find(path)
            if exclusive:
                raise Failed(errno.EEXIST)
        except Failed as failed:
            if failed.code != errno.ENOENT or not create:
                raise
            content = self._make(path)
        if write and content is None:
            raise Failed(errno.EISDIR)
        if write and path not in self._made:
            raise Failed(errno.EROFS)
        if empty and write:
            self._resize(path, 0)
        number = next(n for n in range(ROOT + 1, OPEN + ROOT + 2) if n not in self._open)
        opened = self._open[number] = Open(path, content)
        if content is None:
            opened.names = sorted(set(self._names(path)))
        return number

    def make_folder(self, path: str) -> None:
        """An empty folder."""
        if path in self._folders or path in self._made or path in self._library:
            raise Failed(errno.EEXIST)
        self._room(path)
        self._folders.add(path)

    def remove(self, path: str) -> None:
        """Delete a file that was made here."""
        if self.find(path) is None:
            raise Failed(errno.EISDIR)
        if path not in self._made:
            raise Failed(errno.EROFS)
        self._let_go(self._made.pop(path))

    def remove_folder(self, path: str) -> None:
        """Delete an empty folder that was made here."""
        if self.find(path) is not None:
            raise Failed(errno.ENOTDIR)
        if path == "/" or any(self._names(path)):
            raise Failed(errno.ENOTEMPTY)
        self._folders.discard(path)

    def rename(self, old: str, new: str) -> None:
        """Move a file that was made here."""
        if old not in self._made:
            raise Failed(errno.EROFS if self.find(old) is not None else errno.EISDIR)
        if new in self._folders or new in self._library:
            raise Failed(errno.EEXIST)
        self._parent(new)
        replaced = self._made.get(new)
        self._made[new] = self._made.pop(old)
        if replaced is not None and old != new:
            self._let_go(replaced)

    # -- descriptors ----------------------------------------------------------------------------

    def at(self, number: int) -> Open:
        """What a descriptor stands for."""
        found = self._open.get(number)
        if found is None:
            raise Failed(errno.EBADF)
        return found

    def close(self, number: int) -> None:
        """Give a descriptor back."""
        opened = self.at(number)
        if number != ROOT:
            del self._open[number]
            if isinstance(opened.content, bytearray):
                self._let_go(opened.content)

    def read(self, number: int, size: int, at: int | None = None) -> bytes:
        """What is there, at the descriptor's position or at `at`."""
        opened = self.at(number)
        if opened.content is None:
            raise Failed(errno.EISDIR)
        start = opened.position if at is None else at
        found = bytes(opened.content[start : start + size])
        if at is None:
            opened.position = start + len(found)
        return found

    def write(self, number: int, data: bytes, at: int | None = None) -> int:
        """Write at the descriptor's position, at its end or at `at`."""
        opened = self.at(number)
        content = opened.content
        if not isinstance(content, bytearray):
            raise Failed(errno.EBADF)
        start = opened.position if at is None else at
        if opened.appends:
            start = len(content)
        self._grow(opened, start + len(data))
        content[start : start + len(data)] = data
        if at is None:
            opened.position = start + len(data)
        return len(data)

    def resize(self, number: int, size: int) -> None:
        """Cut or lengthen a file."""
        opened = self.at(number)
        if not isinstance(opened.content, bytearray):
            raise Failed(errno.EBADF)
        self._grow(opened, size)
        if size < len(opened.content):
            self._size -= len(opened.content) - size
            del opened.content[size:]

    # -------------------------------------------------------------------------------------------

    def _names(self, folder: str) -> Iterator[str]:
        prefix = folder.rstrip("/") + "/"
        for paths in (self._library, self._made, self._folders):
            for path in paths:
                if path.startswith(prefix) and path != folder and "/" not in path[len(prefix) :]:
                    yield path[len(prefix) :]

    def _make(self, path: str) -> bytearray:
        self._room(path)
        made = self._made[path] = bytearray()
        return made

    def _room(self, path: str) -> None:
        self._parent(path)
        if len(self._made) + len(self._folders) > ENTRIES:
            raise Failed(errno.ENOSPC)

    def _parent(self, path: str) -> None:
        if posixpath.dirname(path) not in self._folders:
            raise Failed(errno.ENOENT)

    def _let_go(self, content: bytearray) -> None:
        """Count what no path and no descriptor leads to any more as gone."""
        held = [one.content for one in self._open.values()]
        if not any(one is content for one in [*held, *self._made.values()]):
            self._size -= len(content)

    def _resize(self, path: str, size: int) -> None:
        content = self._made[path]
        self._size -= len(content) - size
        del content[size:]

    def _grow(self, opened: Open, size: int) -> None:
        """Make room up to `size`, filled with zeros."""
        content = opened.content
        more = size - len(content) if isinstance(content, bytearray) else 0
        if more > 0:
            if self._size + more > self._most:
                raise Failed(errno.ENOSPC)
            assert isinstance(content, bytearray)  # noqa: S101 - asked above
            self._size += more
            content.extend(bytes(more))


def _parents(path: str) -> Iterator[str]:
    while path != "/":
        path = posixpath.dirname(path)
        yield path
