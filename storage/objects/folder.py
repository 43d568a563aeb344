"""Objects as files of a folder, durable when a call returns.

    KEY            an object; the parts of the key are folders
    ~/RANDOM       an object being written; no key can have this name

A file gets its name only when its content is on disk: by `link` when nothing may be replaced
(the kernel lets one of all racers win), by `rename` otherwise. Then the folder that holds the
name is synced. So a power loss leaves an object or none, and never half of one; what it leaves
in `~` is removed by the next opening once it is a day old.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

from storage.disk import Disk
from storage.errors import ObjectMissing, ObjectStoreFailed
from storage.objects.keys import check_key, check_prefix

_STALE = 24 * 3600.0
"""Seconds after which a file in `~` has no writer any more. One that is written for longer
fails at its link, it does not harm."""

_NO_OBJECT = (FileNotFoundError, NotADirectoryError, IsADirectoryError)
"""There is nothing, or an object where the key has a folder, or a folder where it has an object."""


class FolderStore:
    """An `ObjectStore` in a folder, made if need be.

    Durable on a disk that keeps what it has synced. Any number of threads and processes may use
    the folder at once, over a network file system as far as that makes `link` atomic.
    """

    def __init__(self, path: Path | str, disk: Disk | None = None) -> None:
        self.path = Path(path).absolute()
        self.url = self.path.as_uri()
        self._disk = disk or Disk()
        self._durable: set[Path] = set()
        """Folders whose own names are known to be on disk."""
        self._scratch = self.path / "~"
        with self._failing(""):
            self._scratch.mkdir(parents=True, exist_ok=True)
            self._sweep()

    def get(self, key: str) -> bytes:
        """The object; `ObjectMissing` if there is none."""
        path = self._path(key)
        try:
            return self._disk.read_file(path)
        except _NO_OBJECT as error:
            raise ObjectMissing(f"{self.url} has no {key}", url=self.url, key=key) from error
        except OSError as error:
            raise self._failed(key, error) from error

    def put(self, key: str, data: bytes) -> None:
        """Make or replace the object; the old one or the new one is there at every moment."""
        path = self._path(key)
        with self._failing(key), self._written(data) as scratch:
            self._make_folder(path.parent)
            self._disk.rename(scratch, path)
            self._disk.sync_directory(path.parent)

    def create(self, key: str, data: bytes) -> bool:
        """Make the object only if there is none: whether it holds these very bytes on return."""
        path = self._path(key)
        with self._failing(key):
            won = self._link(path, data)
            # Also when somebody else won: their name may not be on disk yet, and the caller is
            # about to act on having seen it.
            self._disk.sync_directory(path.parent)
            return won or self._disk.read_file(path) == data

    def list(self, prefix: str, after: str = "") -> list[str]:
        """Keys that begin with `prefix` and sort behind `after`, in order."""
        folder = check_prefix(prefix)
        with self._failing(prefix):
            keys = [key for key in _walk(self.path / folder, folder) if key.startswith(prefix)]
        return sorted(key for key in keys if key > after)

    def delete(self, key: str) -> None:
        """Remove the object if it is there. Its folder stays: a racing `create` may need it."""
        path = self._path(key)
        with self._failing(key):
            try:
                self._disk.unlink(path)
            except _NO_OBJECT:
                return
            if path.parent.is_dir():
                self._disk.sync_directory(path.parent)

    # -- files --------------------------------------------------------------------------

    def _path(self, key: str) -> Path:
        return self.path / check_key(key)

    def _link(self, path: Path, data: bytes) -> bool:
        with self._written(data) as scratch:
            self._make_folder(path.parent)
            try:
                self._disk.link(scratch, path)
            except FileExistsError:
                return False
            return True

    @contextlib.contextmanager
    def _written(self, data: bytes) -> Iterator[Path]:
        """A synced file of this content, without a name that counts; gone afterwards."""
        path = self._scratch / secrets.token_hex(16)
        self._disk.write_file(path, data, sync=True)
        try:
            yield path
        finally:
            with contextlib.suppress(OSError):  # the object's own fate is decided by now
                self._disk.unlink(path)

    def _make_folder(self, folder: Path) -> None:
        """Make a folder, and its name durable, once in this store's life.

        Also when it exists: whoever made it may not have synced its name yet.
        """
        if folder in self._durable:
            return
        if folder != self.path:
            self._make_folder(folder.parent)
        folder.mkdir(parents=True, exist_ok=True)
        self._disk.sync_directory(folder.parent)
        self._durable.add(folder)

    def _sweep(self) -> None:
        oldest = time.time() - _STALE
        for path in self._scratch.iterdir():
            with contextlib.suppress(FileNotFoundError):  # its writer has just finished
                if path.stat().st_mtime < oldest:
                    self._disk.unlink(path)

    # -- errors -------------------------------------------------------------------------

    @contextlib.contextmanager
    def _failing(self, key: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise self._failed(key, error) from error

    def _failed(self, key: str, error: OSError) -> ObjectStoreFailed:
        said = f"{self.url} failed at {key or 'its folder'}: {error}"
        return ObjectStoreFailed(said, url=self.url, key=key, cause=str(error))


def _walk(folder: Path, key: str) -> Iterator[str]:
    """Keys of all files below a folder whose own key is `key`, "" or ending in `/`."""
    try:
        with os.scandir(folder) as found:
            entries = list(found)
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in entries:
        if entry.name == "~":
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(Path(entry.path), f"{key}{entry.name}/")
        else:
            yield key + entry.name
