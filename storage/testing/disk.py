"""A disk that fails as it is told to, under storage's own files and under SQLite's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, NoReturn

from storage.disk import Buffer, Disk
from storage.testing.fault import Done, Effect, Fault, Killed, Operation, Script, torn
from storage.testing.power import PowerLossDisk
from storage.testing.vfs import FaultyVfs


class FaultyDisk(Disk):
    """Another disk, on which these faults happen. Thread-safe.

    Every operation is counted and logged, also those that SQLite makes on databases opened
    with `vfs`; both kinds share names and are told apart by their paths (`path="*-wal"`).
    Errors of SQLite's own operations reach it as SQLITE_FULL or SQLITE_IOERR.

    With `death="raise"` a death is `Killed`, and everything but `close` raises it from then on;
    what SQLite asks for after it has no effect.
    With `death="signal"` it is a SIGKILL of this very process, for tests with a subprocess.

    Closing is never counted and never fails: the kernel closes what the dead leave open.
    """

    def __init__(
        self,
        *faults: Fault,
        below: Disk | None = None,
        seed: int = 0,
        death: Literal["raise", "signal"] = "raise",
    ) -> None:
        self.below = below or Disk()
        self._script = Script(faults, seed, death)
        self._paths: dict[int, Path] = {}
        self._sqlite = FaultyVfs(self._script, self.below.vfs)
        self.vfs = self._sqlite.name

    @property
    def log(self) -> list[Done]:
        """Every operation so far, in order; `len(disk.log)` places to die at."""
        return list(self._script.log)

    @property
    def dead(self) -> bool:
        """Whether a `Killed` was raised."""
        return self._script.dead

    def count(self, operation: Operation, path: str = "*") -> int:
        """How often this was asked for, of files that match."""
        return sum(one.operation == operation and one.path.match(path) for one in self._script.log)

    def add(self, fault: Fault) -> None:
        """One more fault, which counts operations from now."""
        self._script.add(fault)

    def heal(self) -> None:
        """Nothing goes wrong from now on; a dead process stays dead."""
        self._script.heal()

    def die(self) -> NoReturn:
        """The process dies here and now."""
        self._script.die()

    @contextmanager
    def until_death(self) -> Iterator[None]:
        """A block that ends quietly when the process dies, whatever its remains raise then."""
        try:
            yield
        except Killed:
            pass
        except Exception:
            if not self.dead:
                raise

    def leaked(self) -> list[Path]:
        """Files that are open still."""
        return sorted(self._paths.values())

    def close_all(self) -> None:
        """Close what is open still, as the kernel does when a process dies."""
        for fd in list(self._paths):
            self.close(fd)

    # -- operations -----------------------------------------------------------------------

    def open(self, path: Path, flags: int, mode: int = 0o600) -> int:
        """A descriptor; one that may create the file is the moment when names run out."""
        fd = self._script.meet("open", path, lambda: self.below.open(path, flags, mode))
        self._paths[fd] = path
        return fd

    def close(self, fd: int) -> None:
        """Close a descriptor; the dead may, too, also what `close_all` closed for them."""
        if self.dead and fd not in self._paths:
            return
        del self._paths[fd]
        self.below.close(fd)

    def read(self, fd: int, size: int, at: int) -> bytes:
        """Read, or fail."""
        return self._script.meet("read", self._path(fd), lambda: self.below.read(fd, size, at))

    def write(self, fd: int, data: Buffer, at: int) -> None:
        """Write all, or fail, or leave a part."""

        def part(effect: Effect) -> None:
            for offset, piece in torn(data, effect, self._script.rng):
                self._cache(fd, piece, at + offset)

        self._script.meet("write", self._path(fd), lambda: self.below.write(fd, data, at), part)

    def _cache(self, fd: int, piece: Buffer, at: int) -> None:
        """A write that was cut is durable nowhere, not even with O_DSYNC."""
        if isinstance(self.below, PowerLossDisk):
            self.below.cache(fd, piece, at)
        else:
            self.below.write(fd, piece, at)

    def sync(self, fd: int) -> None:
        """Sync, or fail, or pretend."""
        self._script.meet("sync", self._path(fd), lambda: self.below.sync(fd))

    def truncate(self, fd: int, size: int) -> None:
        """Cut, or fail."""
        self._script.meet("truncate", self._path(fd), lambda: self.below.truncate(fd, size))

    def sync_directory(self, path: Path) -> None:
        """Sync the names, or fail, or pretend."""
        self._script.meet("sync_directory", path, lambda: self.below.sync_directory(path))

    def rename(self, source: Path, target: Path) -> None:
        """Rename, or fail; the fault's path is the target."""
        self._script.meet("rename", target, lambda: self.below.rename(source, target))

    def link(self, source: Path, target: Path) -> None:
        """Link, or fail; the fault's path is the target."""
        self._script.meet("link", target, lambda: self.below.link(source, target))

    def unlink(self, path: Path) -> None:
        """Remove, or fail."""
        self._script.meet("unlink", path, lambda: self.below.unlink(path))

    def read_file(self, path: Path) -> bytes:
        """Read a whole file, or fail; logged as one "read"."""
        return self._script.meet("read", path, lambda: self.below.read_file(path))

    def _path(self, fd: int) -> Path:
        return self._paths[fd]
