"""The content of files by number: extents, with the size, the time and the limits."""

from __future__ import annotations

from storage.errors import FileMissing, PathInvalid
from storage.files.chunks import Buffer
from storage.files.extents import Extents
from storage.files.nodes import Node, Tree
from storage.files.tables import Tables

FILE_MODE = 0o644


class Contents:
    """What handles and streams work on: a path may come to mean another file, a number not."""

    __slots__ = ("extents", "tables", "tree")

    def __init__(self, tables: Tables, tree: Tree, extents: Extents) -> None:
        self.tables = tables
        self.tree = tree
        self.extents = extents

    def node(self, inode: int, path: str) -> Node:
        """The file of a number, or `FileMissing`; `path` is for the error."""
        node = self.tree.get(inode)
        if node is None:
            raise FileMissing(
                f"{path!r} was removed or replaced while it was open",
                hint="open it again",
                path=path,
            )
        return node

    def read(self, inode: int, path: str, offset: int, size: int | None = None) -> bytes:
        """Bytes from `offset`, at most `size`, to the end of the file if None."""
        not_negative(path, offset, size or 0)
        left = self.node(inode, path).size - offset
        size = left if size is None else min(size, left)
        return self.extents.read(inode, offset, size) if size > 0 else b""

    def write(self, inode: int, path: str, data: Buffer, offset: int | None = None) -> int:
        """Put bytes at `offset`, or at the end; the offset behind them. All of it or nothing."""
        node = self.node(inode, path)
        start = node.size if offset is None else offset
        not_negative(path, start)
        end = start + len(data)
        size = max(node.size, end)
        if data:
            with self.tables.change():
                self.tree.room(path, size=size, grow=size - node.size)
                self.extents.write(inode, start, data, size)
                self.tree.resize(inode, size)
        return end

    def replace(self, inode: int, path: str, data: Buffer) -> None:
        """Let the file have just this content."""
        size = len(data)
        with self.tables.change():
            self.tree.room(path, size=size, grow=size - self.node(inode, path).size)
            self.extents.replace(inode, data)
            self.tree.resize(inode, size)

    def truncate(self, inode: int, path: str, size: int) -> None:
        """Cut the file, or extend it by zeros, which take no room but count for the limits."""
        not_negative(path, size)
        before = self.node(inode, path).size
        with self.tables.change():
            self.tree.room(path, size=size, grow=size - before)
            if size < before:
                self.extents.truncate(inode, size)
            self.tree.resize(inode, size)


def not_negative(path: str, *numbers: int) -> None:
    """Refuse offsets and sizes below zero."""
    if min(numbers) < 0:
        raise PathInvalid(f"{path!r}: an offset or size is below zero", path=path)
