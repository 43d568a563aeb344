"""Making, moving, copying and removing entries."""

from __future__ import annotations

from storage.errors import (
    DirectoryNotEmpty,
    FileExists,
    FileMissing,
    PathInvalid,
)
from storage.files import paths
from storage.files.contents import FILE_MODE
from storage.files.extents import Extents
from storage.files.nodes import Node, Place, Tree
from storage.files.paths import AnyPath
from storage.files.tables import Tables


class Entries:
    """Changes of the tree by path; `Files` says what each of them promises."""

    __slots__ = ("_extents", "_tables", "_tree")

    def __init__(self, tables: Tables, tree: Tree, extents: Extents) -> None:
        self._tables = tables
        self._tree = tree
        self._extents = extents

    # -- making -------------------------------------------------------------------------

    def made(self, path: AnyPath) -> Place:
        """The place of a file, made if there is none."""
        place = self._tree.resolve(path)
        place.not_directory()
        if place.node is not None:
            return place
        self._tree.room(place.path, entries=1)
        return place._replace(
            node=self._tree.add(place.parent.inode, place.name, "file", FILE_MODE)
        )

    def mkdir(self, path: AnyPath, mode: int, *, parents: bool, exist_ok: bool) -> None:
        """Make a directory, and with `parents` what is missing above."""
        with self._tables.change():
            if parents:
                self._make_parents(paths.normalise(path))
            found = self._tree.look(path) if exist_ok else None
            if found is None or found.kind != "directory":
                self._make_directory(self._tree.resolve(path, follow=False), mode)

    def _make_directory(self, place: Place, mode: int = 0o755) -> Place:
        self._free(place)
        self._tree.room(place.path, entries=1)
        node = self._tree.add(place.parent.inode, place.name, "directory", mode & 0o7777)
        return place._replace(node=node)

    def _make_parents(self, path: str) -> None:
        """Make what is missing above; looks for what is there from below, mostly it is near."""
        missing: list[str] = []
        above, _, _ = path.rpartition("/")
        while (place := self._reach(above or "/")) is None:
            above, _, name = above.rpartition("/")
            missing.append(name)
        if place.node is None:  # or a link that leads nowhere, which is in the way
            place = self._make_directory(self._tree.resolve(place.path, follow=False))
        node = place.directory()
        for name in reversed(missing):
            found = self._tree.find(node.inode, name)  # such a link as well
            node = self._make_directory(Place(path, node, name, found)).directory()

    def _reach(self, path: str) -> Place | None:
        try:
            return self._tree.resolve(path)
        except FileMissing:
            return None

    def symlink(self, target: str, path: AnyPath) -> None:
        """Make a link."""
        paths.split(target)
        place = self._tree.resolve(path, follow=False)
        self._free(place)
        with self._tables.change():
            self._tree.room(place.path, entries=1)
            self._tree.add(place.parent.inode, place.name, "link", 0o777, target)

    def _free(self, place: Place) -> None:
        if place.node is not None:
            raise FileExists(f"there is a {place.path!r} already", path=place.path)

    # -- removing -----------------------------------------------------------------------

    def unlink(self, path: AnyPath) -> None:
        """Remove a file or a link."""
        node = self._tree.resolve(path, follow=False).file()
        with self._tables.change():
            self._tree.remove(node)

    def rmdir(self, path: AnyPath) -> None:
        """Remove an empty directory."""
        place = self._tree.resolve(path, follow=False)
        node = place.directory()
        place.not_root()
        self._empty(place)
        with self._tables.change():
            self._tree.remove(node)

    def _empty(self, place: Place) -> None:
        if self._tree.children(place.directory().inode, 1):
            raise DirectoryNotEmpty(f"{place.path!r} is not empty", path=place.path)

    def remove_tree(self, path: AnyPath) -> None:
        """Remove an entry with everything below it."""
        place = self._tree.resolve(path, follow=False)
        node = place.existing()
        gone = [node] if place.name else self._tree.children(node.inode)
        with self._tables.change():
            for one in gone:
                self._tree.remove(one)

    # -- moving and copying -------------------------------------------------------------

    def rename(self, source: AnyPath, target: AnyPath) -> None:
        """Move an entry, as POSIX lets it be moved."""
        here = self._tree.resolve(source, follow=False)
        there = self._tree.resolve(target, follow=False)
        node = here.existing()
        here.not_root()
        there.not_root()
        if there.node == node:
            return
        self._outside(there, node)
        if there.node is not None:
            self._replaceable(node, there)
        with self._tables.change():
            if there.node is not None:
                self._tree.remove(there.node)
            self._tree.move(node, there.parent.inode, there.name)

    def _replaceable(self, node: Node, there: Place) -> None:
        if node.kind == "directory":
            self._empty(there)
        else:
            there.not_directory()

    def _outside(self, there: Place, node: Node) -> None:
        if node.kind == "directory" and self._tree.is_below(there.parent.inode, node.inode):
            raise PathInvalid(f"{there.path!r} is inside of what goes there", path=there.path)

    def copy(self, source: AnyPath, target: AnyPath) -> None:
        """Copy a file, or a directory with everything below it."""
        here = self._tree.resolve(source)
        node = here.existing()
        with self._tables.change():
            if node.kind == "directory":
                self._copy_tree(node, self._tree.resolve(target, follow=False))
            else:
                self._copy_file(node, target)

    def _copy_file(self, node: Node, target: AnyPath) -> None:
        place = self.made(target)
        there = place.file()
        if there.inode == node.inode:
            return
        self._tree.room(place.path, grow=node.size - there.size)
        self._extents.truncate(there.inode, 0)
        self._share(node, there.inode)

    def _copy_tree(self, node: Node, there: Place) -> None:
        self._free(there)
        self._outside(there, node)
        found = self._tree.usage(node.inode).values()
        entries, size = sum(count for count, _ in found), sum(size for _, size in found)
        self._tree.room(there.path, grow=size, entries=entries)
        waiting = [(node, there.parent.inode, there.name)]
        while waiting:
            old, parent, name = waiting.pop()
            new = self._tree.add(parent, name, old.kind, old.mode, old.target)
            if old.kind == "file":
                self._share(old, new.inode)
            waiting += [(one, new.inode, one.name) for one in self._tree.children(old.inode)]

    def _share(self, node: Node, inode: int) -> None:
        self._extents.share(node.inode, inode)
        self._tree.resize(inode, node.size)
        self._tree.chmod(inode, node.mode)
