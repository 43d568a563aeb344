"""Deliveries that a process did not survive.

A delivery leaves nothing on disk before it is over, so a method that kills its process would be
delivered again for ever. But whatever was under way when a process died is due already when the
next one opens the directory. Of those, and of those of which that came out, a delivery is counted
before it begins, durably: `attempt` of its row is below zero until it is over. A row of which that
is so at the next opening says that its process died, and the attempt counts as failed.

A copy that is taken of an actor in the middle of such a delivery counts it as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors import delivery
from actors.errors import ActorBroken
from actors.ticks import SECOND

if TYPE_CHECKING:
    from actors.host import Host
    from storage import Database
    from storage.schedule import Entry, Schedule

DIED = ActorBroken(
    "the process ended during the delivery",
    hint="look for what in the method may take its process along: memory, exits, signals",
)


class Unended:
    """The deliveries of one host that are counted ahead."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._opened = round(host.clock.now() * SECOND)
        self._ahead: set[tuple[int, int]] = set()
        """By uid and id of the timer."""

    def count(self, database: Database, uid: int, entry: Entry) -> Entry | None:
        """The timer as it is kept while it is being delivered; None if its process died the last
        time: it is tried again later, or given up. After `quiet`."""
        if (uid, entry.id) in self._ahead:
            return entry
        if entry.attempt < 0:
            with delivery.aside(database) as schedule:
                self._fail(schedule, uid, entry)
            return None
        if not self._is_suspect(entry):
            return entry
        entry = entry._replace(attempt=-entry.attempt - 1)
        with delivery.aside(database) as schedule:
            schedule.put(entry)
        self._ahead.add((uid, entry.id))
        return entry

    def _is_suspect(self, entry: Entry) -> bool:
        due = entry.due is not None and entry.due <= self._opened
        return due or entry.error == delivery.said(DIED)

    def _fail(self, schedule: Schedule, uid: int, entry: Entry) -> None:
        now = round(self._host.clock.now() * SECOND)
        delivery.fail(schedule, uid, entry, DIED, now, self._host.options.timers)

    async def kept(self, database: Database, uid: int, entry: Entry) -> None:
        """Return when what was counted is durable; at once if nothing was."""
        if (uid, entry.id) in self._ahead:
            sequence = database.sequence
            await self._host.gate.passed(sequence, self._host.remote(sequence))

    def over(self, uid: int, number: int) -> None:
        """A delivery has ended, however."""
        self._ahead.discard((uid, number))

    def forget(self) -> None:
        """The host ends in order: what is under way has not died."""
        for uid, number in self._ahead:
            path = self._host.store.catalogue.path(uid)
            if path:
                database = self._host.store.databases.at(path[-1])
                with delivery.aside(database) as schedule:
                    _uncount(schedule, number)
        self._ahead.clear()


def _uncount(schedule: Schedule, number: int) -> None:
    found = schedule.find(number)
    if found is not None and found.attempt < 0:
        schedule.put(found._replace(attempt=-found.attempt - 1))
