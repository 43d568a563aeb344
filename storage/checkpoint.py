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
the oldest. A round never waits for a database in a step, or one that is held: it comes later;
so does one whose pages cannot be moved (no room, a damaged file), and the journal keeps them.
"""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from storage.errors import StorageError
from storage.limits import MAX_FRAMES
from storage.syncing import sync_directories, sync_files

if TYPE_CHECKING:
    from storage.database import Database
    from storage.disk import Disk
    from storage.journal import Journal
    from storage.layout import Layout

BUSY = 2048
"""Frames in a round from which on history joins the commits of each database."""
ROUND = 64
"""Databases in one round: 64 that must be opened take about 20 ms of the thread."""
MANY = 4096
"""Databases that the journal should hold something of at most: an opening after a crash writes and
syncs the file of each, about 0.2 ms."""


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


Keeping = Callable[[], dict[int, Exception]]
"""Work for any thread. It returns what could not be kept, and why, by uid."""


class Keeper(Protocol):
    """Keeps older states of databases; see `storage.history`."""

    def keep(self, databases: Iterable[Database], *, joined: bool = False) -> Keeping | None:
        """Work that makes everything durable that the files are about to lose; None if nothing.

        `joined`: there is much to do, so all commits of each database count as one."""


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
        self.needed_besides: Callable[[], int | None] = lambda: None
        """The oldest record that something else needs; None if nothing does."""
        self.refused: dict[int, Exception] = {}
        """Databases whose pages could not be moved when they were last tried, and why."""
        self.running = False
        self.stuck = False
        """Whether the newest round that was to move something moved nothing."""

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

    def forget(self, uid: int) -> int | None:
        """The database was deleted, or its file replaced by one that is durable. The first record
        that its file may lack: until the history knows of the end, it is needed."""
        found = self._dirty.pop(uid, None)
        self._long.pop(uid, None)
        self.refused.pop(uid, None)
        return None if found is None else found.first

    def postpone(self, uid: int) -> None:
        """Something is to be told of the database first: the round that is running leaves it."""
        found = self._dirty.get(uid)
        if found is not None:
            self._dirty[uid] = replace(found)

    @property
    def due(self) -> bool:
        """Whether a round has something to do."""
        return not self.running and (bool(self._long) or self._is_full)

    @property
    def due_again(self) -> bool:
        """The same for who asks because a round is over: the next one is worth a try."""
        return self.due and not self.stuck

    @property
    def _is_full(self) -> bool:
        return self._journal.size > self.limit // 2 or len(self._dirty) > MANY

    # -- a round --------------------------------------------------------------------------

    def start(self, *, everything: bool = False) -> bool:
        """Begin a round if none is running; whether one began. What is committed is durable."""
        if self.running:
            return False
        # What the last round could not release: the segment behind it had not begun, or a
        # deletion was not durable.
        self._journal.release(self.needed)
        self._turn()
        chosen = [one for one in self._choose(everything) if one.database.idle]
        if not chosen:
            return False
        joined = sum(one.database.frames for one in chosen) > BUSY
        keeping = self._keep([one.database for one in chosen], joined=joined)
        self.running = True
        if keeping is None:
            self._move(chosen, {}, None)
        else:
            self.background(keeping, lambda refused, error: self._move(chosen, refused, error))
        return True

    def _keep(self, databases: Iterable[Database], *, joined: bool = False) -> Keeping | None:
        return None if self._keeper is None else self._keeper.keep(databases, joined=joined)

    def _turn(self) -> None:
        """A journal that is half full in one segment (a record may be larger than all of its
        limits) could never be released: the segment in use never is."""
        if self._journal.size > self.limit // 2 and not self._journal.oldest:
            with contextlib.suppress(OSError):  # no room now; whoever commits is told so
                self._journal.turn()

    def _choose(self, everything: bool) -> list[_Dirty]:
        if everything:
            return list(self._dirty.values())
        chosen = {uid: self._dirty[uid] for uid in list(self._long)[:ROUND] if uid in self._dirty}
        if self._is_full:
            crowded = len(self._dirty) > MANY
            for uid, one in self._dirty.items():
                if len(chosen) >= ROUND or (one.first > self._journal.oldest and not crowded):
                    break
                chosen[uid] = one
        return list(chosen.values())

    def _move(
        self, chosen: list[_Dirty], refused: dict[int, Exception], error: Exception | None
    ) -> None:
        moved: list[_Dirty] = []
        try:
            if error is not None:
                raise error
            self._journal.sync()
            self.refused |= refused
            for one in chosen:
                if one.database.uid not in refused and self._move_one(one):
                    moved.append(one)  # noqa: PERF401 - what was moved counts if one raises
        except BaseException:
            self._return(moved)
            self.running = False
            raise
        self._syncing, self.stuck = moved, not moved
        files = [one.database.path for one in moved if one.database.path is not None]
        folders = {path.parent for path, one in zip(files, moved, strict=True) if one.young}
        self.background(lambda: self._end(moved, files, folders), self._synced)

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
        if self._dirty.get(uid) is not one or not database.idle:
            return False
        try:
            if (rest := self._keep([database])) is not None:
                for refusal in rest().values():  # what was committed while the first stage ran
                    raise refusal
            database.backfill()
        except (StorageError, OSError) as error:
            self.refused[uid] = error  # the journal keeps it, and grows
            return False
        self.refused.pop(uid, None)
        self._long.pop(uid, None)
        del self._dirty[uid]
        return True

    def _end(self, moved: list[_Dirty], files: list[Path], folders: set[Path]) -> None:
        self._sync(files, folders)
        for one in moved:
            one.database.tidy()

    def _sync(self, files: list[Path], folders: set[Path]) -> None:
        sync_files(self._disk, files)
        if folders:
            sync_directories(self._disk, [*folders, self._layout.databases])

    def _synced(self, _: object, error: Exception | None) -> None:
        self.running = False
        moved, self._syncing = self._syncing, []
        if isinstance(error, OSError):
            # A sync that failed once may lie the next time: nothing may be released any more.
            self._journal.fail(error)
        if error is not None:
            self._return(moved)
            raise error
        self._journal.release(self.needed)

    @property
    def needed(self) -> int:
        """The oldest sequence that some file may lack."""
        firsts = [one.first for one in self._syncing]
        if self._dirty:
            firsts.append(next(iter(self._dirty.values())).first)
        besides = self.needed_besides()
        if besides is not None:
            firsts.append(besides)
        return min(firsts, default=self._journal.committed + 1)
