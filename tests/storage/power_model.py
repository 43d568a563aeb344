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

from storage import Database, Store
from storage.testing import Fault, FaultyDisk, Killed, Outcome, PowerLossDisk

Key = tuple[str, ...]
State = dict[Key, str]
KEYS: list[Key] = [
    ("a",), ("b",), ("c",), ("a", "x"), ("a", "y"), ("a", "x", "deep"), ("b", "x"), ("d", "x"),
]  # fmt: skip
TABLE = (
    "create table if not exists t(a integer primary key, b, c);create index if not exists i on t(b)"
)


class Violation(AssertionError):
    """A promise was broken."""


@dataclass
class Change:
    """One record of the history."""

    after: dict[Key, str | None]
    sequence: int | None = None
    """None while, and if, its commit did not return."""


class Life:
    """One process: a store on a disk, work on it, and what it was told was durable."""

    def __init__(self, root: Path, rng: random.Random, base: State) -> None:
        self.rng = rng
        self.power = PowerLossDisk(root)
        self.disk = FaultyDisk(below=self.power, seed=rng.randrange(1 << 30))
        self.base = base
        self.changes: list[Change] = []
        self.store: Store | None = None
        self.root = root

    def open(self) -> Store:
        """Recover."""
        self.store = Store.open(self.root, open_databases=4, disk=self.disk)
        return self.store

    def database(self, key: Key) -> Database:
        assert self.store is not None
        database = self.store.root("Kind", key[0])
        for name in key[1:]:
            database = database.child(name)
        return database

    @property
    def acknowledged(self) -> int:
        """How many changes were durable, as the store said."""
        durable = self.store.durable if self.store is not None else 0
        return sum(one.sequence is not None and one.sequence <= durable for one in self.changes)

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

    def work(self, steps: int) -> None:
        """Do this much; `Killed` if the process dies of it."""
        for _ in range(steps):
            act = self.rng.choices([act for act, _ in ACTS], [weight for _, weight in ACTS])[0]
            act(self)

    def step(self) -> None:
        """A commit."""
        key = self.rng.choice(KEYS)
        database = self.database(key)
        fill(database, self.rng)
        change = Change({key: digest(database)})
        self.changes.append(change)
        before = database.sequence
        change.sequence = database.commit()
        if change.sequence == before:
            self.changes.remove(change)

    def undone(self) -> None:
        """A step that is rolled back."""
        database = self.database(self.rng.choice(KEYS))
        fill(database, self.rng)
        database.rollback()

    def delete(self) -> None:
        """A tree goes, as one record."""
        key = self.rng.choice(KEYS)
        database = self.database(key)
        if not database.exists():
            return
        gone = [one for one in self.state(len(self.changes)) if one[: len(key)] == key]
        change = Change(dict.fromkeys(gone))
        self.changes.append(change)
        change.sequence = database.delete()

    def sleep(self) -> None:
        """A connection is closed."""
        self.database(self.rng.choice(KEYS)).sleep()

    def sync(self) -> None:
        """Everything so far is acknowledged."""
        assert self.store is not None
        self.store.sync()

    def write_back(self) -> None:
        """The kernel writes some of what is dirty."""
        self.power.write_back(self.rng)

    # -- the end --------------------------------------------------------------------------

    def lose_power(self, image: Path) -> None:
        """The machine stops; the next process finds `image`."""
        self.power.crash(self.rng, image)
        self.disk.add(Fault("any", times=None, outcome=Outcome.KILL))
        if self.store is not None:
            with suppress(Killed):
                self.store.close()
        self.disk.close_all()


ACTS: list[tuple[Callable[[Life], None], int]] = [
    (Life.step, 50),
    (Life.undone, 3),
    (Life.delete, 5),
    (Life.sleep, 6),
    (Life.sync, 14),
    (Life.write_back, 4),
]


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
    assert life.store is not None
    check_integrity(life.store.catalogue.database)
    life.store.catalogue.database.rollback()
    listed = {key[:1] for key in state}
    if (names := {(name,) for name in life.store.names("Kind")}) != listed:
        raise Violation(f"the catalogue lists {names} and there are {listed}")
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

    Raises `Violation` when a promise is broken; any other error is one as well.
    """
    rng = random.Random(seed)
    root = base / "0"
    root.mkdir(parents=True)
    life = Life(root, rng, {})
    life.open()
    for number in range(1, lives + 1):
        if rng.random() < 0.3:
            life.disk.add(Fault.death(rng, 600))
        with suppress(Killed):
            life.work(rng.randint(3, 40))
        root = _next(life, root, base / str(number))
        while rng.random() < 0.4:
            root = _next(_die_in_recovery(root, rng), root, root.with_name(root.name + "r"))
        life, before = Life(root, rng, {}), life
        life.open()
        life.base = check(life, before)
    _next(life, root, base / "end")


def _next(life: Life, root: Path, image: Path) -> Path:
    life.lose_power(image)
    shutil.rmtree(root)
    return image


def _die_in_recovery(root: Path, rng: random.Random) -> Life:
    """A process that dies while it recovers, or soon after."""
    life = Life(root, rng, {})
    life.disk.add(Fault.death(rng, 60))
    with suppress(Killed):
        life.open()
    return life
