"""What there is under which path: files, directories and links."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

from storage.errors import (
    FileMissing,
    FilesQuota,
    FileTooLarge,
    IsDirectory,
    LinkLoop,
    NotDirectory,
    PathInvalid,
)
from storage.files import paths
from storage.files.tables import DETACHED, ROOT, Tables
from storage.limits import FileLimits

Kind = Literal["file", "directory", "link"]
MAX_LINKS = 40
_COLUMNS = "id, parent, name, kind, mode, mtime, size, target"
_BELOW = """with recursive below(id) as (select ? union all
    select n.id from _facets_files_nodes n join below on n.parent = below.id)"""


@dataclass(frozen=True, slots=True)
class Stat:
    """What is known of one file, directory or link, at one moment."""

    kind: Kind
    size: int
    """Bytes; of a link, those of its target's text; of a directory, 0."""
    mode: int
    """Permission bits. They are kept, and restrict nobody."""
    mtime_ns: int
    """When the content, or the entries of a directory, last changed; ns since 1970."""
    inode: int
    """Its number: kept by `rename` and `write`, new after `write_stream`."""

    @property
    def mtime(self) -> float:
        """`mtime_ns` in seconds."""
        return self.mtime_ns / 1e9


class Node(NamedTuple):
    """A row of the table of nodes."""

    inode: int
    parent: int
    name: str
    kind: Kind
    mode: int
    mtime: int
    size: int
    target: str

    def stat(self) -> Stat:
        """The public form."""
        size = len(self.target.encode()) if self.kind == "link" else self.size
        return Stat(self.kind, size, self.mode, self.mtime, self.inode)


_EMPTY_ROOT = Node(ROOT, DETACHED, "", "directory", 0o755, 0, 0, "")


class Place(NamedTuple):
    """Where a path leads: an entry of a directory, which may not be there yet."""

    path: str
    parent: Node
    name: str
    node: Node | None

    def existing(self) -> Node:
        """What is there, or `FileMissing`."""
        if self.node is None:
            raise FileMissing(f"there is no {self.path!r}", path=self.path)
        return self.node

    def directory(self) -> Node:
        """The directory that is there."""
        node = self.existing()
        if node.kind != "directory":
            raise NotDirectory(f"{self.path!r} is not a directory", path=self.path)
        return node

    def file(self) -> Node:
        """The file that is there."""
        self.not_directory()
        return self.existing()

    def not_directory(self) -> None:
        """Raise if a directory is there."""
        if self.node is not None and self.node.kind == "directory":
            raise IsDirectory(f"{self.path!r} is a directory", path=self.path)

    def not_root(self) -> None:
        """Raise if this is the root, which has no place that could be changed."""
        if not self.name:
            raise PathInvalid("the root can be neither moved nor removed", path=self.path)


class Tree:
    """The table of nodes. Methods that change it belong inside `Tables.change`."""

    __slots__ = ("_newest", "_tables", "clock", "limits", "streams")

    def __init__(
        self, tables: Tables, limits: FileLimits, clock: Callable[[], int] = time.time_ns
    ) -> None:
        self._tables = tables
        self.limits = limits
        self.clock = clock
        self._newest = 0
        """No number of this process is given out twice, or a handle that is still open could
        write into a file that came later."""
        self.streams: set[int] = set()
        """Detached nodes that a running stream owns."""

    # -- looking ------------------------------------------------------------------------

    def root(self) -> Node:
        """The root, also before anything was written."""
        return self.get(ROOT) or _EMPTY_ROOT

    def get(self, inode: int) -> Node | None:
        """The node of a number."""
        return self._one("id = ?", inode)

    def find(self, directory: int, name: str) -> Node | None:
        """An entry of a directory."""
        return self._one("parent = ? and name = ?", directory, name)

    def _one(self, condition: str, *values: object) -> Node | None:
        query = f"select {_COLUMNS} from _facets_files_nodes where {condition}"  # noqa: S608
        rows = self._tables.read(query, *values)
        return Node(*rows[0]) if rows else None

    def resolve(self, path: paths.AnyPath, *, follow: bool = True) -> Place:
        """Where a path leads. A link on the way is followed; at its end, only with `follow`.

        Raises `FileMissing` or `NotDirectory` for what is on the way, and `LinkLoop`.
        """
        clean = paths.normalise(path)
        names = deque(paths.parts(clean))
        chain = [self.root()]
        links = 0
        while names:
            here, name = chain[-1], names.popleft()
            if here.kind != "directory":
                raise NotDirectory(f"{clean!r} leads through {here.name!r}, a file", path=clean)
            if name == "..":  # of a link: only here is known where the link stands
                del chain[max(1, len(chain) - 1) :]
                continue
            node = self.find(here.inode, name)
            if node is None:
                if names:
                    raise FileMissing(f"there is no {name!r} on the way to {clean!r}", path=clean)
                return Place(clean, here, name, None)
            if node.kind == "link" and (names or follow):
                links += 1
                if links > MAX_LINKS:
                    raise LinkLoop(f"{clean!r} leads through over {MAX_LINKS} links", path=clean)
                if node.target.startswith("/"):
                    del chain[1:]
                names.extendleft(reversed(paths.split(node.target)))
                continue
            chain.append(node)
        return Place(clean, chain[max(0, len(chain) - 2)], chain[-1].name, chain[-1])

    def look(self, path: paths.AnyPath, *, follow: bool = True) -> Node | None:
        """What is under a path, or None, also if the path leads nowhere at all."""
        try:
            return self.resolve(path, follow=follow).node
        except (FileMissing, NotDirectory, LinkLoop):
            return None

    def children(self, directory: int, limit: int | None = None, after: str = "") -> list[Node]:
        """Entries of a directory whose names sort behind `after`, in the order of their bytes."""
        query = (
            f"select {_COLUMNS} from _facets_files_nodes where parent = ? and name > ?"  # noqa: S608
            " order by name limit ?"
        )
        rows = self._tables.read(query, directory, after, -1 if limit is None else limit)
        return [Node(*row) for row in rows]

    def is_below(self, node: int, top: int) -> bool:
        """Whether a node is `top`, or below it."""
        query = """with recursive above(id) as (select ? union all
            select n.parent from _facets_files_nodes n join above on n.id = above.id)
            select 1 from above where id = ?"""
        return bool(self._tables.read(query, node, top))

    def usage(self, node: int) -> dict[Kind, tuple[int, int]]:
        """How many there are of each kind, and their bytes, at and below a node."""
        query = f"""{_BELOW} select kind, count(*), sum(size) from _facets_files_nodes
            where id in (select id from below) group by kind"""  # noqa: S608
        return {kind: (count, size) for kind, count, size in self._tables.read(query, node)}

    # -- changing -----------------------------------------------------------------------

    def room(self, path: str, *, size: int = 0, grow: int = 0, entries: int = 0) -> None:
        """Raise unless a file of `size` bytes, `grow` bytes and `entries` more may be there."""
        limits = self.limits
        if size > limits.file:
            raise FileTooLarge(
                f"{path!r} would be {size} bytes, one file may have {limits.file}",
                path=path,
                size=size,
                limit=limits.file,
            )
        if self._over(grow, entries) and self.sweep() and not self._over(grow, entries):
            return
        over = self._over(grow, entries)
        if over:
            what, used, limit = over
            raise FilesQuota(
                f"{path!r} does not fit: {used} of {limit} {what} are in use",
                path=path,
                what=what,
                used=used,
                limit=limit,
            )

    def _over(self, grow: int, entries: int) -> tuple[str, int, int] | None:
        size, count = self._tables.totals()
        count -= 1  # the root is free
        if grow > 0 and size + grow > self.limits.total:
            return "bytes", size, self.limits.total
        if entries > 0 and count + entries > self.limits.entries:
            return "entries", count, self.limits.entries
        return None

    def add(self, directory: int, name: str, kind: Kind, mode: int, target: str = "") -> Node:
        """A new entry; the room for it was asked for."""
        newest = self._tables.write("select max(id) from _facets_files_nodes")[0][0]
        self._newest = inode = max(newest, self._newest) + 1
        name = name or str(inode)
        node = Node(inode, directory, name, kind, mode, self.clock(), 0, target)
        self._tables.write("insert into _facets_files_nodes values (?, ?, ?, ?, ?, ?, ?, ?)", *node)
        self.touch(directory)
        return node

    def move(self, node: Node, directory: int, name: str) -> None:
        """Give an entry another name, place or both; there is nothing of that name."""
        self._tables.write(
            "update _facets_files_nodes set parent = ?, name = ? where id = ?",
            directory,
            name,
            node.inode,
        )
        self.touch(node.parent)
        if directory != node.parent:
            self.touch(directory)

    def remove(self, node: Node) -> None:
        """Remove an entry and everything below it."""
        newest = self._tables.write("select max(id) from _facets_files_nodes")[0][0]
        self._newest = max(self._newest, newest)
        self._tables.write(
            f"{_BELOW} delete from _facets_files_nodes where id in (select id from below)",  # noqa: S608
            node.inode,
        )
        self.touch(node.parent)

    def touch(self, inode: int, mtime: int | None = None) -> None:
        """Set the time of the newest change; now, unless given."""
        now = self.clock() if mtime is None else mtime
        self._tables.write("update _facets_files_nodes set mtime = ? where id = ?", now, inode)

    def resize(self, inode: int, size: int) -> None:
        """Note that content, and perhaps size, has changed."""
        self._tables.write(
            "update _facets_files_nodes set size = ?, mtime = ? where id = ?",
            size,
            self.clock(),
            inode,
        )

    def chmod(self, inode: int, mode: int) -> None:
        """Set the permission bits."""
        self._tables.write("update _facets_files_nodes set mode = ? where id = ?", mode, inode)

    def sweep(self) -> int:
        """Remove what streams of earlier lives, or broken ones, have left; how many."""
        query = "select id from _facets_files_nodes where parent = ? and id != ?"
        left = [
            inode
            for (inode,) in self._tables.read(query, DETACHED, ROOT)
            if inode not in self.streams
        ]
        for inode in left:
            self._tables.write("delete from _facets_files_nodes where id = ?", inode)
        return len(left)
