"""A model of what a store promises across power losses, and a random life to hold against it.

The model keeps the global history: every change, in order, with the digest of each database it
touched. After a power loss what `Store.open` finds must be the state after some prefix of that
history, the same prefix for all databases, which holds at least every change that the store
had called durable.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from hashlib import md5
from pathlib import Path
from typing import Any

from storage import Database, Store
from storage.journal import Batch
from storage.limits import JournalLimits
from storage.testing import Fault, FaultyDisk, Killed, Outcome, PowerLossDisk

Key = tuple[str, ...]
State = dict[Key, str]
KEYS: list[Key] = [
    ("a",), ("b",), ("c",), ("a", "x"), ("a", "y"), ("a", "x", "deep"), ("b", "x"), ("d", "x"),
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

    def __init__(self, root: Path, rng: random.Random) -> None:
        self.rng = rng
        self.root = root
        self.power = PowerLossDisk(root)
        self.disk = FaultyDisk(below=self.power, seed=rng.randrange(1 << 30))
        self.base: State = {}
        self.changes: list[Change] = []
        self.durable = 0
        """What the store called durable when the power went, or what a later process found."""
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
            raise Killed("the power goes here")

    # -- the end --------------------------------------------------------------------------

    def lose_power(self, image: Path) -> None:
        """The machine stops; the next process finds `image`."""
        if self._opened is not None:
            self.durable = self._opened.durable
        self.power.crash(self.rng, image)
        self.disk.add(Fault("any", times=None, outcome=Outcome.KILL))
        if self._opened is not None:
            if self._batch is not None:
                with suppress(Killed):
                    self._opened.write(self._batch)  # the store waits for it, dead or not
            with suppress(Killed):
                self._opened.close()
        self.disk.close_all()


Act = tuple[Callable[[Life], None], int]
ACTS: list[Act] = [
    (Life.step, 50),
    (Life.unit, 8),
    (Life.undone, 3),
    (Life.delete, 5),
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
    for key in KEYS:
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


def live(base: Path, seed: int, lives: int = 3) -> None:
    """Some processes on one directory, each of which ends by a power loss.

    `Violation` says which promise was broken; any other error is one as well.
    """
    rng = random.Random(seed)
    before = Life(_new(base / "0"), rng)
    for number in range(1, lives + 1):
        root = _recoveries(before, rng)
        life = Life(root, rng)
        life.open()
        life.base = check(life, before)
        if rng.random() < 0.4:
            life.disk.add(Fault.death(rng, 400))
        with suppress(Killed):
            life.work(rng.randint(3, 40))
        root = _next(life, base / str(number))
        before = life
        before.root = root


def _recoveries(before: Life, rng: random.Random) -> Path:
    """Processes that die while they recover what `before` left, or soon after; what they leave."""
    root = before.root
    while rng.random() < 0.4:
        life = Life(root, rng)
        life.disk.add(Fault.death(rng, 60))
        with suppress(Killed):
            life.open()
            before.durable = life.store.durable
        root = _next(life, root.with_name(root.name + "r"))
    return root


def _next(life: Life, image: Path) -> Path:
    life.lose_power(image)
    shutil.rmtree(life.root)
    return image


def _new(root: Path) -> Path:
    root.mkdir(parents=True)
    return root
