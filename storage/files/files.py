"""`self.fs`: a file system in the database of one actor."""

from __future__ import annotations

import io
import re
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, overload

from storage.errors import (
    FileExists,
    PathInvalid,
)
from storage.files import contents, handle, paths, search, streams
from storage.files.chunks import Buffer, Chunks
from storage.files.contents import Contents
from storage.files.entries import Entries
from storage.files.extents import Extents
from storage.files.nodes import Stat, Tree
from storage.files.paths import AnyPath
from storage.files.search import Match
from storage.files.tables import Tables
from storage.limits import FileLimits

if TYPE_CHECKING:
    from storage.database import Database
    from storage.files.spec import FacetsFileSystem
    from storage.objects.store import ObjectStore
    from storage.views.files import FileView


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a directory. A link is itself here, not what it leads to."""

    name: str
    path: str
    stat: Stat


@dataclass(frozen=True, slots=True)
class Usage:
    """What is at and below a directory."""

    files: int
    directories: int
    links: int
    bytes: int
    """Of all files, each counted in full, also where they share content."""


class Files:
    """Files, directories and symbolic links that live and die with the actor's database.

    Each method is all or nothing and part of the current step, like a statement of `sql`: a
    step or a `with transaction()` that is undone takes its changes to files along, and files
    are as durable as rows. Only `stream` and `write_stream` take several steps.
    A method belongs on the thread of the runtime, and blocks on the object store where large
    files are kept there; use the streams for those.

    Paths are text or PathLike, absolute or from the root; `..` is taken as text and cannot
    leave it. Links are followed unless a method says otherwise. Errors are `FileError`s with
    the `errno` of POSIX, and the matching builtin (FileNotFoundError ...). Permission bits are
    kept and restrict nobody. Equal contents are stored once. `objects` takes what of a file
    is over `limits.inline` bytes; without one everything is in the database.
    """

    __slots__ = ("_chunks", "_contents", "_entries", "_tables", "_tree")

    def __init__(
        self,
        database: Database,
        objects: ObjectStore | None = None,
        limits: FileLimits | None = None,
        *,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        limits = limits or FileLimits()
        self._tables = Tables(database)
        self._tree = Tree(self._tables, limits, clock)
        self._chunks = Chunks(self._tables, objects)
        extents = Extents(self._tables, self._chunks, limits.inline)
        self._contents = Contents(self._tables, self._tree, extents)
        self._entries = Entries(self._tables, self._tree, extents)

    def forget(self) -> None:
        """Look again whether the tables are there: the step that made them was rolled back."""
        self._tables.forget()

    @property
    def limits(self) -> FileLimits:
        """What these files may take."""
        return self._tree.limits

    # -- looking ------------------------------------------------------------------------

    def stat(self, path: AnyPath) -> Stat:
        """What is under the path; `FileMissing` if nothing is."""
        return self._tree.resolve(path).existing().stat()

    def lstat(self, path: AnyPath) -> Stat:
        """The same of a link itself."""
        return self._tree.resolve(path, follow=False).existing().stat()

    def exists(self, path: AnyPath) -> bool:
        """Whether something is there; False for a link that leads nowhere."""
        return self._tree.look(path, follow=True) is not None

    def lexists(self, path: AnyPath) -> bool:
        """The same, and True for a link that leads nowhere."""
        return self._tree.look(path, follow=False) is not None

    def is_file(self, path: AnyPath) -> bool:
        """Whether a file is there."""
        node = self._tree.look(path, follow=True)
        return node is not None and node.kind == "file"

    def is_dir(self, path: AnyPath) -> bool:
        """Whether a directory is there."""
        node = self._tree.look(path, follow=True)
        return node is not None and node.kind == "directory"

    def is_link(self, path: AnyPath) -> bool:
        """Whether a symbolic link is there."""
        node = self._tree.look(path, follow=False)
        return node is not None and node.kind == "link"

    def listdir(
        self, path: AnyPath = "/", *, limit: int | None = None, after: str = ""
    ) -> list[str]:
        """Names in a directory, in the order of their bytes; of those behind `after`, `limit`."""
        node = self._tree.resolve(path).directory()
        return [one.name for one in self._tree.children(node.inode, limit, after)]

    def scandir(
        self, path: AnyPath = "/", *, limit: int | None = None, after: str = ""
    ) -> list[Entry]:
        """The same with what `lstat` would say of each."""
        place = self._tree.resolve(path)
        return [
            Entry(one.name, paths.join(place.path, one.name), one.stat())
            for one in self._tree.children(place.directory().inode, limit, after)
        ]

    def walk(self, path: AnyPath = "/") -> Iterator[tuple[str, list[str], list[str]]]:
        """Each directory from here down: path, names of directories, names of everything else.

        A name taken out of the list of directories is not gone into. Links are not followed.
        """
        place = self._tree.resolve(path)
        return search.walk(self._tree, place.path, place.directory())

    def glob(self, pattern: str) -> list[str]:
        """Paths that match, sorted: `*`, `?` and `[a-z]` within a name, `**` for any depth.

        At its end `**` is everything below. It does not go through links to directories.
        """
        return search.glob(self._tree, pattern)

    def grep(
        self, pattern: str | re.Pattern[str], glob: str = "**", *, limit: int = 1000
    ) -> list[Match]:
        """The first `limit` lines that a regular expression is found in, by path and line.

        Files with a NUL in their first 8 KiB are skipped; bytes that are not UTF-8 read as
        U+FFFD. A pattern can take exponential time, so do not take one from a stranger.
        """
        return list(search.grep(self, pattern, glob, limit))

    def diff(self, path: AnyPath, other: AnyPath, *, context: int = 3) -> str:
        """A unified diff from one text file to another; "" if they are the same.

        Over 10,000 lines it is `FileTooLarge`.
        """
        labels = (paths.normalise(path), paths.normalise(other))
        return search.diff(self.read_text(path), self.read_text(other), labels, context)

    def diff_text(self, path: AnyPath, text: str, *, context: int = 3) -> str:
        """A unified diff from a text file to what it could become."""
        label = paths.normalise(path)
        return search.diff(self.read_text(path), text, (label, label), context)

    def usage(self, path: AnyPath = "/") -> Usage:
        """What is at and below a path, itself among it."""
        found = self._tree.usage(self._tree.resolve(path, follow=False).existing().inode)
        files, size = found.get("file", (0, 0))
        directories = found.get("directory", (0, 0))[0]
        return Usage(files, directories, found.get("link", (0, 0))[0], size)

    def readlink(self, path: AnyPath) -> str:
        """The text of a link; `PathInvalid` if it is none."""
        place = self._tree.resolve(path, follow=False)
        if place.existing().kind != "link":
            raise PathInvalid(f"{place.path!r} is not a link", path=place.path)
        return place.existing().target

    # -- contents -----------------------------------------------------------------------

    def read(self, path: AnyPath, offset: int = 0, size: int | None = None) -> bytes:
        """At most `size` bytes from `offset`, all if None; b"" behind the end."""
        place = self._tree.resolve(path)
        return self._contents.read(place.file().inode, place.path, offset, size)

    def read_text(self, path: AnyPath, encoding: str = "utf-8", errors: str = "strict") -> str:
        """The whole file as text, with line ends as they stand."""
        return self.read(path).decode(encoding, errors)

    def write(self, path: AnyPath, data: Buffer) -> int:
        """Make the file, or replace its content; how many bytes."""
        view = memoryview(data).cast("B")
        with self._tables.change():
            place = self._entries.made(path)
            self._contents.replace(place.file().inode, place.path, view)
        return len(view)

    def write_text(self, path: AnyPath, text: str, encoding: str = "utf-8") -> int:
        """The same with text; how many bytes."""
        return self.write(path, text.encode(encoding))

    def append(self, path: AnyPath, data: Buffer) -> int:
        """Put bytes at the end of the file, made if need be; its size afterwards."""
        return self._write(path, data, None)

    def write_at(self, path: AnyPath, offset: int, data: Buffer) -> int:
        """Put bytes at `offset` into the file, made if need be; the offset behind them.

        What lies between the end and `offset` reads as zeros.
        """
        return self._write(path, data, offset)

    def _write(self, path: AnyPath, data: Buffer, offset: int | None) -> int:
        view = memoryview(data).cast("B")
        with self._tables.change():
            place = self._entries.made(path)
            return self._contents.write(place.file().inode, place.path, view, offset)

    def truncate(self, path: AnyPath, size: int = 0) -> None:
        """Cut the file, or extend it by zeros."""
        place = self._tree.resolve(path)
        self._contents.truncate(place.file().inode, place.path, size)

    @overload
    def open(
        self,
        path: AnyPath,
        mode: Literal["rb", "wb", "ab", "xb", "rb+", "wb+", "ab+", "xb+", "r+b", "w+b"],
        *,
        buffering: int = -1,
    ) -> io.BufferedIOBase: ...
    @overload
    def open(
        self,
        path: AnyPath,
        mode: Literal["r", "w", "a", "x", "r+", "w+", "a+", "x+"] = "r",
        *,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> io.TextIOWrapper: ...
    @overload
    def open(
        self,
        path: AnyPath,
        mode: str,
        *,
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> Any: ...
    def open(
        self,
        path: AnyPath,
        mode: str = "r",
        *,
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> Any:
        """An open file like the builtin's; text is UTF-8 unless said otherwise.

        What is written is in the step once the buffers are flushed, by `close` at the latest.
        `buffering=0`, for bytes only, has no buffers. Raises `PathInvalid` for a bad mode.
        """
        parsed = handle.parse(mode, paths.normalise(path))
        raw = handle.File(self._contents, *self._opened(path, parsed), parsed)
        if parsed.binary:
            return raw if buffering == 0 else handle.buffered(raw, parsed)
        if buffering == 0:
            raise ValueError("text needs buffers")
        return io.TextIOWrapper(handle.buffered(raw, parsed), encoding or "utf-8", errors, newline)

    def _opened(self, path: AnyPath, mode: handle.Mode) -> tuple[int, str]:
        place = self._tree.resolve(path, follow=mode.base != "x")
        if mode.base == "x" and place.node is not None:
            raise FileExists(f"there is a {place.path!r} already", path=place.path)
        if mode.base == "r" or (mode.base == "a" and place.node is not None):
            return place.file().inode, place.path
        with self._tables.change():
            place = self._entries.made(path)
            if mode.base == "w":
                self._contents.truncate(place.file().inode, place.path, 0)
        return place.file().inode, place.path

    # -- streams ------------------------------------------------------------------------

    def stream(
        self, path: AnyPath, offset: int = 0, size: int | None = None
    ) -> AsyncIterator[bytes]:
        """`async for`: pieces of at most 1 MiB, from `offset` on, `size` bytes or to the end.

        A file that is written to meanwhile is read as it is when its turn comes; one that is
        removed or replaced raises `FileMissing`.
        """
        place = self._tree.resolve(path)
        place.file()
        contents.not_negative(place.path, offset, size or 0)
        return streams.read(self._contents, self._chunks, place, offset, size)

    async def write_stream(self, path: AnyPath, source: AsyncIterable[Buffer]) -> int:
        """Make or replace a file from pieces; how many bytes. About 1 MiB is in memory.

        The file appears, or changes, as a whole when the source has ended; then it has a new
        inode and the old permission bits. If the source raises, or this is cancelled, or the
        process dies, it is as it was. Until the end there is room needed for both.
        """
        incoming = streams.Incoming(self, self._contents, self._chunks, path)
        try:
            await incoming.fill(source)
            incoming.land()
        except BaseException:
            incoming.drop()
            raise
        finally:
            incoming.close()
        return incoming.size

    # -- entries ------------------------------------------------------------------------

    def mkdir(
        self, path: AnyPath, mode: int = 0o755, *, parents: bool = False, exist_ok: bool = False
    ) -> None:
        """Make a directory; with `parents` also those above that are missing.

        `FileExists` if something is there, unless it is a directory and `exist_ok`.
        """
        self._entries.mkdir(path, mode, parents=parents, exist_ok=exist_ok)

    def symlink(self, target: str, path: AnyPath) -> None:
        """Make a link; a target that is not absolute starts at the link's directory.

        It may lead nowhere. `FileExists` if something is under `path`.
        """
        self._entries.symlink(target, path)

    def chmod(self, path: AnyPath, mode: int) -> None:
        """Set the permission bits."""
        node = self._tree.resolve(path).existing()
        with self._tables.change():
            self._tree.chmod(node.inode, mode & 0o7777)

    def utime(self, path: AnyPath, mtime_ns: int | None = None) -> None:
        """Set the time of the newest change, in ns since 1970; now if None."""
        node = self._tree.resolve(path).existing()
        with self._tables.change():
            self._tree.touch(node.inode, mtime_ns)

    def unlink(self, path: AnyPath) -> None:
        """Remove a file or a link; `IsDirectory` for a directory."""
        self._entries.unlink(path)

    def rmdir(self, path: AnyPath) -> None:
        """Remove an empty directory; `DirectoryNotEmpty` if it is not."""
        self._entries.rmdir(path)

    def remove_tree(self, path: AnyPath) -> None:
        """Remove whatever is there, a directory with everything below it; of `/`, its content."""
        self._entries.remove_tree(path)

    def rename(self, source: AnyPath, target: AnyPath) -> None:
        """Move an entry, in one go. Links are moved, not followed.

        As in POSIX: a file or link replaces a file or link (else `IsDirectory`), a directory
        replaces an empty one (else `NotDirectory`, `DirectoryNotEmpty`), nothing moves into
        itself (`PathInvalid`), and onto itself nothing happens.
        """
        self._entries.rename(source, target)

    def copy(self, source: AnyPath, target: AnyPath) -> None:
        """Copy a file over or beside another, or a directory with all below it to a new path.

        Content is shared, not copied. A link as `source` is followed, links below it stay
        links. `FileExists` if a directory is copied to where something is.
        """
        self._entries.copy(source, target)

    # -- elsewhere ----------------------------------------------------------------------

    def view(self, path: AnyPath, mode: Literal["r", "rw"] = "r") -> FileView:
        """What is below a directory, to be handed to others: see `FileView`."""
        from storage.views.files import FileView

        return FileView(self._tables.database, paths.normalise(path), mode)

    def fsspec(self) -> FacetsFileSystem:
        """The same files as an `fsspec` file system, for libraries that take one."""
        from storage.files.spec import FacetsFileSystem

        return FacetsFileSystem(files=self)
