"""The files of an actor as an `fsspec` file system: pandas, pyarrow, dask and the like.

    actor.fs.fsspec().open("/report.csv", "w")
    fsspec.open("facets://KIND/NAME/report.csv")       # where a resolver is registered

Kind and name are percent-encoded in an address. The only module that imports fsspec.
"""

from __future__ import annotations

import contextlib
import io
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, unquote

from fsspec import AbstractFileSystem  # type: ignore[import-untyped]
from fsspec.utils import stringify_path  # type: ignore[import-untyped]

from storage.errors import FileError, FileExists, IsDirectory, PathInvalid
from storage.files import paths, resolver
from storage.files.files import Entry
from storage.files.nodes import Stat
from storage.files.resolver import FilesLike

_SCHEME = "facets://"


class FacetsFileSystem(AbstractFileSystem):  # type: ignore[misc] # fsspec has no types
    """One actor's files; given, or found by the kind and name of an address.

    Synchronous, and bound to the thread of those files. A file opened for reading is read
    when it is opened, so the libraries that read on threads of their own may; one opened for
    writing is written as a whole when it is closed, and not at all if it never is. Directories
    above a file that is written are made, as those libraries expect.
    """

    protocol = "facets"
    root_marker = "/"
    cachable = False  # an instance belongs to one actor's files, which may be opened again

    def __init__(
        self,
        kind: str = "",
        name: str = "",
        *,
        files: FilesLike | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.kind = kind
        self.name = name
        self._files = files

    @property
    def files(self) -> FilesLike:
        """The files themselves; looked up at each use where they go by an address."""
        return self._files if self._files is not None else resolver.resolve(self.kind, self.name)

    @property
    def fsid(self) -> str:
        """The same for instances that mean the same files."""
        where = f"{self.kind}/{self.name}" if self._files is None else str(id(self._files))
        return f"facets_{where}"

    # -- addresses ----------------------------------------------------------------------

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        if isinstance(path, list):
            return [cls._strip_protocol(one) for one in path]
        text = stringify_path(path)
        if text.startswith(_SCHEME):
            text = _split(text)[2]
        return paths.normalise(text or "/")

    @staticmethod
    def _get_kwargs_from_urls(path: str) -> dict[str, str]:
        kind, name, _ = _split(path)
        return {"kind": kind, "name": name} if kind else {}

    def unstrip_protocol(self, name: str) -> str:
        """The whole address of a path."""
        path = self._strip_protocol(name)
        owner = f"{quote(self.kind, safe='')}/{quote(self.name, safe='')}" if self.kind else ""
        return f"{_SCHEME}{owner}{path}"

    # -- looking ------------------------------------------------------------------------

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """Name, size, type and times of what is under a path."""
        path = self._strip_protocol(path)
        return _info(path, self.files.stat(path))

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        """Entries of a directory, or the file itself."""
        path = self._strip_protocol(path)
        found = [self.info(path)]
        if found[0]["type"] == "directory":
            found = [self._entry(one) for one in self.files.scandir(path)]
        return found if detail else [one["name"] for one in found]

    def _entry(self, entry: Entry) -> dict[str, Any]:
        """A link to a file is that file; any other stays a link, or walking might not end."""
        if entry.stat.kind == "link":
            with contextlib.suppress(FileError):
                there = self.files.stat(entry.path)
                return _info(entry.path, there if there.kind == "file" else entry.stat)
        return _info(entry.path, entry.stat)

    def modified(self, path: str) -> datetime:
        """When the content last changed."""
        return datetime.fromtimestamp(self.info(path)["mtime"], tz=UTC)

    # -- contents -----------------------------------------------------------------------

    def _open(
        self, path: str, mode: str = "rb", *_: Any, autocommit: bool = True, **__: Any
    ) -> io.BytesIO:
        path = self._strip_protocol(path)
        if mode == "rb":
            return io.BytesIO(self.files.read(path))
        if mode not in {"wb", "ab", "xb"}:
            raise PathInvalid(f"{mode!r} is not a mode to open {path!r} with", path=path)
        self._writable(path, mode)
        return Outgoing(self, path, mode, autocommit=autocommit)

    def _writable(self, path: str, mode: str) -> None:
        """Say now what would go wrong at the end, when all is written."""
        if mode == "xb" and self.exists(path):
            raise FileExists(f"there is a {path!r} already", path=path)
        if self.isdir(path):
            raise IsDirectory(f"{path!r} is a directory", path=path)

    def make_parent(self, path: str) -> None:
        """Make the directories above a file."""
        self.files.mkdir(self._parent(path), parents=True, exist_ok=True)

    def cat_file(
        self, path: str, start: int | None = None, end: int | None = None, **_: Any
    ) -> bytes:
        """Bytes of a file; `start` and `end` may count from its end."""
        path = self._strip_protocol(path)
        if start is None and end is None:
            return self.files.read(path)
        low, high, _step = slice(start, end).indices(self.files.stat(path).size)
        return self.files.read(path, low, max(0, high - low))

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **_: Any) -> None:
        """Make or replace a file; with mode `create`, only make it."""
        with self.open(path, "xb" if mode == "create" else "wb") as file:
            file.write(value)

    def touch(self, path: str, truncate: bool = True, **_: Any) -> None:
        """Make an empty file; of one that is there, drop the content or set the time."""
        path = self._strip_protocol(path)
        if truncate or not self.exists(path):
            self.make_parent(path)
            self.files.write(path, b"")
        else:
            self.files.utime(path)

    # -- entries ------------------------------------------------------------------------

    def mkdir(self, path: str, create_parents: bool = True, **_: Any) -> None:
        """Make a directory."""
        self.files.mkdir(self._strip_protocol(path), parents=create_parents)

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        """Make a directory and those above it."""
        self.files.mkdir(self._strip_protocol(path), parents=True, exist_ok=exist_ok)

    def rmdir(self, path: str) -> None:
        """Remove an empty directory."""
        self.files.rmdir(self._strip_protocol(path))

    def _rm(self, path: str) -> None:
        path = self._strip_protocol(path)
        if self.isdir(path):
            self.files.rmdir(path)
        else:
            self.files.unlink(path)

    rm_file = _rm

    def cp_file(self, path1: str, path2: str, **_: Any) -> None:
        """Copy a file, or make a directory as another is."""
        source, target = self._strip_protocol(path1), self._strip_protocol(path2)
        if self.isdir(source):
            self.files.mkdir(target, parents=True, exist_ok=True)
        else:
            self.make_parent(target)
            self.files.copy(source, target)

    def mv_file(self, path1: str, path2: str, **_: Any) -> None:
        """Move one entry, in one go."""
        self.files.rename(self._strip_protocol(path1), self._strip_protocol(path2))


class Outgoing(io.BytesIO):
    """Bytes that become a file when this is closed, or, within a transaction, at its end."""

    def __init__(self, fs: FacetsFileSystem, path: str, mode: str, *, autocommit: bool) -> None:
        super().__init__()
        self._fs = fs
        self._mode = mode
        self._autocommit = autocommit
        self._whole: bytes | None = None
        self.path = path

    @property
    def mode(self) -> str:
        """How it was opened."""
        return self._mode

    def readable(self) -> bool:
        """Never; what was written can be read once it is a file."""
        return False

    def close(self) -> None:
        """Write the file, once."""
        if self.closed:
            return
        self._whole = self.getvalue()
        super().close()
        if self._autocommit:
            self.commit()

    def commit(self) -> None:
        """Write the file that was closed; fsspec calls this at the end of its transaction."""
        data, self._whole = self._whole, None
        if data is None:
            return
        self._fs.make_parent(self.path)
        if self._mode == "ab":
            self._fs.files.append(self.path, data)
        else:
            self._fs.files.write(self.path, data)

    def discard(self) -> None:
        """Close without writing anything."""
        self._whole = None
        super().close()

    def __del__(self) -> None:
        # Nobody closed it, so it is not complete; and this may be any thread.
        self.discard()


def _split(address: str) -> tuple[str, str, str]:
    """Kind, name and path of an address; without a kind where it has three slashes."""
    rest = address.removeprefix(_SCHEME)
    if rest == address or rest.startswith("/") or not rest:
        return "", "", rest
    kind, _, rest = rest.partition("/")
    name, _, path = rest.partition("/")
    if not kind or not name:
        raise PathInvalid(f"{address!r} is not facets://KIND/NAME/path", path=address)
    return unquote(kind), unquote(name), "/" + path


def _info(path: str, stat: Stat) -> dict[str, Any]:
    return {
        "name": path,
        "size": stat.size,
        "type": stat.kind,
        "mode": stat.mode,
        "mtime": stat.mtime,
        "ino": stat.inode,
    }
