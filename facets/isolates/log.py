"""The log of an actor's isolates: a table in its own database.

    _facets_invocations(last, ended, events)
        last      number of the newest invocation in the row; numbers have no gaps
        ended     when that was over, seconds since 1970
        events    msgpack, deflated: the invocations, oldest first, each as the first four
                  fields of `Invocation` in an array of their own, and the others behind it

Rows hold what was over within a second of each other, so that a warm call pays for an append to
a list and not for a commit. The commit is one of the runtime's own: no reply waits for it. What a
process that is killed had in memory, at most `LINGER` seconds, is lost; an isolate that is killed
is written of at once. The log is the actor's data: it is restored, cloned and exported with it.
"""

from __future__ import annotations

import asyncio
import time
import zlib
from collections.abc import Iterator
from contextvars import Context
from typing import TYPE_CHECKING, Any, final

import msgspec

from facets.isolates.invocation import Invocation, Outcome
from facets.isolates.meter import Row, Subject, invocation
from storage.errors import JournalFailed, StorageError

if TYPE_CHECKING:
    from actors.activation import Activation
    from actors.limits import IsolateLimits

LINGER = 1.0
"""Seconds an invocation waits in memory to be written with others."""
BATCH = 1024
"""Invocations that are written without waiting for more."""
BATCH_SIZE = 1 << 18
"""Printed characters, the same."""
MOST = 4096
"""Invocations in memory. The owner holds its database while it is in a transaction, or in a step
that calls entrypoints: what comes then has to wait."""
_TABLE = """create table if not exists _facets_invocations(
    last integer primary key, ended real not null, events blob not null)"""
_THERE = "select 1 from sqlite_schema where name = '_facets_invocations'"
_OLDEST = """delete from _facets_invocations where last <= ?1 - ?2 or last in (
    select last from _facets_invocations order by last limit 8) and ended < ?3"""
_LOGS, _OUTCOME = (Invocation.__slots__.index(name) - 3 for name in ("logs", "outcome"))
"""Where they are in a row, which has one subject for the first four fields."""


@final
class InvocationLog:
    """`self.isolates.log`: what the isolates of one actor did lately.

    Kept are the newest `log_count` invocations of the last `log_age` seconds, see
    `IsolateLimits`; the oldest go in groups. With `log_count=0` there is no log.
    """

    __slots__ = ("_activation", "_last", "_limits", "_rows", "_size", "_timer", "dropped")

    def __init__(self, activation: Activation, limits: IsolateLimits) -> None:
        self._activation = activation
        self._limits = limits
        self._rows: list[Row] = []
        self._size = 0
        self._timer: asyncio.Handle | None = None
        self.dropped = 0
        """Invocations that came faster than the owner's own steps let them be written."""
        self._last: int | None = None
        """Number of the newest one written; None before the first look."""
        if self.on:
            activation.on_end.append(self._end)

    @property
    def on(self) -> bool:
        """Whether anything is kept."""
        return self._limits.log_count > 0

    def newest(
        self, n: int = 100, *, facet: str | None = None, outcome: Outcome | None = None
    ) -> list[Invocation]:
        """The newest `n` invocations, newest first: all, or those of a facet or an outcome.

        They include those that are not written yet.
        """
        found: list[Invocation] = []
        for row in self._backwards():
            if len(found) >= n:
                break
            if facet in (None, row[0].facet) and outcome in (None, row[_OUTCOME]):
                found.append(invocation(row))
        return found

    def clear(self) -> None:
        """Forget all, as a part of the current step."""
        self._rows.clear()
        if self._there():
            self._activation.database.run_own("delete from _facets_invocations")

    def add(self, row: Row) -> None:
        """Keep it: it is written soon, or at once if its isolate was killed."""
        rows = self._rows
        rows.append(row)
        if row[_LOGS]:
            self._size += sum([len(text) for _, text in row[_LOGS]])
        if len(rows) >= BATCH or self._size > BATCH_SIZE or row[_OUTCOME] == "killed":
            self._write_now()
        elif self._timer is None:
            self._schedule(LINGER)

    def _write_now(self) -> None:
        """Write, or keep for later what cannot be written yet, as long as it is not too much."""
        if self._activation.broken is not None or self._is_free():
            self._write()
        elif self._timer is None or len(self._rows) == BATCH:
            self._schedule(0.0)
        if len(self._rows) > MOST:
            del self._rows[: MOST // 2]
            self.dropped += MOST // 2

    def _is_free(self) -> bool:
        """Whether nothing is open in the owner's database."""
        owner, database = self._activation, self._activation.database
        return not (database.in_step or database.deferred or owner.transaction is not None)

    def _backwards(self) -> Iterator[Row]:
        yield from reversed(self._rows)
        last = 1 << 62
        while self._there():
            query = "select last, events from _facets_invocations where last < ? order by last desc"
            rows = self._activation.database.run_own(query + " limit 16", (last,))
            for last, events in rows:  # noqa: B007 - the next query goes on below it
                yield from _unpack(events)
            if not rows:
                return

    def _there(self) -> bool:
        database = self._activation.database
        database.look()
        return database.has_file and bool(database.run_own(_THERE))

    # -- writing --------------------------------------------------------------------------------

    def _schedule(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        loop = self._activation.node.host.loop
        # In a context of its own: the caller's would make it a part of the caller's transaction.
        self._timer = loop.call_later(seconds, self._flush, context=Context())

    def _flush(self) -> None:
        """Write, unless the owner is in the middle of something: then a little later."""
        self._timer = None
        if self._rows and self._activation.broken is None:
            if self._is_free():
                self._write()
            else:
                self._schedule(LINGER / 10)

    def _end(self, _reason: BaseException) -> None:
        """The owner's incarnation is over; what its isolates still say is written as it comes."""
        if self._timer is not None:
            self._timer.cancel()
        if self._rows:
            self._write()

    def _write(self) -> None:
        """Commit what waits. Nothing else may be open in the owner's database."""
        rows, self._rows, self._size = self._rows, [], 0
        database = self._activation.database
        if database.deferred or database.in_step:
            return  # it ended within a transaction, which is being undone
        if isinstance(self._activation.node.host.refused, JournalFailed):
            return  # it ended with its host: nothing more can become durable
        opening, database.on_begin = database.on_begin, None  # it refuses who has ended
        try:
            self._insert(rows)
            database.commit()
        except StorageError as error:
            database.rollback()
            self._last = None
            self._activation.node.host.loop.call_exception_handler({
                "message": f"{len(rows)} invocations could not be logged",
                "exception": error,
            })  # fmt: skip
        finally:
            database.on_begin = opening

    def _insert(self, rows: list[Row]) -> None:
        run = self._activation.database.run_own
        if self._last is None:
            run(_TABLE)
            self._last = run("select coalesce(max(last), 0) from _facets_invocations")[0][0]
        self._last += len(rows)
        now = time.time()
        # An eighth of the size; what costs is pages, in the journal and on disk.
        packed = zlib.compress(_encode(rows), 1)
        run("insert into _facets_invocations values (?, ?, ?)", (self._last, now, packed))
        limits = self._limits
        run(_OLDEST, (self._last, limits.log_count, now - limits.log_age))


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[tuple[Any, ...]]).decode


def _unpack(events: bytes) -> Iterator[Row]:
    """The rows, newest first."""
    for row in reversed(_decode(zlib.decompress(events))):
        values = list(row)
        values[0] = Subject(*values[0])
        values[_LOGS] = tuple([(stream, text) for stream, text in values[_LOGS]])
        yield tuple(values)
