"""Stills: one database at one moment, read while its actor goes on.

SQLite cannot do this here. A second connection needs shared memory beside the -wal, and the one
there is has the file for itself; a copy of the file takes as long as the file is large. So a
still is a connection of its own over pages that are picked by hand: of each page the newest image
that the -wal had at that moment, else the one in the file. Both stay as they are while the
database is held: only a checkpoint would change them, and new commits go behind.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import apsw

from storage.connection import SETUP, Connection
from storage.database import Database
from storage.frames import FRAME, WAL_HEADER, FrameReader, numbers
from storage.limits import PAGE_SIZE
from storage.snapshot import cut

_VFS = "facets-still"
_moments = count(1)


class Still(Database):
    """What a database holds now. It is read like any other; writing raises `ReadOnly`.

    Make one with `still`, and `close` it: until then the database is not checkpointed, and the
    journal keeps what is newer. For the thread of the store.
    """

    __slots__ = ("_glass", "_of", "moment", "users")

    def __init__(self, of: Database, glass: Glass, moment: tuple[int, int, int]) -> None:
        super().__init__(of._store, of.parent, of.kind, of.name)
        self.uid, self.generation, self.limits = of.uid, of.generation, of.limits
        self.row = self.born = self.has_file = self._known = True
        self._of = of
        self._glass = glass
        self.moment = moment
        """Uid, generation and newest record of the database."""
        self.users = 0

    def begin(self) -> None:
        """There is nothing to begin: every statement sees the same."""
        self._connection = self._glass.connection
        self.in_step = True

    def _lost(self, error: Exception) -> None:
        """Nothing is lost: there is no step."""

    def close(self) -> None:
        """One user less. The last one lets the database go."""
        self.users -= 1
        if not self.users:
            self._of.held -= 1
            _pools[self._of].give_back(self, self._glass)


def still(database: Database) -> Still:
    """This moment of a database that is not in a step and has a file."""
    pool = _pools.get(database)
    if pool is None:
        pool = _pools[database] = _Pool()
    found = pool.take(database)
    if not found.users:
        database.held += 1
    found.users += 1
    return found


def is_ready(database: Database) -> bool:
    """Whether there is a file, and no migration is missing."""
    database.look()
    return database.has_file and (
        not database.migrations or database._migrated is database.migrations
    )


class _Pool:
    """The stills of one database, and a connection for the next one."""

    __slots__ = ("_idle", "_newest")

    def __init__(self) -> None:
        self._idle: Glass | None = None
        self._newest: Still | None = None

    def take(self, database: Database) -> Still:
        moment = database.uid or 0, database.generation, database.sequence
        if self._newest is not None and self._newest.moment == moment:
            return self._newest
        glass, self._idle = self._idle, None
        pages = Pages(database)
        if glass is None or glass.limits != database.limits:
            glass = Glass(pages, database)
        else:
            glass.show(pages)
        self._newest = Still(database, glass, moment)
        return self._newest

    def give_back(self, one: Still, glass: Glass) -> None:
        if self._newest is one:
            self._newest = None
        glass.pages.close()
        if self._idle is None:
            self._idle = glass
        else:
            glass.close()


_pools: WeakKeyDictionary[Database, _Pool] = WeakKeyDictionary()


class Pages:
    """The pages of one moment."""

    __slots__ = ("_file", "_frames", "_moment", "_wal", "size")

    def __init__(self, database: Database) -> None:
        one = cut(database)
        self.size = one.size * PAGE_SIZE
        self._moment = (next(_moments) & 0xFFFFFFFF).to_bytes(4, "big")
        self._frames: Mapping[int, int] = {}
        self._wal = -1
        self._file = os.open(one.path, os.O_RDONLY | os.O_CLOEXEC)
        if one.frames is not None:
            try:
                wal = one.path.with_name(one.path.name + "-wal")
                self._wal = os.open(wal, os.O_RDONLY | os.O_CLOEXEC)
                self._frames = numbers(self._wal, wal, *one.frames)
            except BaseException:
                self.close()
                raise

    def read(self, amount: int, offset: int) -> bytes:
        """So many bytes from there, which are within one page."""
        number, inside = divmod(offset, PAGE_SIZE)
        frame = self._frames.get(number + 1)
        if frame is None:
            data = os.pread(self._file, amount, offset)
        else:
            at = WAL_HEADER + (frame - 1) * FRAME + 24
            data = os.pread(self._wal, amount, at + inside)
        return data if number else self._first(data, inside)

    def _first(self, data: bytes, offset: int) -> bytes:
        """The header says that there is no -wal, how large the file is, and, by its change
        counter, that pages of another moment, which SQLite may remember, are not these."""
        page = bytearray(100)
        page[offset : offset + len(data)] = data[: 100 - offset]
        page[18:20] = b"\1\1"
        page[24:28] = page[92:96] = self._moment
        page[28:32] = (self.size // PAGE_SIZE).to_bytes(4, "big")
        return bytes(page[offset:100])[: len(data)] + data[max(0, 100 - offset) :]

    def close(self) -> None:
        """Let go of the files."""
        for fd in (self._file, self._wal):
            if fd >= 0:
                os.close(fd)
        self._file = self._wal = -1


class Glass:
    """A connection that shows one moment after the other."""

    __slots__ = ("connection", "file", "limits", "pages")

    def __init__(self, pages: Pages, database: Database) -> None:
        self.pages = pages
        self.limits = database.limits
        _vfs().opening = self.file = _File(pages)
        path = Path(f"/still-{database.uid}")
        self.connection = _ReadOnly(path, FrameReader(path), database.limits, _VFS)

    def show(self, pages: Pages) -> None:
        """From the next statement on, these."""
        self.pages = self.file.pages = pages

    def close(self) -> None:
        """Not needed any more."""
        self.connection.close()


class _ReadOnly(Connection):
    __slots__ = ()
    flags = apsw.SQLITE_OPEN_READONLY
    # Locking as usual: SQLite looks at the change counter only when it takes the lock anew.
    setup = SETUP.replace("locking_mode=exclusive", "locking_mode=normal")


class _Vfs(apsw.VFS):
    """Opens the pages that it was given last; it has no other files."""

    def __init__(self) -> None:
        self.opening: _File
        super().__init__(_VFS, base="")

    def xOpen(self, name: Any, flags: list[int]) -> Any:  # noqa: N802
        del name
        flags[1] = flags[0]
        return self.opening

    def xFullPathname(self, name: str) -> str:  # noqa: N802
        return name

    def xAccess(self, pathname: str, flags: int) -> bool:  # noqa: N802
        del pathname, flags
        return False


class _File:
    """A file whose content is a moment's pages."""

    def __init__(self, pages: Pages) -> None:
        self.pages = pages

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802
        return self.pages.read(amount, offset)

    def xFileSize(self) -> int:  # noqa: N802
        return self.pages.size

    def xLock(self, level: int) -> None:  # noqa: N802
        pass

    def xUnlock(self, level: int) -> None:  # noqa: N802
        pass

    def xCheckReservedLock(self) -> bool:  # noqa: N802
        return False

    def xFileControl(self, op: int, ptr: int) -> bool:  # noqa: N802
        del op, ptr
        return False

    def xSectorSize(self) -> int:  # noqa: N802
        return PAGE_SIZE

    def xDeviceCharacteristics(self) -> int:  # noqa: N802
        return 0

    def xSync(self, flags: int) -> None:  # noqa: N802
        pass

    def xClose(self) -> None:  # noqa: N802
        pass


_registered: list[_Vfs] = []


def _vfs() -> _Vfs:
    """Registered on first use, for as long as the process lives."""
    if not _registered:
        _registered.append(_Vfs())
    return _registered[0]
