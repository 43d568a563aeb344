"""Counts what one isolate uses, and says so once for each invocation.

Costs an invocation two looks at the counters, and an isolate whose events nobody wants nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, final

from facets.isolates.errors import GuestError, IsolateDead
from facets.isolates.invocation import KEPT, MESSAGE, Invocation, Kind, Outcome

if TYPE_CHECKING:
    from facets.isolates.runner import Runner

MEASURED = 0.0002
"""Seconds that a guest computes until its memory is asked for again: it takes 3 us to ask."""
Row = tuple[Any, ...]
"""A `Subject` and the other fields of an `Invocation`, in order; most are stored as they are."""
Sink = Callable[[Row], None]
"""Gets each invocation when it is over, on the loop. Must not raise."""


Started = tuple[Kind, str, int, int, float, float, int, int, int, int]
How = tuple[Outcome, str, str]
_OK: How = ("ok", "", "")


class Subject(NamedTuple):
    """Whose invocations a meter counts: the first fields of each `Invocation`."""

    isolate: str
    code: str
    facet: str | None
    target: str


def invocation(row: Row) -> Invocation:
    """The same as an object."""
    return Invocation(*row[0], *row[1:])


class Measured(Protocol):
    """A guest that can say how much memory it has."""

    def memory(self) -> int | None:
        """Bytes; None if it cannot say. Not while a call is in progress."""


@final
class Meter:
    """The counters of one isolate. Its session adds to them and begins and ends invocations."""

    __slots__ = (
        "_measured", "_printed", "_printed_size", "_sinks", "begun", "calls", "dead", "emit",
        "memory", "open", "operations", "printed", "runner", "sent", "subject",
    )  # fmt: skip

    def __init__(self, subject: Subject, sinks: tuple[Sink, ...]) -> None:
        self.subject = subject
        self._sinks = sinks
        self.emit: Sink = sinks[0] if len(sinks) == 1 else self._to_all
        self._printed: deque[tuple[int, str, str]] = deque()
        """The newest texts, each with what was printed before it."""
        self._printed_size = 0
        self._measured = 0.0
        """Processor time when the memory was last asked for."""
        self.begun = 0
        """Invocations so far."""
        self.open = 0
        """Those under way."""
        self.runner: Runner
        """Knows the processor time so far."""
        self.operations = 0
        self.calls = 0
        self.sent = 0
        self.printed = 0
        """Characters since the isolate was minted."""
        self.memory: int | None = None
        self.dead = False
        """The isolate was killed: so are the invocations that end now."""

    def _to_all(self, row: Row) -> None:
        for sink in self._sinks:
            sink(row)

    def log(self, stream: str, text: str) -> None:
        """Keep what was printed; what is over, the oldest first, is forgotten."""
        self._printed.append((self.printed, stream, text))
        self.printed += len(text)
        self._printed_size += len(text)
        while self._printed_size - len(self._printed[0][2]) >= KEPT:
            self._printed_size -= len(self._printed.popleft()[2])

    def logs(self, since: int) -> tuple[tuple[str, str], ...]:
        """What was printed since then, as `Invocation.logs`."""
        first = max(since, self.printed - KEPT)
        texts: list[tuple[str, str]] = []
        for at, stream, text in reversed(self._printed):
            if at + len(text) <= first:
                break
            texts.append((stream, text[max(0, first - at) :]))
        if first > since:
            texts.append(("host", f"[{first - since} characters before this are not kept]\n"))
        texts.reverse()
        return tuple(texts)

    def answered(self, instance: Measured, size: int) -> None:
        """The guest gave back control with an answer of this size."""
        self.sent += size
        cpu = self.runner.cpu
        if cpu - self._measured > MEASURED or self.memory is None:
            self._measured = cpu
            self.memory = instance.memory()

    def begin(self, kind: Kind, method: str) -> Started:
        """An invocation begins; what `end` needs for it."""
        self.open += 1
        self.begun += 1
        return (
            kind, method, self.begun, self.open, time.perf_counter(), self.runner.cpu,
            self.operations, self.calls, self.sent, self.printed,
        )  # fmt: skip

    def end(
        self, started: Started, error: BaseException | None = None, cancelled: bool = False
    ) -> None:
        """It is over, for the first time; `cancelled` if it was told to stop."""
        kind, method, number, others, began, cpu, operations, calls, sent, printed = started
        self.open -= 1
        seconds = time.perf_counter() - began
        if error is None and not cancelled and not self.dead:
            how = _OK
        else:
            how = self._how(kind, error, cancelled)
        self.emit((
            self.subject,
            kind,
            method,
            time.time() - seconds,
            seconds,
            self.runner.cpu - cpu,
            self.operations - operations,
            self.calls - calls,
            self.sent - sent,
            self.memory,
            () if printed == self.printed else self.logs(printed),
            others > 1 or self.begun != number,
            *how,
        ))  # fmt: skip

    def _how(self, kind: Kind, error: BaseException | None, cancelled: bool) -> How:
        if isinstance(error, IsolateDead) if kind == "load" else self.dead:
            outcome: Outcome = "killed"
        elif cancelled or isinstance(error, asyncio.CancelledError):
            outcome = "cancelled" if error is not None or kind == "stream" else "ok"
        else:
            outcome = "ok" if error is None else "error"
        if error is None:
            return outcome, "", ""
        name = error.type if isinstance(error, GuestError) else type(error).__name__
        return outcome, name, str(getattr(error, "message", error))[:MESSAGE]
