"""Checkpoints: committed pages go into the database files, so that segments can be released.

A round takes the databases that are due through three stages; `Background` runs the middle
ones off the thread:

    1  older states are kept (history): read from -wal and file, appended, synced
    2  the pages are moved from the -wal into the file, on the store's thread: 4 us each. Only
       what is durable in the journal may be moved, or a crash would leave the pages of a
       commit that the journal does not have
    3  the files, and the folders of new ones, are synced; then what the journal holds of them
       is no longer needed

A database is due when its -wal is long, or when the journal is filling up and its records are
the oldest. A round never waits for a database in a step, or one that is held: it comes later.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from storage.errors import StorageFull
from storage.limits import MAX_FRAMES

if TYPE_CHECKING:
    from storage.database import Database
    from storage.disk import Disk
    from storage.journal import Journal
    from storage.layout import Layout

BUSY = 2048
"""Frames in a round from which on history joins the commits of each database."""
ROUND = 64
"""Databases in one round: 64 that must be opened take about 20 ms of the thread."""


class Background(Protocol):
    """Runs `work` somewhere else, then `done` with its result on the store's thread."""

    def __call__(
        self, work: Callable[[], Any], done: Callable[[Any, Exception | None], None]
    ) -> None:
        """Return at once."""


def inline(work: Callable[[], Any], done: Callable[[Any, Exception | None], None]) -> None:
    """A Background for who has no other thread: it does not return at once."""
    try:
        result = work()
    except Exception as error:  # handed to `done`, whose business it is
        done(None, error)
    else:
        done(result, None)


@dataclass(slots=True)
class _Dirty:
    """A database with records that its file does not hold for certain."""

    database: Database
    first: int
    last: int
    young: bool = False
    """Its file is new: the name is not durable either."""


class Keeper(Protocol):
    """Keeps older states of databases; see `storage.history`."""

    def keep(self, database: Database, *, joined: bool = False) -> Callable[[], None] | None:
        """Work that makes everything durable that the file is about to lose; None if nothing.

        `joined`: there is much to do, so all commits of this database count as one."""


class Checkpointer:
    """Knows which databases are dirty, and cleans them."""

    def __init__(
        self, disk: Disk, layout: Layout, journal: Journal, limit: int, keeper: Keeper | None
    ) -> None:
        self._disk = disk
        self._layout = layout
        self._journal = journal
        self._keeper = keeper
        self.limit = limit
        """Bytes that the journal should stay below."""
        self.background: Background = inline
        self._dirty: OrderedDict[int, _Dirty] = OrderedDict()
        """In the order of their first records."""
        self._long: dict[int, Database] = {}
        """Those whose -wal is long."""
        self._syncing: list[_Dirty] = []
        self.running = False

    # -- what happened --------------------------------------------------------------------

    def wrote(self, database: Database, sequence: int, young: bool) -> None:
        """A record of this database was queued."""
        uid = database.uid or 0
        found = self._dirty.get(uid)
        if found is None:
            self._dirty[uid] = _Dirty(database, sequence, sequence, young)
        else:
            found.last = sequence
        if database.frames >= MAX_FRAMES:
            self._long[uid] = database

    def forget(self, uid: int) -> None:
        """The database was deleted, or its file replaced by one that is durable."""
        self._dirty.pop(uid, None)
        self._long.pop(uid, None)

    @property
    def due(self) -> bool:
        """Whether a round has something to do."""
        return not self.running and (bool(self._long) or self._journal.size > self.limit // 2)

    # -- a round --------------------------------------------------------------------------

    def start(self, *, everything: bool = False) -> bool:
        """Begin a round if none is running; whether one began."""
        if self.running:
            return False
        chosen = [one for one in self._choose(everything) if _ready(one.database)]
        if not chosen:
            return False
        self.running = True
        keeper = self._keeper
        joined = sum(one.database.frames for one in chosen) > BUSY
        kept = (
            [] if keeper is None else [keeper.keep(one.database, joined=joined) for one in chosen]
        )
        work = [one for one in kept if one is not None]
        if not work:
            self._move(chosen, None)
        else:
            self.background(lambda: [one() for one in work], lambda _, e: self._move(chosen, e))
        return True

    def _choose(self, everything: bool) -> list[_Dirty]:
        if everything:
            return list(self._dirty.values())
        chosen = {uid: self._dirty[uid] for uid in list(self._long)[:ROUND] if uid in self._dirty}
        if self._journal.size > self.limit // 2:
            for uid, one in self._dirty.items():
                if len(chosen) >= ROUND or one.first > self._journal.oldest:
                    break
                chosen[uid] = one
        return list(chosen.values())

    def _move(self, chosen: list[_Dirty], error: Exception | None) -> None:
        moved: list[_Dirty] = []
        try:
            if error is not None:
                raise error
            self._journal.sync()
            moved.extend(one for one in chosen if self._move_one(one))
        except BaseException:
            self._return(moved)
            self.running = False
            raise
        self._syncing = moved
        files = [one.database.path for one in moved if one.database.path is not None]
        folders = {path.parent for path, one in zip(files, moved, strict=True) if one.young}
        self.background(lambda: self._sync(files, folders), self._synced)

    def _return(self, moved: list[_Dirty]) -> None:
        """These were not synced after all: they stay the oldest."""
        for one in reversed(moved):
            uid = one.database.uid or 0
            later = self._dirty.pop(uid, None)
            if later is not None:
                one.last, one.young = later.last, one.young or later.young
            self._dirty[uid] = one
            self._dirty.move_to_end(uid, last=False)

    def _move_one(self, one: _Dirty) -> bool:
        database = one.database
        uid = database.uid or 0
        if self._dirty.get(uid) is not one or not _ready(database):
            return False
        if self._keeper is not None and (rest := self._keeper.keep(database)) is not None:
            rest()  # what was committed while the first stage ran
        try:
            database.backfill()
        except StorageFull:
            return False  # the journal keeps it, and grows
        self._long.pop(uid, None)
        del self._dirty[uid]
        return True

    def _sync(self, files: list[Path], folders: set[Path]) -> None:
        for path in files:
            fd = self._disk.open(path, os.O_RDWR)
            try:
                self._disk.sync(fd)
            finally:
                self._disk.close(fd)
        for folder in folders:
            self._disk.sync_directory(folder)
        if folders:
            self._disk.sync_directory(self._layout.databases)

    def _synced(self, _: object, error: Exception | None) -> None:
        self.running = False
        self._syncing = []
        if isinstance(error, OSError):
            # A sync that failed once may lie the next time: nothing may be released any more.
            self._journal.fail(error)
        if error is not None:
            raise error
        self._journal.release(self.needed)

    @property
    def needed(self) -> int:
        """The oldest sequence that some file may lack."""
        firsts = [one.first for one in self._syncing]
        if self._dirty:
            firsts.append(next(iter(self._dirty.values())).first)
        return min(firsts, default=self._journal.committed + 1)


def _ready(database: Database) -> bool:
    return not database.in_step and not database.held
