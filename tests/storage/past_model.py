"""A store beside a dict of what it must hold, now and at every bookmark.

Slow work of the store is queued, as on its thread in the runtime, and runs when the model says
so: clones, restores and compactions are under way while the actors go on.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from storage import Store
from storage.clone import PastClone, clone
from storage.compact import Compaction
from storage.database import Database
from storage.errors import BookmarkGone, NoState, StorageError
from storage.history import Bookmark
from storage.limits import JournalLimits
from storage.move import move
from storage.restore import Restore
from tests.storage.kit import CutDisk, PowerCut, image, whole

SMALL = JournalLimits(segment=64 << 10, size=256 << 10, backlog=128 << 10)
FAR = 1 << 60

Place = tuple[str, ...]
"""The name of a root, and those of the facets below it."""


class Actor(NamedTuple):
    """What an actor must be: `life` is another one after each delete and clone, and stays over
    moves."""

    life: int
    rows: tuple[int, ...] | None
    """None without a database of its own."""


State = dict[Place, Actor]


class Job(Protocol):
    """A clone, restore or compaction."""

    def work(self) -> None: ...
    def cancel(self) -> None: ...
    def finish(self) -> Any: ...


class NoSyncs(CutDisk):
    """Syncs are counted, and take no time."""

    def sync(self, fd: int) -> None:
        self._count()

    def sync_directory(self, path: Path) -> None:
        self._count()


@dataclass
class Started:
    """A job under way."""

    job: Job
    place: Place
    after: Callable[[State], State | None]
    """What its end makes of the state of then; None: it must not end."""
    worked: bool = False
    refused: BaseException | None = None


@dataclass
class Past:
    """The store, what it must be, and what it must have been."""

    root: Path
    state: State = field(default_factory=dict)
    past: dict[int, State] = field(default_factory=lambda: {0: {}})
    """By sequence, of every record that is there."""
    marks: list[tuple[Bookmark, State]] = field(default_factory=list)
    jobs: list[Started] = field(default_factory=list)
    queue: list[Callable[[], None]] = field(default_factory=list)
    """What the store's thread would do, in order."""
    crashes: int = 0

    def __post_init__(self) -> None:
        self.numbers = count(1)
        self.lives = count(1)
        self.pending: State | None = None
        self.open(self.root)

    def open(self, root: Path) -> None:
        self.disk = NoSyncs(FAR)
        self.store = Store.open(root, journal=SMALL, disk=self.disk)
        self.store.run_in(self._aside)

    def _aside(
        self, work: Callable[[], Any], done: Callable[[Any, Exception | None], None]
    ) -> None:
        def run() -> None:
            try:
                result = work()
            except Exception as error:
                done(None, error)
            else:
                done(result, None)

        self.queue.append(run)

    def database(self, place: Place) -> Database:
        found = self.store.root("K", place[0])
        for name in place[1:]:
            found = found.child(name)
        return found

    # -- what happens ---------------------------------------------------------------------

    def _happens(self, after: State, act: Callable[[], object]) -> None:
        """One record that makes the state `after`."""
        before = self.store.committed
        self.pending = after
        act()
        self.pending = None
        assert self.store.committed == before + 1
        self.state = after
        self.past[before + 1] = after

    def put(self, place: Place, size: int) -> None:
        n = next(self.numbers)
        after = dict(self.state)
        for end in range(1, len(place)):
            after.setdefault(place[:end], Actor(next(self.lives), None))
        was = after.get(place) or Actor(next(self.lives), None)
        rows = was.rows or ()
        gone = rows[: max(0, len(rows) - 3)]
        after[place] = Actor(was.life, (*rows[len(gone) :], n))

        def act() -> None:
            one = self.database(place)
            one.sql("create table if not exists t(a, b)")
            for row in gone:
                one.sql("delete from t where a = ?", row)
            one.sql("insert into t values (?, zeroblob(?))", n, size)
            one.commit()

        self._happens(after, act)

    def delete(self, place: Place) -> None:
        after = without(self.state, place)
        self._happens(after, self.database(place).delete)

    def move(self, place: Place, to: Place) -> None:
        after = {one: actor for one, actor in self.state.items() if not below(one, place)}
        for end in range(1, len(to)):
            after.setdefault(to[:end], Actor(next(self.lives), None))
        after |= {to + one[len(place) :]: two for one, two in subtree(self.state, place).items()}
        above = self.database(to[:-1]) if len(to) > 1 else None
        kind = "" if above else "K"
        database = self.database(place)
        self._happens(after, lambda: move(self.store, database, above, kind, to[-1]))

    def mark(self) -> None:
        self.marks.append((self.store.bookmark(), self.state))

    def sync(self) -> None:
        self.store.sync()

    def tend(self) -> None:
        self.store.tend(everything=True)

    def run(self, steps: int) -> None:
        """The store's thread goes on."""
        for _ in range(steps):
            if self.queue:
                self.queue.pop(0)()

    def settle(self) -> None:
        """It has nothing left to do."""
        while self.queue:
            self.queue.pop(0)()

    # -- jobs -----------------------------------------------------------------------------

    def start_clone(self, source: Place, target: Place) -> None:
        copied, onto = subtree(self.state, source), self.database(target)

        def after(now: State) -> State | None:
            target = self.where(onto)
            if target is None:
                return None
            made = without(now, target)
            for end in range(1, len(target)):
                made.setdefault(target[:end], Actor(next(self.lives), None))
            for place, one in copied.items():
                made[target + place[len(source) :]] = Actor(next(self.lives), one.rows)
            return made

        self._start(Started(clone(self.store, self.database(source), onto), target, after))

    def start_past_clone(self, source: Place, target: Place, at: int) -> None:
        mark, then = self.marks[at]
        life, onto = self.state[source].life, self.database(target)
        stood = next((one for one, actor in then.items() if actor.life == life), None)
        if stood is None:
            return
        copied = subtree(then, stood)

        def after(now: State) -> State | None:
            target = self.where(onto)
            if target is None:
                return None
            made = without(now, target)
            for end in range(1, len(target)):
                made.setdefault(target[:end], Actor(next(self.lives), None))
            for place, one in copied.items():
                made[target + place[len(stood) :]] = Actor(next(self.lives), one.rows)
            return made

        job = PastClone(self.store, self.database(source), onto, mark)
        self._start(Started(job, target, after))

    def start_compact(self, place: Place) -> None:
        actor = self.state[place]

        def after(now: State) -> State | None:
            return dict(now) if actor in now.values() else None

        self._start(Started(Compaction(self.store, self.database(place)), place, after))

    def start_restore(self, place: Place, at: int) -> None:
        mark, then = self.marks[at]
        life, target = self.state[place].life, self.database(place)
        stood = next((one for one, actor in then.items() if actor.life == life), None)
        if stood is None:
            self._refuse_restore(place, mark)
            return
        elsewhere = lives(without(self.state, place))
        """Those that come back as copies."""

        def after(now: State) -> State | None:
            place = self.where(target)
            if place is None or now.get(place, Actor(0, None)).life != life:
                return None
            made = without(now, place)
            stays = lives(made)
            for one, actor in subtree(then, stood).items():
                there = place + one[len(stood) :]
                if actor.life in elsewhere:
                    made[there] = Actor(next(self.lives), actor.rows)
                elif actor.life in stays:
                    return None
                else:
                    made[there] = actor
            return made

        self._start(Started(Restore(self.store, target, mark), place, after))

    def _refuse_restore(self, place: Place, mark: Bookmark) -> None:
        job = Restore(self.store, self.database(place), mark)
        self.settle()
        try:
            job.work()
        except (NoState, BookmarkGone):
            job.cancel()
            return
        except BaseException:
            job.cancel()
            raise
        raise AssertionError(f"{place} was restored to {mark}, when it did not exist")

    def _start(self, started: Started) -> None:
        self.jobs.append(started)

        def work() -> None:
            try:
                started.job.work()
            except Exception as error:
                started.refused = error
            started.worked = True

        self.queue.append(work)

    def finish(self, at: int) -> None:
        """End a job, whose work is done before anything later is."""
        started = self.jobs.pop(at)
        while not started.worked:
            self.queue.pop(0)()
        if started.refused is not None:
            started.job.cancel()
            raise started.refused
        after = started.after(self.state)
        before = self.store.committed
        self.pending = after
        try:
            result = started.job.finish()
        except StorageError:
            self.pending = None
            assert self.store.committed == before
            return
        self.pending = None
        if self.store.committed == before:
            assert result is None
            return
        assert after is not None, f"{started} ended, and must not"
        assert self.store.committed == before + 1
        self.state = self.past[before + 1] = after

    def cancel(self, at: int) -> None:
        started = self.jobs.pop(at)
        while not started.worked:
            self.queue.pop(0)()
        started.job.cancel()

    # -- crashes --------------------------------------------------------------------------

    def crash(self, after: int, act: Callable[[], object], recovery: int = FAR) -> None:
        """The process ends at the n-th change of the disk from now, or behind `act`; the next one
        after so many changes of its recovery."""
        durable = self.store.durable
        self.disk.left = after
        try:
            act()
        except PowerCut:
            pass
        except StorageError:
            if self.disk.left >= 0:
                raise
        except BaseException:  # whoever draws the acts has had enough: nobody dies
            self.disk.left = FAR
            raise
        if self.disk.left >= 0:
            durable = self.store.durable
        self._reopen(durable, recovery)

    def _reopen(self, durable: int, recovery: int) -> None:
        dead = self.store
        self.crashes += 1
        root = image(dead.directory, f"state-{self.crashes}")
        self.abandon()
        if recovery < FAR:
            # The next process ends, too, while it recovers.
            with contextlib.suppress(PowerCut):
                Store.open(root, journal=SMALL, disk=NoSyncs(recovery)).close()
            self.crashes += 1
            root = image(root, f"state-{self.crashes}")
        newest = max(self.past)
        if self.pending is not None:
            self.past[newest + 1] = self.pending
        self.pending = None
        self.jobs, self.queue = [], []
        self.open(root)
        there = self.store.committed
        assert durable <= there <= newest + 1
        self.past = {at: state for at, state in self.past.items() if at <= there}
        self.state = self.past[max(self.past)]
        self.marks = [one for one in self.marks if one[0].sequence <= there]
        self.check()

    def abandon(self) -> None:
        """Close a dead store's descriptors, and nothing else."""
        self.disk.left = -1
        for one in list(self.store.connections._open.values()):
            if one._connection is not None:
                one._connection.close()
                one._connection = None
        self.store.connections._open.clear()
        self.store._journal.close()
        self.store._lock.release()

    # -- looking --------------------------------------------------------------------------

    def check(self) -> None:
        """The store holds what it must."""
        roots = sorted({place[0] for place in self.state})
        assert self.store.names("K") == roots
        for place, actor in self.state.items():
            one = self.database(place)
            below = {other[len(place)] for other in self.state if strictly_below(other, place)}
            assert one.children() == sorted(below), place
            assert one.has_file or actor.rows is None, place
            if one.has_file:
                assert rows(one) == (actor.rows or ()), place

    def check_past(self) -> None:
        """Every bookmark leads back, of every tree; and the databases are whole."""
        self.drop_jobs()
        for place in [one for one in self.state if len(one) == 1]:
            for at in range(len(self.marks)):
                self.start_restore(place, at)
                self.settle()
                if self.jobs:
                    self.finish(0)
                    self.check()
        for place, actor in self.state.items():
            assert actor.rows is None or whole(self.database(place))

    def where(self, database: Database) -> Place | None:
        """Where it stands; None if that is another one's place by now."""
        names, one = [database.name], database
        while one.parent is not None:
            one = one.parent
            names.append(one.name)
        place = tuple(reversed(names))
        return place if self.database(place) is database else None

    def drop_jobs(self) -> None:
        self.settle()
        while self.jobs:
            self.cancel(0)

    def close(self) -> None:
        self.drop_jobs()
        assert not any(one.held for one in self.store.databases.live.values()), "held for ever"
        self.store.close()


def rows(database: Database) -> tuple[int, ...]:
    table = database.sql("select 1 from sqlite_schema where name = 't'").first()
    found = database.sql("select a from t order by a") if table is not None else ()
    numbers = tuple(row.a for row in found)
    database.rollback()
    return numbers


def subtree(state: State, place: Place) -> State:
    return {at: one for at, one in state.items() if at[: len(place)] == place}


def without(state: State, place: Place) -> State:
    return {at: one for at, one in state.items() if at[: len(place)] != place}


def strictly_below(place: Place, above: Place) -> bool:
    return len(place) > len(above) and place[: len(above)] == above


def lives(state: State) -> set[int]:
    return {actor.life for actor in state.values()}


def below(one: Place, place: Place) -> bool:
    """Whether it is the same place, or one below it."""
    return one[: len(place)] == place
