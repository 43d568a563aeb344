"""The files below one directory."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from storage.errors import FileDenied, FileError, FileMissing, LinkLoop, NotDirectory, PathInvalid
from storage.files import paths
from storage.views.view import Mode, View

if TYPE_CHECKING:
    from storage.database import Database
    from storage.files.chunks import Buffer
    from storage.files.files import Entry, Files
    from storage.files.nodes import Stat

T = TypeVar("T")
ENTRIES = 10_000
"""Entries that one listing of a view gives."""
LARGEST = 16 << 20
"""Bytes that one read of a view gives; larger files are read in parts."""


class FileView(View):
    """Files and directories below `root`, which is `/` here; see `Files` for each method.

    `..` stays below the root, and links are followed only while they stay below it: one that leads
    out is `FileDenied`, whatever is asked of it. Links cannot be made, read or replaced. The
    root itself can be neither moved nor removed. Errors name paths as they are seen here.
    """

    __slots__ = ("root",)

    READS = (
        "diff", "exists", "glob", "is_dir", "is_file", "listdir", "read", "read_text", "scandir",
        "stat",
    )  # fmt: skip
    WRITES = (
        "append", "copy", "mkdir", "remove_tree", "rename", "rmdir", "truncate", "unlink", "write",
        "write_at", "write_text",
    )  # fmt: skip

    def __init__(self, database: Database, root: str, mode: Mode) -> None:
        super().__init__(database, mode)
        self.root = paths.normalise(root)

    # -- looking ------------------------------------------------------------------------

    def exists(self, path: str) -> bool:
        """Whether something is there."""
        return self._look(path, self._files.exists)

    def is_file(self, path: str) -> bool:
        """Whether a file is there."""
        return self._look(path, self._files.is_file)

    def is_dir(self, path: str) -> bool:
        """Whether a directory is there."""
        return self._look(path, self._files.is_dir)

    def stat(self, path: str) -> Stat:
        """What is known of it."""
        return self._run(self._files.stat, path)

    def listdir(self, path: str = "/", *, limit: int = ENTRIES, after: str = "") -> list[str]:
        """Names in a directory, in order; of those behind `after`, at most `limit`."""
        most = _most(limit)
        return self._run(lambda real: self._files.listdir(real, limit=most, after=after), path)

    def scandir(self, path: str = "/", *, limit: int = ENTRIES, after: str = "") -> list[Entry]:
        """The same with what is known of each."""
        most = _most(limit)
        found = self._run(lambda real: self._files.scandir(real, limit=most, after=after), path)
        return [type(one)(one.name, self._shown(one.path), one.stat) for one in found]

    def glob(self, pattern: str) -> list[str]:
        """Paths that match; see `Files.glob`."""
        real = self._real(pattern)
        found = [
            one for one in self._run(lambda _: self._files.glob(real), "/") if self._is_in(one)
        ]
        return [self._shown(one) for one in found[:ENTRIES]]

    def read(self, path: str, offset: int = 0, size: int | None = None) -> bytes:
        """At most `size` bytes from `offset`; all, if that is not too much for once."""
        most = LARGEST + 1 if size is None else min(size, LARGEST)
        data = self._run(lambda real: self._files.read(real, offset, most), path)
        if len(data) > LARGEST:
            raise PathInvalid(
                f"{path!r} has over {LARGEST} bytes", hint="read it in parts", path=str(path)
            )
        return data

    def read_text(self, path: str, encoding: str = "utf-8", errors: str = "strict") -> str:
        """The whole file as text."""
        return self.read(path).decode(encoding, errors)

    def diff(self, path: str, other: str, *, context: int = 3) -> str:
        """A unified diff from one text file to another."""
        return self._run(lambda one, two: self._files.diff(one, two, context=context), path, other)

    # -- changing -----------------------------------------------------------------------

    def write(self, path: str, data: Buffer) -> int:
        """Make the file, or replace its content; how many bytes."""
        return self._change(lambda real: self._files.write(real, data), path)

    def write_text(self, path: str, text: str, encoding: str = "utf-8") -> int:
        """The same with text."""
        return self.write(path, text.encode(encoding))

    def append(self, path: str, data: Buffer) -> int:
        """Put bytes at the end; the size afterwards."""
        return self._change(lambda real: self._files.append(real, data), path)

    def write_at(self, path: str, offset: int, data: Buffer) -> int:
        """Put bytes at `offset`; the offset behind them."""
        return self._change(lambda real: self._files.write_at(real, offset, data), path)

    def truncate(self, path: str, size: int = 0) -> None:
        """Cut the file, or extend it by zeros."""
        self._change(lambda real: self._files.truncate(real, size), path)

    def mkdir(self, path: str, *, parents: bool = False, exist_ok: bool = False) -> None:
        """Make a directory; with `parents` also those above that are missing."""
        names = paths.parts(path)
        for depth in range(1, len(names)) if parents else ():
            above = "/" + "/".join(names[:depth])
            self._change(lambda real: self._files.mkdir(real, exist_ok=True), above)
        self._change(lambda real: self._files.mkdir(real, exist_ok=exist_ok), path)

    def unlink(self, path: str) -> None:
        """Remove a file."""
        self._change(self._files.unlink, path, moves=True)

    def rmdir(self, path: str) -> None:
        """Remove an empty directory."""
        self._change(self._files.rmdir, path, moves=True)

    def remove_tree(self, path: str) -> None:
        """Remove whatever is there, with everything below it."""
        self._change(self._files.remove_tree, path, moves=True)

    def rename(self, source: str, target: str) -> None:
        """Move an entry, in one go."""
        self._change(self._files.rename, source, target, moves=True)

    def copy(self, source: str, target: str) -> None:
        """Copy a file, or a directory with all below it."""
        self._change(self._files.copy, source, target, moves=True)

    # -- confinement ----------------------------------------------------------------------

    @property
    def _files(self) -> Files:
        return self.database.fs

    def _look(self, path: str, ask: Callable[[str], bool]) -> bool:
        try:
            return self._run(ask, path)
        except (FileMissing, NotDirectory, LinkLoop):
            return False

    def _change(self, do: Callable[..., T], *given: str, moves: bool = False) -> T:
        self._writes()
        for path in given if moves else ():
            if self._real(path) == self.root:
                raise PathInvalid("the root of a view stays where it is", path="/")
        return self._run(do, *given, reads=False)

    def _run(self, do: Callable[..., T], *given: str, reads: bool = True) -> T:
        """Do something to paths of the view; every check and the deed are one piece of a step."""
        real = [self._real(path) for path in given]
        try:
            for one in real:
                self._confine(one)
            with self.database.confined(reads=reads):
                return do(*real)
        except FileError as error:
            raise self._as_seen(error) from None

    def _real(self, path: str) -> str:
        return paths.normalise(self.root + paths.normalise(path))

    def _shown(self, real: str) -> str:
        return real if self.root == "/" else real.removeprefix(self.root) or "/"

    def _is_in(self, real: str) -> bool:
        try:
            self._confine(real)
        except FileError:
            return False
        return True

    def _confine(self, real: str) -> None:
        """Raise unless the path leads to a place below the root, links at its end taken as
        themselves and followed."""
        if real == self.root:
            return
        tree = self._files._tree
        root = tree.resolve(self.root).directory()
        for follow in (False, True):
            place = tree.resolve(real, follow=follow)
            if place.node is not None and place.node.inode == root.inode:
                continue
            if not tree.is_below(place.parent.inode, root.inode):
                raise FileDenied(f"{real!r} leads out of the view", path=real)

    def _as_seen(self, error: FileError) -> FileError:
        if self.root == "/":
            return error
        fields = dict(error.fields)
        if isinstance(fields.get("path"), str):
            fields["path"] = self._shown(fields["path"])
        message = error.message.replace(self.root + "/", "/").replace(self.root, "/")
        return type(error)(message, hint=error.hint or None, **fields)

    def __repr__(self) -> str:
        return f"<files below {self.root}>"


def _most(limit: int) -> int:
    return max(0, min(limit, ENTRIES))
