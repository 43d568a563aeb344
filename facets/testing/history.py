"""What clients did and were told, and whether one sequence of events explains it.

Clients call `Ledger` actors and note when each call began, when it ended, and how: it is known to
have run, known not to have run, or unknown, as after the loss of a host. `History.check` then
compares all that with what the ledgers hold in the end:

lost        a write that was acknowledged is there, where its caller was told
doubled     no write is there twice
refused     a write that was said not to have run is not there
forged      nothing is there that nobody wrote
epochs      entries of one activation stand together: where the next one wrote, it never returns
order       writes of one caller to one ledger stand in the order in which it made them
time        what ended before something else began comes before it: a write stands in front, a read
            saw no less. As the final order is known this decides whether the history is
            linearizable (Herlihy and Wing, 1990), exactly and in n log n

A write whose outcome is unknown may be there or not, at any place after its beginning. Times are
`time.monotonic_ns`, which all processes of a machine share: histories of several can be joined.
"""

from __future__ import annotations

import json
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, TextIO

from actors.actor import Actor

Result = Literal["ok", "refused", "unknown"]


class Entry(NamedTuple):
    """One write in a ledger."""

    position: int
    token: str
    activation: str
    """Who wrote it: each time an actor wakes it is another one."""


class Ledger(Actor):
    """An actor that keeps every write in the order of arrival, counted twice."""

    migrations = ("create table entries(position integer, token text, activation text)",)

    async def on_start(self) -> None:
        """Each activation marks its writes."""
        self.activation = uuid.uuid4().hex

    async def append(self, token: str) -> tuple[int, str]:
        """Write a token; its position, from 0, and this activation."""
        position = int(self.kv.get("length", 0))
        self.kv["length"] = position + 1
        self.sql("insert into entries values (?, ?, ?)", position, token, self.activation)
        return position, self.activation

    async def read(self) -> int:
        """How many entries there are."""
        return int(self.kv.get("length", 0))

    async def entries(self) -> list[tuple[int, str, str]]:
        """All of them, as `Entry`."""
        rows = self.sql("select position, token, activation from entries order by rowid")
        return [(row[0], row[1], row[2]) for row in rows]


class SupportsLedger(Protocol):
    """A `Ledger`, or a stub of one."""

    def append(self, token: str) -> Awaitable[tuple[int, str]]:
        """Write a token; its position, and the activation that wrote it."""

    def read(self) -> Awaitable[int]:
        """How many entries there are."""


@dataclass(slots=True)
class Operation:
    """One call of one client."""

    caller: str
    ledger: str
    token: str
    """What it wrote; empty for a read."""
    begun: int
    ended: int = 0
    """0 while it is under way, or if its client is gone."""
    result: Result = "unknown"
    length: int = 0
    """How many entries there were when it ran: with its own, if it wrote."""
    activation: str = ""
    error: str = ""
    """What it raised, if that was its outcome."""

    @property
    def known(self) -> bool:
        """Whether it ran, as its client was told."""
        return self.result == "ok"


@dataclass(frozen=True)
class Violation:
    """One promise broken."""

    rule: str
    ledger: str
    said: str


class HistoryBroken(AssertionError):
    """No sequence of events explains the history. Field: `violations`."""

    def __init__(self, violations: Sequence[Violation]) -> None:
        self.violations = tuple(violations)
        shown = [f"{one.rule}: {one.ledger}: {one.said}" for one in violations[:10]]
        super().__init__("\n".join([f"{len(violations)} promises broken", *shown]))


class History:
    """All operations of some clients. One event loop; join the histories of several processes.

    With a `path`, each beginning and end is in that file when the call goes on, so what a
    process did is known however it ends.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.operations: list[Operation] = []
        self._file: TextIO | None = path.open("a") if path is not None else None

    def __len__(self) -> int:
        return len(self.operations)

    def client(self, caller: str, *, refused: tuple[type[Exception], ...] = ()) -> Client:
        """One caller. `refused`: what its calls raise if they certainly did not run; after any
        other exception their outcome is unknown."""
        return Client(self, caller, refused)

    def begin(self, caller: str, ledger: str, token: str = "") -> Operation:
        """A call begins now; without a `token` it reads."""
        one = Operation(caller, ledger, token, time.monotonic_ns())
        self.operations.append(one)
        self._note(one)
        return one

    def end(
        self,
        one: Operation,
        result: Result,
        *,
        length: int = 0,
        activation: str = "",
        error: str = "",
    ) -> None:
        """It ended now."""
        one.ended, one.result, one.error = time.monotonic_ns(), result, error
        one.length, one.activation = length, activation
        self._note(one)

    def close(self) -> None:
        """Close the file, if there is one."""
        if self._file is not None:
            self._file.close()

    def join(self, path: Path) -> None:
        """Add what another process noted there; what had no end then never gets one."""
        found: dict[tuple[str, str, int], Operation] = {}
        for line in path.read_text().splitlines():
            try:
                one = Operation(*json.loads(line))
            except (ValueError, TypeError):
                continue  # the process ended while it wrote this
            found[one.caller, one.ledger + one.token, one.begun] = one
        self.operations += found.values()

    def _note(self, one: Operation) -> None:
        if self._file is not None:
            values = [getattr(one, name) for name in Operation.__slots__]
            print(json.dumps(values), file=self._file, flush=True)

    def ledgers(self) -> list[str]:
        """Names of all that were called, sorted."""
        return sorted({one.ledger for one in self.operations})

    def results(self) -> dict[Result, int]:
        """How many operations ended how: a history of few known ones proves little."""
        counts: Counter[Result] = Counter(one.result for one in self.operations)
        return dict(counts)

    def check(self, final: Mapping[str, Iterable[tuple[int, str, str]]]) -> None:
        """Compare with what each ledger holds, asked after all operations ended.

        `HistoryBroken` if that cannot be; `KeyError` if a ledger is missing in `final`.
        """
        found: list[Violation] = []
        for ledger in self.ledgers():
            entries = [Entry(*one) for one in final[ledger]]
            operations = [one for one in self.operations if one.ledger == ledger]
            for rule in _RULES:
                found += [
                    Violation(rule.__name__.strip("_"), ledger, said)
                    for said in rule(operations, entries)
                ]
        if found:
            raise HistoryBroken(found)


class Client:
    """One caller: what its calls raise is their outcome, and not raised again."""

    def __init__(self, history: History, caller: str, refused: tuple[type[Exception], ...]) -> None:
        self._history = history
        self._caller = caller
        self._refused = refused

    async def append(self, ledger: str, stub: SupportsLedger) -> Operation:
        """Write something new."""
        one = self._history.begin(self._caller, ledger, uuid.uuid4().hex)
        done = await self._outcome(one, stub.append(one.token))
        if done is not None:
            self._history.end(one, "ok", length=done[0] + 1, activation=done[1])
        return one

    async def read(self, ledger: str, stub: SupportsLedger) -> Operation:
        """See how far it is."""
        one = self._history.begin(self._caller, ledger)
        done = await self._outcome(one, stub.read())
        if done is not None:
            self._history.end(one, "ok", length=done)
        return one

    async def _outcome(self, one: Operation, call: Awaitable[Any]) -> Any:
        try:
            return await call
        except self._refused as error:
            self._history.end(one, "refused", error=_text(error))
        except Exception as error:
            self._history.end(one, "unknown", error=_text(error))
        return None


def _text(error: BaseException) -> str:
    cause = f" from {error.__cause__!r}" if error.__cause__ is not None else ""
    return f"{error!r}{cause}"[:500]


# -- rules: each yields what breaks it ---------------------------------------------------

Rule = Callable[[list[Operation], list[Entry]], Iterator[str]]


def _lost(operations: list[Operation], entries: list[Entry]) -> Iterator[str]:
    for one in operations:
        if not one.known or not one.token:
            continue
        at = one.length - 1
        there = entries[at] if at < len(entries) else None
        if there is None or (there.token, there.activation) != (one.token, one.activation):
            yield f"{one.token} of {one.caller} was acknowledged at {at}, where {there} is"


def _doubled(operations: list[Operation], entries: list[Entry]) -> Iterator[str]:
    for token, n in Counter(one.token for one in entries).items():
        if n > 1:
            yield f"{token} is there {n} times"


def _refused(operations: list[Operation], entries: list[Entry]) -> Iterator[str]:
    there = {one.token for one in entries}
    for one in operations:
        if one.result == "refused" and one.token in there:
            yield f"{one.token} of {one.caller} is there, and was said not to have run"


def _forged(operations: list[Operation], entries: list[Entry]) -> Iterator[str]:
    written = {one.token for one in operations}
    for at, entry in enumerate(entries):
        if entry.token not in written:
            yield f"{entry.token} is there, and nobody wrote it"
        if entry.position != at:
            yield f"{entry.token} stands at {at} and was counted as {entry.position}"


def _epochs(operations: list[Operation], entries: list[Entry]) -> Iterator[str]:
    over: set[str] = set()
    newest = ""
    for entry in entries:
        if entry.activation in over:
            yield f"{entry.activation} wrote {entry.token} after {newest} had begun"
        if entry.activation != newest:
            over.add(newest)
            newest = entry.activation


def _order(operations: list[Operation], entries: list[Entry]) -> Iterator[str]:
    last: dict[str, Operation] = {}
    for one in operations:
        if not one.known or not one.token:
            continue
        before = last.get(one.caller)
        if before is not None and before.begun <= one.begun and before.length >= one.length:
            yield f"{one.caller} wrote {before.token} before {one.token}, which stands first"
        last[one.caller] = one


def _time(operations: list[Operation], entries: list[Entry]) -> Iterator[str]:
    """Sweeps over the beginnings, with the newest that had surely been seen before each."""
    places = {entry.token: entry.position + 1 for entry in entries}
    ran = [one for one in operations if one.known or one.token in places]
    ends = sorted((one for one in ran if one.known), key=lambda one: one.ended)
    seen, newest = 0, ""
    at = 0
    for one in sorted(ran, key=lambda one: one.begun):
        while at < len(ends) and ends[at].ended < one.begun:
            if ends[at].length > seen:
                seen, newest = ends[at].length, ends[at].caller
            at += 1
        length = one.length if one.known else places[one.token]
        if length < seen + bool(one.token):
            what = f"wrote {one.token} at" if one.token else "read"
            yield f"{one.caller} {what} {length} after {newest} had been told {seen}"
    for one in ran:
        if one.known and one.length > len(entries):
            yield f"{one.caller} was told {one.length}, and there are {len(entries)}"


_RULES: tuple[Rule, ...] = (_lost, _doubled, _refused, _forged, _epochs, _order, _time)
