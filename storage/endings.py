"""Files that a record put an end to: told of to the history, then removed.

An ending waits until its record is durable: before that a crash undoes it, and a history that
knew of it would lead back from a present that never was. It is told on the thread of the
background, in order with everything else there. What cannot be told is tried again with the next
round, and all that comes behind it in its tree waits; the journal keeps the records meanwhile, so
that a crash tells them. A file stays while somebody holds its database, as a copy is being made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from storage.checkpoint import Background
from storage.disk import Disk
from storage.errors import StorageError
from storage.layout import remove

if TYPE_CHECKING:
    from storage.database import Database


T = TypeVar("T")
NO_TREE = 0
"""Of an ending that is nobody's history."""


@dataclass(frozen=True, slots=True)
class Remains:
    """A file that a record deletes or replaces."""

    path: Path
    database: Database | None
    """Who held it, if it was in memory."""


@dataclass(frozen=True, slots=True)
class Ending:
    """One record and what there is to do about it."""

    tree: int
    sequence: int
    first: int
    """The oldest record that the history, or a file that ends, may lack."""
    tell: Callable[[], None]
    """Durable when it returns; on any thread."""
    remains: Sequence[Remains] = ()


class Endings:
    """All of one store. One thread, which `background` calls back."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self.waiting: list[Ending] = []
        """In order, and not with the background."""
        self._telling: list[Ending] = []
        self._dead: list[Remains] = []
        self.refused: dict[int, Exception] = {}
        """Trees with an ending that could not be told, and why; read on any thread."""

    def add(self, ending: Ending) -> None:
        """A record was queued. Never fails: the record cannot be taken back."""
        self.waiting.append(ending)

    @property
    def needed(self) -> int | None:
        """The oldest record that must be there if this process ends now; None if there is none."""
        return min((one.first for one in (*self._telling, *self.waiting)), default=None)

    def go_on(self, durable: int, background: Background, *, again: bool = False) -> None:
        """Tell of what is durable; `again`: also of what could not be told before."""
        trying = set(self.refused) if again else set()
        due = [
            one
            for one in self.waiting
            if one.sequence <= durable and (again or one.tree not in self.refused)
        ]
        if not due:
            return
        self.waiting = _without(self.waiting, due)
        self._telling += due
        told: list[Ending] = []

        def done(_: object, error: Exception | None) -> None:
            self._told(due, told)
            if error is not None:
                raise error

        background(lambda: self._tell(due, trying, told), done)

    def _tell(self, due: Sequence[Ending], trying: set[int], told: list[Ending]) -> None:
        for one in due:
            if one.tree in self.refused and one.tree not in trying:
                continue
            try:
                one.tell()
            except (StorageError, OSError) as error:
                self.refused[one.tree] = error
                trying.discard(one.tree)
            else:
                told.append(one)
        for tree in trying:
            self.refused.pop(tree, None)

    def _told(self, due: Sequence[Ending], told: Sequence[Ending]) -> None:
        self._telling = _without(self._telling, due)
        self.waiting = sorted([*_without(due, told), *self.waiting], key=lambda one: one.sequence)
        for one in told:
            self._dead += one.remains

    def reap(self, background: Background) -> None:
        """Begin to remove the files that nobody needs. What the disk refuses is left for the next
        time: no name leads to it."""
        held = [one for one in self._dead if one.database is not None and one.database.held]
        free = _without(self._dead, held)
        if not free:
            return
        self._dead = held

        def done(refused: list[Remains], error: Exception | None) -> None:
            self._dead += free if error is not None else refused

        background(lambda: self._remove(free), done)

    def _remove(self, dead: Sequence[Remains]) -> list[Remains]:
        """Remove these; which the disk refused. On any thread."""
        refused = []
        for one in dead:
            try:
                remove(self._disk, one.path)
            except OSError:
                refused.append(one)
        return refused


def _without(some: Sequence[T], others: Sequence[T]) -> list[T]:
    gone = {id(one) for one in others}
    return [one for one in some if id(one) not in gone]
