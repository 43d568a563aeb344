"""An open file, as the standard library knows it."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, NamedTuple

from storage.errors import PathInvalid
from storage.files.chunks import CHUNK

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

    from storage.files.contents import Contents


class Mode(NamedTuple):
    """What the letters of a mode ask for; `base` is one of r, w, a, x."""

    base: str
    reading: bool
    writing: bool
    binary: bool


def parse(mode: str, path: str) -> Mode:
    """Read a mode as `open` of the standard library does."""
    letters = set(mode)
    base = letters & set("rwax")
    unknown = letters - set("rwaxbt+")
    if unknown or len(base) != 1 or len(letters) != len(mode) or {"b", "t"} <= letters:
        raise PathInvalid(f"{mode!r} is not a mode to open {path!r} with", path=path)
    one = base.pop()
    both = "+" in letters
    return Mode(one, one == "r" or both, one != "r" or both, "b" in letters)


class File(io.RawIOBase):
    """A file of an actor, without buffers: each read or write is one of the current step.

    It stays with the file it was opened on: after that was removed, or replaced by a rename or
    a stream, it raises `FileMissing`. It may stay open across steps; a step that is rolled
    back takes what was written with it, but not the position.
    """

    def __init__(self, contents: Contents, inode: int, path: str, mode: Mode) -> None:
        super().__init__()
        self._contents = contents
        self._inode = inode
        self._mode = mode
        self._at = contents.node(inode, path).size if mode.base == "a" else 0
        self.name = path

    @property
    def mode(self) -> str:
        """As of a file of the standard library: `rb`, `rb+`, `wb` ..."""
        return self._mode.base + "b" + ("+" if self._mode.reading and self._mode.writing else "")

    def readable(self) -> bool:
        """Whether it was opened for reading."""
        return self._mode.reading

    def writable(self) -> bool:
        """Whether it was opened for writing."""
        return self._mode.writing

    def seekable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Read from the position into a buffer; how many bytes."""
        self._check(self._mode.reading, "reading")
        view = memoryview(buffer).cast("B")
        data = self._contents.read(self._inode, self.name, self._at, len(view))
        view[: len(data)] = data
        self._at += len(data)
        return len(data)

    def write(self, data: ReadableBuffer, /) -> int:
        """Write at the position, or in an appending mode at the end; how many bytes."""
        self._check(self._mode.writing, "writing")
        view = memoryview(data).cast("B")
        offset = None if self._mode.base == "a" else self._at
        self._at = self._contents.write(self._inode, self.name, view, offset)
        return len(view)

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Move the position; it may be behind the end."""
        self._check(True, "")
        if whence not in (io.SEEK_SET, io.SEEK_CUR, io.SEEK_END):
            raise PathInvalid(f"{whence} is not a place to seek from", path=self.name)
        base = 0
        if whence == io.SEEK_CUR:
            base = self._at
        elif whence == io.SEEK_END:
            base = self._contents.node(self._inode, self.name).size
        if base + offset < 0:
            raise PathInvalid(f"{self.name!r}: a position below zero", path=self.name)
        self._at = base + offset
        return self._at

    def tell(self) -> int:
        """The position."""
        self._check(True, "")
        return self._at

    def truncate(self, size: int | None = None, /) -> int:
        """Cut or extend the file; to the position, unless a size is given."""
        self._check(self._mode.writing, "writing")
        size = self._at if size is None else size
        self._contents.truncate(self._inode, self.name, size)
        return size

    def _check(self, allowed: bool, what: str) -> None:
        if self.closed:
            raise ValueError(f"{self.name!r} is closed")
        if not allowed:
            raise io.UnsupportedOperation(f"{self.name!r} is not open for {what}")


def buffered(raw: File, mode: Mode) -> io.BufferedIOBase:
    """The buffers that go with a mode; what they hold is written when they are closed."""
    if mode.reading and mode.writing:
        return io.BufferedRandom(raw, CHUNK)
    return io.BufferedReader(raw, CHUNK) if mode.reading else io.BufferedWriter(raw, CHUNK)
