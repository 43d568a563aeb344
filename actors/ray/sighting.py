"""What a host has seen of the directory, kept beside its state.

    directory.json   {"id": of the directory, "version": the newest that changed what it owns}

A host removes what it does not own. So it must not follow a directory that is not the one it knows,
or one that was lost and brought back as it was before: what it has, or gave away, may be in no
other place. The file is written before a host serves, or removes, anything because of a version.
"""

from __future__ import annotations

import threading
from pathlib import Path

import msgspec

from actors.ray.directory import Directory
from actors.ray.errors import DirectoryStale
from storage.disk import Disk

_FILE = "directory.json"


class _Seen(msgspec.Struct):
    id: str
    version: int


class Sighting:
    """Of one state directory. Methods block, on any thread."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / _FILE
        self._kept = 0
        self._lock = threading.Lock()

    def check(self, directory: Directory) -> None:
        """`DirectoryStale` if this is not what this state knows, or newer."""
        try:
            seen = msgspec.json.decode(self._path.read_bytes(), type=_Seen)
        except FileNotFoundError:
            return
        if seen.id != directory.id or seen.version > directory.version:
            raise DirectoryStale(
                f"the state in {self._path.parent} belongs to version {seen.version} of directory "
                f"{seen.id}, and there is {directory.version} of {directory.id}",
                path=str(self._path),
                seen=seen.version,
                found=directory.version,
            )

    def keep(self, directory: Directory) -> None:
        """This counts here from now on; durable on return."""
        with self._lock:
            if directory.version > self._kept:
                self._write(_Seen(directory.id, directory.version))
                self._kept = directory.version

    def _write(self, seen: _Seen) -> None:
        disk, new = Disk(), self._path.with_suffix(".new")
        disk.write_file(new, msgspec.json.encode(seen), sync=True)
        disk.rename(new, self._path)
        disk.sync_directory(self._path.parent)
