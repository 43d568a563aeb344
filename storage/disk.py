"""Every system call by which storage touches files of its own, in one place.

SQLite writes database files through a VFS of its own, named by `vfs`; it never syncs them. All
that makes data durable goes through here, so a disk that fails, tears or forgets is one
subclass (`storage.testing.FaultyDisk`).
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

Buffer = bytes | bytearray | memoryview


class Disk:
    """The machine's own disk. Errors are OSError, as the kernel says them. Thread-safe."""

    vfs: str = ""
    """The SQLite VFS for database files; "" is SQLite's default."""

    def open(self, path: Path, flags: int, mode: int = 0o600) -> int:
        """A descriptor that is not inherited."""
        return os.open(path, flags | os.O_CLOEXEC, mode)

    def close(self, fd: int) -> None:
        """Close a descriptor."""
        os.close(fd)

    def read(self, fd: int, size: int, at: int) -> bytes:
        """At most `size` bytes at `at`; fewer at the end of the file."""
        return os.pread(fd, size, at)

    def write(self, fd: int, data: Buffer, at: int) -> None:
        """Write all of `data` at `at`; durable only if the descriptor was opened for that."""
        view = memoryview(data)
        while view:
            written = os.pwrite(fd, view, at)
            view, at = view[written:], at + written

    def sync(self, fd: int) -> None:
        """Make a file's content durable. After an error the descriptor must not be used again:
        the kernel may have dropped what it could not write, and the next sync would lie."""
        os.fdatasync(fd)

    def truncate(self, fd: int, size: int) -> None:
        """Cut a file, or extend it by a hole."""
        os.ftruncate(fd, size)

    def sync_directory(self, path: Path) -> None:
        """Make the names in a directory durable."""
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def rename(self, source: Path, target: Path) -> None:
        """Replace `target` by `source` in one step; the directories are not synced."""
        source.replace(target)

    def link(self, source: Path, target: Path) -> None:
        """A second name; FileExistsError if `target` is taken."""
        os.link(source, target)

    def unlink(self, path: Path) -> None:
        """Remove a name if it is there."""
        path.unlink(missing_ok=True)

    def read_file(self, path: Path) -> bytes:
        """A whole file."""
        return path.read_bytes()

    def write_file(self, path: Path, data: Buffer, *, sync: bool) -> None:
        """Make a file with this content, or replace what it holds; not atomic. Half a file is
        removed again when it fails."""
        fd = self.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        try:
            self.write(fd, data, 0)
            if sync:
                self.sync(fd)
        except OSError:
            with contextlib.suppress(OSError):
                self.unlink(path)
            raise
        finally:
            self.close(fd)
