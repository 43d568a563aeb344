"""When which actor's next timer is due, as far ahead as it is worth remembering.

The catalogue knows of every actor; here is the head of that: all that is due before the `horizon`.
What a commit says of an actor goes in if it is nearer. The rest is read when its time comes near,
so that memory does not grow with the number of sleepers.
"""

from __future__ import annotations

from collections.abc import Mapping
from heapq import heapify, heappop, heappush, nsmallest
from typing import TYPE_CHECKING

from storage.errors import StorageFull

if TYPE_CHECKING:
    from storage import Store

Key = tuple[int, int]
"""When, in microseconds since 1970, and whose: a uid."""
START: Key = (-1, -1)
HEAD = 1_024
"""Actors that are read from the catalogue at once; four times as many are remembered at most."""


class Agenda:
    """The head of the queue of all timers of a host.

    What the catalogue says may be too early (`storage.schedule`). Who finds that out tells `hear`,
    and the catalogue is put right a batch at a time, always before it is read.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._heap: list[Key] = []
        self._next: dict[int, int] = {}
        """What counts: entries of the heap that differ are dead."""
        self._horizon: Key | None = START
        """Everything before it is here; None if that is all there is."""
        self._wrong: dict[int, int | None] = {}
        """Where the catalogue is too early, and what is true."""

    def __len__(self) -> int:
        return len(self._next)

    def hear(self, uid: int, due: int | None, known: int | None) -> None:
        """The next timer of an actor is due then, and the catalogue says `known`."""
        if due == known:
            self._wrong.pop(uid, None)
        else:
            self._wrong[uid] = due
        self.expect(uid, due)

    def replaced(self, dues: Mapping[int, int | None]) -> None:
        """Other rows took the place of these; the catalogue is right about them."""
        for uid, due in dues.items():
            self._wrong.pop(uid, None)
            self.expect(uid, due)

    def expect(self, uid: int, due: int | None) -> None:
        """Look after this actor then, or never."""
        if due is None or (self._horizon is not None and (due, uid) > self._horizon):
            self._next.pop(uid, None)
        elif self._next.get(uid) != due:
            self._next[uid] = due
            heappush(self._heap, (due, uid))
            if len(self._heap) > 4 * HEAD:
                self._shorten()

    def _shorten(self) -> None:
        """Remember half, and where the rest begins."""
        alive = [(due, uid) for uid, due in self._next.items()]
        self._heap = nsmallest(2 * HEAD, alive)
        if len(alive) > len(self._heap):
            self._horizon = self._heap[-1]
            self._next = {uid: due for due, uid in self._heap}

    @property
    def head(self) -> int | None:
        """When the next one is due; None if there is none at all."""
        while True:
            while self._heap and self._next.get(self._heap[0][1]) != self._heap[0][0]:
                heappop(self._heap)
            if self._heap or self._horizon is None:
                return self._heap[0][0] if self._heap else None
            self._read()

    def pop(self, now: int) -> int | None:
        """The next actor that is due by `now`."""
        head = self.head
        if head is None or head > now:
            return None
        uid = heappop(self._heap)[1]
        del self._next[uid]
        return uid

    def _read(self) -> None:
        self.correct()
        assert self._horizon is not None  # noqa: S101 - or there is nothing to read
        found = self._store.catalogue.next_due(self._horizon, HEAD)
        self._horizon = found[-1] if len(found) == HEAD else None
        for due, uid in found:
            self._next[uid] = due
        self._heap += found
        heapify(self._heap)

    @property
    def untidy(self) -> bool:
        """Whether `correct` is worth a commit."""
        return len(self._wrong) >= HEAD

    def correct(self) -> None:
        """Put the catalogue right. Where the disk has no room it stays wrong until it has: being
        too early costs a look, no more."""
        wrong, self._wrong = self._wrong, {}
        catalogue = self._store.catalogue
        try:
            changed = [catalogue.set_due(uid, due) for uid, due in wrong.items()]
            if any(changed):
                self._store.commits.keep_rows(())
        except StorageFull:
            self._wrong = wrong
            return
        finally:
            catalogue.database.rollback()
        for uid, due in wrong.items():
            database = self._store.databases.live.get(uid)
            if database is not None:
                database.due = due

    def restart(self) -> None:
        """Read everything again."""
        self._heap.clear()
        self._next.clear()
        self._horizon = START
