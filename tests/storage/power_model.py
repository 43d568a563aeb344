"""A model of what a store promises across power losses, and a random life to hold against it.

The model keeps the global history: every change, in order, with the digest of each database it
touched. After a power loss what `Store.open` finds must be the state after some prefix of that
history, the same prefix for all databases, which holds at least every change that the store
had called durable.
"""

from __future__ import annotations

import gc
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import md5
from itertools import count
from pathlib import Path
from typing import Any

from storage import Database, Store
from storage.clone import clone
from storage.journal import Batch
from storage.limits import JournalLimits
from storage.move import move
from storage.testing import Effect, Fault, FaultyDisk, Outcome, PowerLossDisk

Key = tuple[str, ...]
State = dict[Key, str]
KEYS: list[Key] = [
    ("a",), ("b",), ("c",), ("a", "x"), ("a", "y"), ("a", "x", "deep"), ("b", "x"), ("d", "x"),
    ("e",), ("e", "x"), ("e", "y"), ("e", "x", "deep"),
]  # fmt: skip
LIMITS = JournalLimits(segment=24 << 10, size=96 << 10)
TABLE = (
    "create table if not exists t(a integer primary key, b, c);create index if not exists i on t(b)"
)


class Violation(AssertionError):
    """A promise was broken."""


@dataclass(eq=False)
class Change:
    """One record of the history."""

    after: dict[Key, str | None]
    sequence: int | None = None
    """None while, and if, its commit did not return."""


class Life:
    """One process: a store on a disk, work on it, and what it was told was durable.

    In some lives rounds of checkpoints and batches of the journal run in the background: here
    their parts are done one by one, with other work in between, as a thread would.
    """

    def __init__(self, root: Path, rng: random.Random, power: PowerLossDisk | None = None) -> None:
        self.rng = rng
        self.root = root
        root.mkdir(parents=True, exist_ok=True)
        self.power = power or PowerLossDisk(root)
        self.disk = FaultyDisk(below=self.power, seed=rng.randrange(1 << 30))
        self.base: State = {}
        self.changes: list[Change] = []
        self.durable = 0
        """What the store called durable when the process died, or what a later process found."""
        self.threaded = rng.random() < 0.6
        self._opened: Store | None = None
        self._batch: Batch | None = None
        self._later: list[Callable[[], None]] = []
        self._acts = ACTS + (THREADED_ACTS if self.threaded else [])

    def open(self) -> None:
        """Recover."""
        self._opened = Store.open(self.root, open_databases=4, journal=LIMITS, disk=self.disk)
        if self.threaded:
            self._opened.run_in(self._in_background)

    @property
    def store(self) -> Store:
        """The open store."""
        assert self._opened is not None
        return self._opened

    def database(self, key: Key) -> Database:
        database = self.store.root("Kind", key[0])
        for name in key[1:]:
            database = database.child(name)
        return database

    @property
    def acknowledged(self) -> int:
        """How many changes are durable, as the store said."""
        return sum(
            one.sequence is not None and one.sequence <= self.durable for one in self.changes
        )

    def state(self, cut: int) -> State:
        """What all databases hold after this many changes."""
        state = dict(self.base)
        for change in self.changes[:cut]:
            for key, digest in change.after.items():
                if digest is None:
                    state.pop(key, None)
                else:
                    state[key] = digest
        return state

    # -- work -----------------------------------------------------------------------------

    def work(self, acts: int) -> None:
        """Do this much; `Killed` if the process dies of it."""
        weights = [weight for _, weight in self._acts]
        for _ in range(acts):
            self.rng.choices(self._acts, weights)[0][0](self)

    def step(self) -> None:
        """A commit."""
        key = self.rng.choice(KEYS)
        database = self.database(key)
        fill(database, self.rng)
        self._change({key: digest(database)}, database.commit)

    def unit(self) -> None:
        """A commit of several databases."""
        after: dict[Key, str | None] = {}
        databases: list[Database] = []
        for key in self.rng.sample(KEYS, 3):
            databases.append(database := self.database(key))
            fill(database, self.rng)
            after[key] = digest(database)
        self._change(after, lambda: self.store.commit_all(databases))

    def undone(self) -> None:
        """A step that is rolled back."""
        database = self.database(self.rng.choice(KEYS))
        fill(database, self.rng)
        database.rollback()

    def delete(self) -> None:
        """A tree goes, as one record."""
        key = self.rng.choice(KEYS)
        database = self.database(key)
        if database.exists():
            gone = [one for one in self.state(len(self.changes)) if one[: len(key)] == key]
            self._change(dict.fromkeys(gone), database.delete)

    def clone(self) -> None:
        """The tree of "a" takes the place of "e", with other work while it is copied."""
        source, target = self.database(("a",)), self.database(("e",))
        if not source.exists():
            return
        copied = self.state(len(self.changes))
        graft = clone(self.store, source, target)
        self._go_on()
        graft.work()
        self._go_on()
        after: dict[Key, str | None] = {
            key: None for key in self.state(len(self.changes)) if key[0] == "e"
        }
        after |= {("e", *key[1:]): was for key, was in copied.items() if key[0] == "a"}
        self._change(after, graft.finish)

    def move(self) -> None:
        """A tree, or a part of one, gets another place."""
        key, to = self.rng.choice(KEYS), self.rng.choice(KEYS)
        database, there = self.database(key), self.database(to)
        if to[: len(key)] == key or there.exists() or not database.exists():
            return
        state = self.state(len(self.changes))
        moving = {one: was for one, was in state.items() if one[: len(key)] == key}
        after: dict[Key, str | None] = dict.fromkeys(moving)
        after |= {to + one[len(key) :]: was for one, was in moving.items()}
        above = there.parent
        self._change(after, lambda: move(self.store, database, above, there.kind, to[-1]))

    def _change(self, after: dict[Key, str | None], commit: Callable[[], int]) -> None:
        change = Change(after)
        self.changes.append(change)
        before = self.store.committed
        change.sequence = commit()
        if self.store.committed == before:
            self.changes.pop()

    def sleep(self) -> None:
        """A connection is closed."""
        self.database(self.rng.choice(KEYS)).sleep()

    def sync(self) -> None:
        """Everything so far is acknowledged."""
        self.store.sync()

    def checkpoint(self) -> None:
        """A round, if one is due; or of everything."""
        self.store.tend(everything=self.rng.random() < 0.3)

    def clean(self) -> None:
        """Every database is checkpointed."""
        self.store.tend(everything=True)
        while self._later:
            self.advance()

    def write_back(self) -> None:
        """The kernel writes some of what is dirty."""
        self.power.write_back(self.rng)

    # -- what runs on other threads ---------------------------------------------------------

    def _in_background(
        self, work: Callable[[], Any], done: Callable[[Any, Exception | None], None]
    ) -> None:
        self._later.append(lambda: self._later.insert(0, lambda: done(work(), None)))

    def advance(self) -> None:
        """The next part of a round."""
        if self._later:
            self._later.pop(0)()

    def batch(self) -> None:
        """The journal's writer takes what is queued; steps go on before it is written, and
        before the store hears of it."""
        self._batch = self.store.take()
        if self._batch is not None:
            self._go_on()
            self.store.write(self._batch)
            self._batch = None
            self._go_on()
            self.store.settle()

    def _go_on(self) -> None:
        for _ in range(self.rng.randrange(3)):
            self.rng.choice((self.step, self.unit, self.undone, self.sleep))()
        if self.rng.random() < 0.05:
            self.disk.die()

    # -- the end --------------------------------------------------------------------------

    def end(self, image: Path, only_the_process: float) -> Life:
        """The process dies, and the machine with it unless the draw says only the process;
        the next process."""
        spared = self.rng.random() < only_the_process
        if not spared:
            self.power.crash(self.rng, image)
        self._die()
        if spared:
            gc.collect()  # or what a dead process left open would keep its locks
            return Life(self.root, self.rng, self.power)
        shutil.rmtree(self.root)
        return Life(image, self.rng)

    def _die(self) -> None:
        if self._opened is not None:
            self.durable = self._opened.durable
        self.disk.add(Fault("any", times=None, outcome=Outcome.KILL))
        if self._opened is not None:
            with self.disk.until_death():
                if self._batch is not None:
                    self._opened.write(self._batch)  # the store waits for it, dead or not
            with self.disk.until_death():
                self._opened.close()
        self.disk.close_all()


Act = tuple[Callable[[Life], None], int]
ACTS: list[Act] = [
    (Life.step, 50),
    (Life.unit, 8),
    (Life.undone, 3),
    (Life.delete, 5),
    (Life.clone, 3),
    (Life.move, 6),
    (Life.sleep, 6),
    (Life.sync, 10),
    (Life.checkpoint, 6),
    (Life.write_back, 4),
]
THREADED_ACTS: list[Act] = [(Life.advance, 12), (Life.batch, 8)]


def fill(database: Database, rng: random.Random) -> None:
    """Some statements of one step."""
    for statement in TABLE.split(";"):
        database.run_own(statement)
    kind = rng.random()
    if kind < 0.5:
        size = rng.choice((20, 900, 6000))
        database.run_own("insert into t(b, c) values (?, ?)", (rng.random(), rng.randbytes(size)))
    elif kind < 0.65:
        database.run_own("update t set b = b + 1 where a % 3 = 0")
    elif kind < 0.8:
        database.run_own("delete from t where a in (select a from t order by b limit 5)")
    elif kind < 0.9:
        for _ in range(12):
            database.run_own(
                "insert into t(b, c) values (?, ?)", (rng.random(), rng.randbytes(1500))
            )
    else:
        database.run_own("delete from t where a % 2")


def digest(database: Database) -> str:
    """Content, in few characters; within a step."""
    rows = database.run_own("select a, b, c from t order by a")
    return md5(repr(rows).encode(), usedforsecurity=False).hexdigest()


def found(life: Life) -> State:
    """What a recovered store holds; `Violation` if any of it is damaged."""
    state: State = {}
    for key in sorted(everybody(life.store)):
        database = life.database(key)
        if database.size():
            check_integrity(database)
            state[key] = digest(database)
            database.rollback()
    check_integrity(life.store.catalogue.database)
    life.store.catalogue.database.rollback()
    listed = {key[0] for key in state}
    if missing := listed - set(life.store.names("Kind")):
        raise Violation(f"the catalogue does not list {missing}")
    return state


def everybody(store: Store) -> set[Key]:
    """Whoever has state, or might have."""
    waiting: list[Key] = [(name,) for name in store.names("Kind")]
    keys = set(KEYS)
    while waiting:
        key = waiting.pop()
        keys.add(key)
        database = store.root("Kind", key[0])
        for name in key[1:]:
            database = database.child(name)
        waiting += [(*key, name) for name in database.children()]
    return keys


def check_integrity(database: Database) -> None:
    said = database.run_own("pragma integrity_check")
    if said != [("ok",)]:
        raise Violation(f"{database.path}: {said}")


def check(life: Life, before: Life) -> State:
    """Hold what a new process finds against the history of the one before."""
    state = found(life)
    floor = before.acknowledged
    for cut in range(floor, len(before.changes) + 1):
        if before.state(cut) == state:
            return state
    for cut in range(floor):
        if before.state(cut) == state:
            raise Violation(f"{floor} changes were acknowledged and only {cut} are there")
    raise Violation("what is there is no prefix of the history")


def anywhere(rng: random.Random) -> Fault:
    return Fault.death(rng, 400)


def in_the_journal(rng: random.Random) -> Fault:
    return Fault.death(rng, 20, "*.seg")


def amid_a_write(rng: random.Random) -> Fault:
    """Of the journal: the next process reads records that are durable nowhere."""
    nth = rng.randint(1, 12)
    return Fault("write", nth, "*.seg", effect=Effect.CACHED, outcome=Outcome.KILL)


def while_reading(rng: random.Random) -> Fault:
    return Fault.death(rng, 60)


def in_the_databases(rng: random.Random) -> Fault:
    return Fault.death(rng, 30, "*.db")


@dataclass(frozen=True)
class Pace:
    """How likely is what. The default meets a bit of everything."""

    death: float = 0.6
    """That a process dies by itself before its work is done."""
    deaths: tuple[Callable[[random.Random], Fault], ...] = (anywhere, in_the_journal, amid_a_write)
    spared: float = 0.6
    """That only the process dies then, and the page cache stays."""
    recovery: float = 0.4
    """That the next process dies while it recovers."""
    recoveries: tuple[Callable[[random.Random], Fault], ...] = (while_reading, in_the_databases)
    acts: int = 40
    """Of one process, at most."""
    clean: float = 0.2
    """That a process begins with a round of everything."""


def live(base: Path, seed: int, pace: Pace = Pace(), lives: int = 3) -> None:
    """Some processes on one directory, each of which dies, mostly by a power loss.

    `Violation` says which promise was broken; any other error is one as well.
    """
    rng = random.Random(seed)
    images = (base / str(number) for number in count())
    before = Life(next(images), rng)
    life = before
    for _ in range(lives):
        life = _recovered(life, before, images, pace)
        life.base = check(life, before)
        if rng.random() < pace.clean:
            life.clean()
        if rng.random() < pace.death:
            life.disk.add(rng.choice(pace.deaths)(rng))
        with life.disk.until_death():
            life.work(rng.randint(3, pace.acts))
        before, life = life, life.end(next(images), pace.spared if life.disk.dead else 0.1)


def _recovered(life: Life, before: Life, images: Iterator[Path], pace: Pace) -> Life:
    """The first process that lives through its recovery of what `before` left."""
    while life.rng.random() < pace.recovery:
        life.disk.add(life.rng.choice(pace.recoveries)(life.rng))
        with life.disk.until_death():
            life.open()
            before.durable = life.store.durable
        life = life.end(next(images), 0.2)
    life.open()
    return life
