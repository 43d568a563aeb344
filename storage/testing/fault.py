"""What goes wrong with a disk, when it does, and how it ends."""

from __future__ import annotations

import errno
import os
import random
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Literal, NamedTuple, NoReturn, TypeVar

from storage.disk import Buffer

T = TypeVar("T")
Operation = Literal[
    "open", "read", "write", "sync", "truncate", "sync_directory", "rename", "link", "unlink"
]
OPERATIONS: tuple[Operation, ...] = (
    "open", "read", "write", "sync", "truncate", "sync_directory", "rename", "link", "unlink",
)  # fmt: skip
SECTOR = 512


class Killed(BaseException):
    """The process "died" at this operation. Not an Exception: nothing may handle a death."""


class Effect(Enum):
    """How much of the operation reached the file."""

    NONE = "nothing"
    PREFIX = "the beginning of a write"
    SECTORS = "some 512-byte sectors of a write, in no order"
    CACHED = "all of a write, into the page cache and no further, whatever the descriptor says"
    ALL = "everything"


class Outcome(Enum):
    """What the caller sees of it."""

    FAIL = "an OSError"
    RETURN = "success, whatever the effect was"
    KILL = "nothing: the process dies here"


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong.

    `Fault("write", 3, error=ENOSPC)` fails the third write; `path="*-wal"` counts only writes
    of such files; `times=None` goes on for ever, as a full disk does.
    `Fault("sync", effect=Effect.NONE, outcome=Outcome.RETURN)` is a sync that lies.
    """

    operation: Operation | Literal["any"]
    nth: int = 1
    """Which matching operation, counted from 1 when the fault is given to the disk."""
    path: str = "*"
    """A glob, matched from the right as `Path.match` does."""
    times: int | None = 1
    """How many matching operations in a row; None for all that follow."""
    effect: Effect = Effect.NONE
    outcome: Outcome = Outcome.FAIL
    error: int = errno.EIO

    def __post_init__(self) -> None:
        if self.nth < 1 or (self.times is not None and self.times < 1):
            raise ValueError("operations are counted from 1")
        lies = self.outcome is Outcome.RETURN
        if lies and self.operation in {"any", "open", "read"}:
            raise ValueError(f"{self.operation!r} has a result and cannot pretend to succeed")
        torn = self.effect in {Effect.PREFIX, Effect.SECTORS, Effect.CACHED}
        if torn and self.operation not in {
            "any",
            "write",
        }:
            raise ValueError(f"{self.operation!r} happens as a whole; only a write is cut")

    @classmethod
    def death(cls, rng: random.Random, within: int, path: str = "*") -> Fault:
        """The process dies at one of the next `within` operations: before, after or amid it."""
        effect = rng.choice(list(Effect))
        return cls("any", rng.randint(1, within), path, effect=effect, outcome=Outcome.KILL)


class Done(NamedTuple):
    """One operation that was asked for, whatever became of it."""

    operation: Operation
    path: Path


class Script:
    """The faults of one disk, and the log of what it was asked to do. Thread-safe.

    A death is `Killed`, or with `signals` a real SIGKILL. After a `Killed` every operation
    raises it again: a dead process does nothing more.
    """

    def __init__(self, faults: tuple[Fault, ...], seed: int, death: Literal["raise", "signal"]):
        self.rng = random.Random(seed)
        self.log: list[Done] = []
        self.dead = False
        self._death = death
        self._seen: dict[Fault, int] = dict.fromkeys(faults, 0)
        self._lock = threading.Lock()

    def add(self, fault: Fault) -> None:
        """One more fault, which counts from now."""
        with self._lock:
            self._seen[fault] = 0

    def heal(self) -> None:
        """Nothing goes wrong from now on; the dead stay dead."""
        with self._lock:
            self._seen.clear()

    def meet(
        self,
        operation: Operation,
        path: Path,
        whole: Callable[[], T],
        part: Callable[[Effect], None] | None = None,
    ) -> T:
        """Do an operation, as the script has it. `part` does a torn half of it."""
        fault = self._next(operation, path)
        if fault is None:
            return whole()
        if fault.effect is Effect.ALL:
            if operation not in {"open", "read"}:
                whole()
        elif fault.effect is not Effect.NONE and part is not None:
            part(fault.effect)
        if fault.outcome is Outcome.RETURN:
            return None  # type: ignore[return-value]  # only of operations without a result
        raise self._end(fault, operation, path)

    def _next(self, operation: Operation, path: Path) -> Fault | None:
        with self._lock:
            if self.dead:
                raise Killed(f"{operation} of {path} by a dead process")
            self.log.append(Done(operation, path))
            due = None
            for fault in self._seen:
                if fault.operation in {"any", operation} and path.match(fault.path):
                    self._seen[fault] += 1
                    if due is None and _is_due(fault, self._seen[fault]):
                        due = fault
            return due

    def _end(self, fault: Fault, operation: Operation, path: Path) -> BaseException:
        if fault.outcome is Outcome.FAIL:
            return OSError(fault.error, os.strerror(fault.error), str(path))
        return self._died(f"{operation} of {path}")

    def die(self) -> NoReturn:
        """End the process here and now."""
        raise self._died("a moment without an operation")

    def _died(self, where: str) -> Killed:
        if self._death == "signal":
            os.kill(os.getpid(), signal.SIGKILL)
        self.dead = True
        return Killed(f"died at {where}")


def _is_due(fault: Fault, seen: int) -> bool:
    return seen >= fault.nth and (fault.times is None or seen < fault.nth + fault.times)


def torn(data: Buffer, effect: Effect, rng: random.Random) -> list[tuple[int, memoryview]]:
    """What of a write reaches the file: pieces, each with its place in `data`.

    Never all of it, except where it is `CACHED`.

    Cut between sectors where there are any, so that the pieces fit a descriptor with O_DIRECT.
    """
    view = memoryview(data).cast("B")
    if effect is Effect.CACHED:
        return [(0, view)]
    grain = SECTOR if len(view) > SECTOR else 1
    places = list(range(0, len(view), grain))
    if not places:
        return []
    if effect is Effect.PREFIX:
        return [(0, view[: rng.choice(places)])]
    kept = sorted(rng.sample(places, rng.randrange(len(places))))
    return [(at, view[at : at + grain]) for at in kept]
