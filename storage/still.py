"""Stills: one database at one moment, read while its actor goes on.

SQLite cannot do this here. A second connection needs shared memory beside the -wal, and the one
there is has the file for itself; a copy of the file takes as long as the file is large. So a
still is a connection of its own over pages that are picked by hand: of each page the newest image
that the -wal had at that moment, else the one in the file. Both stay as they are while the
database is held: only a checkpoint would change them, and new commits go behind.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import apsw

from storage.connection import SETUP, Connection
from storage.database import Database
from storage.frames import FRAME, WAL_HEADER, FrameReader, numbers
from storage.limits import PAGE_SIZE
from storage.snapshot import Cut, cut

_VFS = "facets-still"
_stamps = count(1)
KEPT = 64
"""Databases of which the newest still is kept: a connection and two descriptors each."""


class Still(Database):
    """What a database holds now. It is read like any other; writing raises `ReadOnly`.

    Make one with `still`, and `close` it: until then the database is not checkpointed, and the
    journal keeps what is newer. For the thread of the store.
    """

    __slots__ = ("_of", "glass", "moment", "users")

    def __init__(self, of: Database, glass: Glass, moment: Moment) -> None:
        super().__init__(of._store, of.parent, of.kind, of.name)
        self.uid, self.generation, self.limits = of.uid, of.generation, of.limits
        self.row = self.born = self.has_file = self._known = True
        self._of = of
        self.glass = glass
        self.moment = moment
        self.users = 0

    def begin(self) -> None:
        """There is nothing to begin: every statement sees the same."""
        self._connection = self.glass.connection
        self.in_step = True

    def _lost(self, error: Exception) -> None:
        """Nothing is lost: there is no step."""

    def close(self) -> None:
        """One user less. The last one lets the database go."""
        self.users -= 1
        if not self.users:
            self._of.held -= 1
            _pools[self._of].give_back(self)


def still(database: Database) -> Still:
    """This moment of a database that is not in a step and has a file."""
    pool = _pools.get(database)
    if pool is None:
        pool = _pools[database] = _Pool()
    _idle.pop(pool, None)
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


def let_go(database: Database) -> None:
    """Close what is kept for the next still; those that are open stay."""
    pool = _pools.pop(database, None)
    if pool is not None:
        _idle.pop(pool, None)
        pool.end()
        if pool.users:
            _pools[database] = pool


class Moment(NamedTuple):
    """What a database held: it does again if all of this is the same."""

    uid: int
    generation: int
    sequence: int
    """Of its newest record."""
    since: int
    """Of the oldest record that its file lacks; 0 if it has all. It tells one -wal from the next,
    which begins at the same place."""

    @property
    def wal(self) -> tuple[int, int, int]:
        """The same for moments whose frames stand in one -wal, one behind the other."""
        return self.uid, self.generation, self.since


class _Pool:
    """The stills of one database. The newest is kept for those that come in the same moment, and
    its connection for those that come in the next."""

    __slots__ = ("_ended", "_newest", "_spare", "users")

    def __init__(self) -> None:
        self._newest: Still | None = None
        self._spare: Glass | None = None
        self._ended = False
        self.users = 0
        """Stills that are open."""

    def take(self, database: Database) -> Still:
        self._ended = False
        one = cut(database)
        since = database.marks[0].sequence if database.marks else 0
        moment = Moment(database.uid or 0, database.generation, database.sequence, since)
        newest = self._newest
        if newest is None or newest.moment != moment:
            pages = Pages(one, moment, None if newest is None else newest.glass.pages)
            self._newest = newest = Still(database, self._glass(pages, database), moment)
        if not newest.users:
            self.users += 1
        return newest

    def _glass(self, pages: Pages, database: Database) -> Glass:
        old = self._newest
        if old is not None and not old.users:
            glass: Glass | None = old.glass
        else:
            glass, self._spare = self._spare, None
        if glass is not None and glass.limits == database.limits:
            glass.show(pages)
            return glass
        if glass is not None:
            glass.close()
        return Glass(pages, database)

    def give_back(self, one: Still) -> None:
        """Its last user closed it."""
        self.users -= 1
        if one is not self._newest:
            if self._spare is None:
                self._spare = one.glass
                one.glass.pages.close()
            else:
                one.glass.close()
        if self._ended:
            self.end()
        elif not self.users:
            _idle[self] = None
            if len(_idle) > KEPT:
                _idle.popitem(last=False)[0].end()

    def end(self) -> None:
        """Close what nobody has open; the rest when it is given back."""
        self._ended = self.users > 0
        if self._spare is not None:
            self._spare.close()
            self._spare = None
        if self._newest is not None and not self._newest.users:
            self._newest.glass.close()
            self._newest = None


_pools: WeakKeyDictionary[Database, _Pool] = WeakKeyDictionary()
_idle: OrderedDict[_Pool, None] = OrderedDict()
"""Those that nobody uses; the one not used for longest first."""


class Pages:
    """The pages of one moment."""

    __slots__ = ("_file", "_frames", "_last", "_stamp", "_wal", "moment", "size")

    def __init__(self, one: Cut, moment: Moment, before: Pages | None = None) -> None:
        self.size = one.size * PAGE_SIZE
        self.moment = moment
        self._stamp = (next(_stamps) & 0xFFFFFFFF).to_bytes(4, "big")
        self._frames: dict[int, int] = {}
        """In which frame a page stands."""
        self._last = 0
        """The newest frame that was looked at."""
        self._wal = -1
        self._file = os.open(one.path, os.O_RDONLY | os.O_CLOEXEC)
        if one.frames is not None:
            try:
                wal = one.path.with_name(one.path.name + "-wal")
                self._wal = os.open(wal, os.O_RDONLY | os.O_CLOEXEC)
                self._find(wal, one.frames, before)
            except BaseException:
                self.close()
                raise

    def _find(self, wal: Path, frames: tuple[int, int], before: Pages | None) -> None:
        """Look where the pages are; what an earlier moment has found is not looked for again."""
        first, last = frames
        if before is not None and before.moment.wal == self.moment.wal:
            self._frames, first = before._frames.copy(), before._last + 1
        self._last = last
        if first <= last:
            self._frames |= numbers(self._wal, wal, first, last)

    def __del__(self) -> None:
        self.close()

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
        page[24:28] = page[92:96] = self._stamp
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
        self.pages.close()
        self.pages = self.file.pages = pages

    def close(self) -> None:
        """Not needed any more."""
        self.connection.close()
        self.pages.close()


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
