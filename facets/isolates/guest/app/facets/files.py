"""`self.fs`: files in the same database as `sql`; each operation is one crossing to the host."""

import io
from typing import NamedTuple

from isolate.storage import operate

METHODS = [
    "append", "chmod", "copy", "diff", "diff_text", "exists", "glob", "is_dir", "is_file",
    "is_link", "lexists", "listdir", "mkdir", "read", "readlink", "remove_tree", "rename", "rmdir",
    "symlink", "truncate", "unlink", "utime", "write", "write_at",
]  # fmt: skip


class Stat(NamedTuple):
    """What is known of one file, directory or link, at one moment."""

    kind: str
    size: int
    mode: int
    mtime_ns: int
    inode: int

    @property
    def mtime(self):
        """`mtime_ns` in seconds."""
        return self.mtime_ns / 1e9


class Entry(NamedTuple):
    """One entry of a directory."""

    name: str
    path: str
    stat: Stat


class Files:
    """Files, directories and links that live in the actor's database.

    Each method is part of the current step and has the errors of POSIX. `open` reads the whole
    file, and writes it when it is closed.
    """

    __slots__ = ()

    def stat(self, path):
        """What is under the path; FileNotFoundError if nothing is."""
        return Stat(*_operate("stat", (path,), {}))

    def lstat(self, path):
        """The same of a link itself."""
        return Stat(*_operate("lstat", (path,), {}))

    def scandir(self, path="/", *, limit=None, after=""):
        """Entries of a directory, with what `lstat` would say of each."""
        found = _operate("scandir", (path,), {"limit": limit, "after": after})
        return [Entry(name, where, Stat(*stat)) for name, where, stat in found]

    def read_text(self, path, encoding="utf-8", errors="strict"):
        """The whole file as text."""
        return self.read(path).decode(encoding, errors)

    def write_text(self, path, text, encoding="utf-8"):
        """Make or replace a file of text; how many bytes."""
        return self.write(path, text.encode(encoding))

    def open(self, path, mode="r", encoding=None, errors=None, newline=None):
        """A file object over the whole content, kept when it is closed."""
        kind = mode.replace("b", "").replace("t", "")
        if kind not in {"r", "w", "a", "x", "r+", "w+"}:
            raise ValueError(f"invalid mode: {mode!r}")
        if kind == "x" and self.lexists(path):
            raise FileExistsError(path)
        raw = _Handle(path, kind, b"" if kind in {"w", "w+", "x"} else _content(self, path, kind))
        if kind != "r":
            self.write(path, raw.getvalue())
        if "b" in mode:
            return raw
        return io.TextIOWrapper(raw, encoding or "utf-8", errors, newline)


def _content(files, path, kind):
    return b"" if kind == "a" and not files.exists(path) else files.read(path)


class _Handle(io.BytesIO):
    """A file in memory; what was written goes to the host with `close`."""

    def __init__(self, path, kind, content):
        super().__init__(content)
        self._path = path
        self._writes = kind != "r"
        if kind == "a":
            self.seek(0, io.SEEK_END)

    def readable(self):
        return True

    def writable(self):
        return self._writes

    def write(self, data):
        if not self._writes:
            raise io.UnsupportedOperation("not writable")
        return super().write(data)

    def close(self):
        if not self.closed and self._writes:
            _operate("write", (self._path, self.getvalue()), {})
        super().close()


def _operate(method, args, kwargs):
    return operate("fs", [method, [_plain(arg) for arg in args], kwargs])


def _plain(value):
    if isinstance(value, (bytearray, memoryview)):
        return bytes(value)
    return value.__fspath__() if hasattr(value, "__fspath__") else value


def _method(name):
    def method(self, *args, **kwargs):
        return _operate(name, args, kwargs)

    method.__name__ = name
    return method


for _name in METHODS:
    setattr(Files, _name, _method(_name))
