"""SQLite's own file operations, made to fail by the script of a `FaultyDisk`."""

from __future__ import annotations

import errno
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import apsw

from storage.testing.fault import Effect, Operation, Script, torn

T = TypeVar("T")
_serial = itertools.count(1)
_CODES: dict[str, int] = {
    "open": apsw.SQLITE_CANTOPEN,
    "read": apsw.SQLITE_IOERR_READ,
    "write": apsw.SQLITE_IOERR_WRITE,
    "sync": apsw.SQLITE_IOERR_FSYNC,
    "truncate": apsw.SQLITE_IOERR_TRUNCATE,
    "unlink": apsw.SQLITE_IOERR_DELETE,
}


class FaultyVfs(apsw.VFS):
    """A VFS over `base` ("" is SQLite's default), registered while this object lives.

    It has no shared memory: a -wal needs exclusive locking, which storage always uses.
    """

    def __init__(self, script: Script, base: str) -> None:
        self.name = f"faulty-{next(_serial)}"
        self.base = base
        self._script = script
        super().__init__(self.name, base=base)

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802
        """Open a file, or fail."""
        path = _path(name)
        return meet(self._script, "open", path, lambda: _File(self, path, name, flags))

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802
        """Remove a file, or fail."""
        meet(
            self._script,
            "unlink",
            Path(filename),
            lambda: super(FaultyVfs, self).xDelete(filename, syncdir),
        )

    def excepthook(self, etype: object, evalue: object, etraceback: object) -> bool:
        """Where SQLite has nobody to tell, nobody is told: what went wrong here was asked for."""
        del etype, evalue, etraceback
        return True

    @property
    def script(self) -> Script:
        """What goes wrong."""
        return self._script


class _File(apsw.VFSFile):
    """One file that SQLite has open."""

    def __init__(
        self,
        vfs: FaultyVfs,
        path: Path,
        name: str | apsw.URIFilename | None,
        flags: list[int],
    ) -> None:
        self._path = path
        self._script = vfs.script
        super().__init__(vfs.base, name, flags)

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802
        """Read, or fail."""
        return self._meet("read", lambda: super(_File, self).xRead(amount, offset))

    def xWrite(self, data: Any, offset: int) -> None:  # noqa: N802
        """Write all, or fail, or leave a part."""

        def part(effect: Effect) -> None:
            for at, piece in torn(data, effect, self._script.rng):
                super(_File, self).xWrite(piece, offset + at)

        self._meet("write", lambda: super(_File, self).xWrite(data, offset), part)

    def xTruncate(self, newsize: int) -> None:  # noqa: N802
        """Cut, or fail."""
        self._meet("truncate", lambda: super(_File, self).xTruncate(newsize))

    def xSync(self, flags: int) -> None:  # noqa: N802
        """Sync, or fail, or pretend."""
        self._meet("sync", lambda: super(_File, self).xSync(flags))

    def excepthook(self, etype: object, evalue: object, etraceback: object) -> bool:
        """As that of the VFS."""
        del etype, evalue, etraceback
        return True

    def _meet(
        self,
        operation: Operation,
        whole: Callable[[], T],
        part: Callable[[Effect], None] | None = None,
    ) -> T:
        return meet(self._script, operation, self._path, whole, part)


def meet(
    script: Script,
    operation: Operation,
    path: Path,
    whole: Callable[[], T],
    part: Callable[[Effect], None] | None = None,
) -> T:
    """`Script.meet`, with errors that SQLite understands.

    A connection of a dead process changes nothing, and is not told: it is closed some time, by
    the garbage collector perhaps, and then there is nobody who could be.
    """
    if script.dead and operation == "read":
        return whole()
    if script.dead and operation != "open":
        return None  # type: ignore[return-value]  # those have no result
    try:
        return script.meet(operation, path, whole, part)
    except OSError as error:
        code = apsw.SQLITE_FULL if error.errno == errno.ENOSPC else _CODES[operation]
        raise apsw.exception_for(code) from error


def _path(name: str | apsw.URIFilename | None) -> Path:
    """Temporary files have no name."""
    if name is None:
        return Path("temporary")
    return Path(name if isinstance(name, str) else name.filename())
