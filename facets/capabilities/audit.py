"""What the code in an actor's isolates did outside them: one row for each use of a capability.

Rows are in the database of the actor whose `self.isolates` it is. The row is written before the
code of a capability runs, as "running", and is told the outcome afterwards. Where that code is
the owner's own and writes, both are part of its steps, and one commit with what it wrote; otherwise
the outcome follows within a turn of the loop, in one commit with those of the others. So nothing
that an isolate did survives a crash without its row, and what cannot be recorded does not run. A
row that stays "running" is of a use that ended with its owner or its host. What a transaction
undoes is recorded all the same.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Coroutine, Sequence
from contextvars import Context
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar
from weakref import WeakKeyDictionary

import msgspec

from facets.capabilities.errors import CapabilityError
from facets.capabilities.reference import as_capability

if TYPE_CHECKING:
    from actors.activation import Activation
    from actors.transaction import Transaction

KEPT = 10_000
"""Rows that one owner keeps; the oldest go."""
_SWEEP = 100
_TABLE = """create table if not exists _facets_audit(id integer primary key, time real not null,
    who text not null, capability text not null, method text not null, digest text not null,
    outcome text not null, error text not null, seconds real not null)"""
_PUT = "insert or replace into _facets_audit values (?, ?, ?, ?, ?, ?, ?, ?, ?)"
_COLUMNS = "id, time, who, capability, method, digest, outcome, error, seconds"

T = TypeVar("T")
Outcome = Literal["running", "ok", "denied", "failed", "cancelled"]


@dataclass(frozen=True, slots=True)
class Used:
    """One use of a capability by code in an isolate."""

    id: int
    """Rises with each use of one owner's."""
    time: float
    """When it began, in seconds since 1970."""
    who: str
    """The id of the facet, or the isolate and its entry point."""
    capability: str
    method: str
    """"" for a function."""
    digest: str
    """SHA-256 of the arguments, in hex: equal for equal plain data."""
    outcome: Outcome
    error: str
    """The class of what was raised; "" if nothing was."""
    seconds: float
    """How long it took; 0 while it runs."""


class Audit:
    """The record of one owner."""

    def __init__(self, owner: Activation) -> None:
        self.owner = owner
        self._last: int | None = None
        self._unsure: dict[Transaction, dict[int, Entry]] = {}
        """Written inside a transaction that may yet be undone."""
        self._over: dict[int, Entry] = {}
        """Outcomes that the next commit takes along; a turn of the loop later at most."""

    def entry(self, who: str, capability: str, method: str, arguments: Any) -> Entry:
        """A use that is about to begin; nothing is written yet."""
        if self._last is None:
            self._last = Context().run(self._alone, self._newest)
        self._last += 1
        return Entry(self, self._last, who, capability, method, digest(arguments))

    def put(self, entries: Sequence[Entry]) -> None:
        """Write the rows in the owner's open step."""
        database = self.owner.database
        database.run_own(_TABLE)
        for entry in entries:
            database.run_own(_PUT, entry.row())
            if entry.id % _SWEEP == 0 and entry.outcome == "running":
                database.run_own("delete from _facets_audit where id <= ?", (entry.id - KEPT,))
            if self.owner.transaction is not None:
                self._doubt(self.owner.transaction, entry)

    def begin(self, entries: Sequence[Entry]) -> None:
        """Write the rows of what is about to run, in a step of their own."""
        self._over |= {entry.id: entry for entry in entries}
        self.flush()

    def end(self, entry: Entry) -> None:
        """Write an outcome soon."""
        if not self._over:
            asyncio.get_running_loop().call_soon(self.flush)
        self._over[entry.id] = entry

    def flush(self) -> None:
        """Write what is to be written, in one step. Nothing happens if the owner has ended."""
        owner, entries = self.owner, [*self._over.values()]
        if owner.broken is not None or not entries:
            return
        held = owner.transaction
        if held is not None and held.doomed is not None:
            for entry in entries:
                self._doubt(held, entry)  # nothing can be written before it is over
        else:
            Context().run(self._alone, lambda: self.put(entries))
        self._over.clear()

    def _alone(self, work: Callable[[], T]) -> T:
        """Do something as a step of the owner. None of its own is open while a guest is heard."""
        owner = self.owner
        outer, owner.driven = owner.driven, True
        try:
            result = work()
            if owner.database.in_step:
                owner.commit()
        except BaseException:
            owner.database.rollback()
            raise
        finally:
            owner.driven = outer
        return result

    def _doubt(self, held: Transaction, entry: Entry) -> None:
        if held not in self._unsure:
            self._unsure[held] = {}
            self.owner.node.host.background(self._after(held))
        self._unsure[held][entry.id] = entry

    async def _after(self, held: Transaction) -> None:
        """Write again what went with the transaction."""
        await held.over()
        written = self._unsure.pop(held)
        if held.kept:
            return
        self._over |= written
        self.flush()

    def read(self, limit: int, before: int | None) -> list[Used]:
        """The newest rows, newest first."""
        newest = 1 << 62 if before is None else before
        query = f"select {_COLUMNS} from _facets_audit where id < ? order by id desc limit ?"  # noqa: S608
        rows = self.owner.database.run_own(query, (newest, limit)) if self._exists() else []
        known = {row[0]: Used(*row) for row in rows}
        # Its own step may be undone, so what waits is shown and not written.
        known |= {one.id: one.used() for one in self._over.values() if one.id < newest}
        return [known[number] for number in sorted(known, reverse=True)][:limit]

    def _newest(self) -> int:
        if not self._exists():
            return 0
        return self.owner.database.run_own("select max(id) from _facets_audit")[0][0] or 0

    def _exists(self) -> bool:
        database = self.owner.database
        database.look()
        query = "select 1 from sqlite_schema where name = '_facets_audit'"
        return database.has_file and bool(database.run_own(query))


class Entry:
    """One use under way."""

    __slots__ = (
        "_audit", "_began", "_time", "begun", "capability", "digest", "error", "id", "method",
        "outcome", "seconds", "who",
    )  # fmt: skip

    def __init__(
        self, audit: Audit, number: int, who: str, capability: str, method: str, hashed: str
    ) -> None:
        self._audit = audit
        self._time = time.time()
        self._began = time.perf_counter()
        self.id = number
        self.who = who
        self.capability = capability
        self.method = method
        self.digest = hashed
        self.begun = False
        """Its row was written."""
        self.outcome: Outcome = "running"
        self.error = ""
        self.seconds = 0.0

    def row(self) -> tuple[Any, ...]:
        """What is written."""
        return (
            self.id, self._time, self.who, self.capability, self.method, self.digest,
            self.outcome, self.error, self.seconds,
        )  # fmt: skip

    def used(self) -> Used:
        """The same, to be read."""
        return Used(*self.row())

    async def around(self, running: Coroutine[Any, Any, Any]) -> Any:
        """Run the owner's own code, with the row as part of its first step, and of its last if
        that wrote something."""
        if not self.begun:
            self._audit.put([self])
        result = await running
        if self._audit.owner.database.in_step:
            self._over("ok")
            self._audit.put([self])
        return result

    def begin(self) -> None:
        """Other code is about to run."""
        if not self.begun:
            self.begun = True
            self._audit.begin([self])

    def end(self, error: BaseException | None = None) -> None:
        """It has ended; again, and after `around`, nothing happens unless there is an error."""
        if error is None and self.outcome == "ok":
            return
        if error is None:
            self._over("ok")
        elif isinstance(error, (asyncio.CancelledError, GeneratorExit)):
            self._over("cancelled", error)
        else:
            self._over("denied" if isinstance(error, CapabilityError) else "failed", error)
        self._audit.end(self)

    def _over(self, outcome: Outcome, error: BaseException | None = None) -> None:
        self.outcome = outcome
        self.error = "" if error is None else type(error).__name__
        self.seconds = time.perf_counter() - self._began


_audits: WeakKeyDictionary[Activation, Audit] = WeakKeyDictionary()


def audit_of(owner: Activation) -> Audit:
    """The record of an actor's isolates."""
    found = _audits.get(owner)
    if found is None:
        found = _audits[owner] = Audit(owner)
    return found


def digest(arguments: Any) -> str:
    """SHA-256 of values; those that are no plain data count by their text."""
    try:
        content = _encode(arguments)
    except (TypeError, ValueError, OverflowError, RecursionError):
        content = repr(arguments).encode("utf-8", "surrogatepass")
    return hashlib.sha256(content).hexdigest()


def _text(value: Any) -> Any:
    found = as_capability(value)
    return repr(value) if found is None else found.name


_encode = msgspec.msgpack.Encoder(enc_hook=_text, order="deterministic").encode
