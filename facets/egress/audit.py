"""One record of every attempt to get out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from facets.egress.errors import (
    EgressBudget,
    EgressDenied,
    EgressTimeout,
    EgressTooLarge,
)

Outcome = Literal["answered", "denied", "budget", "too large", "timeout", "failed", "cancelled"]

_OUTCOMES: tuple[tuple[type[BaseException], Outcome], ...] = (
    (EgressDenied, "denied"),
    (EgressBudget, "budget"),
    (EgressTooLarge, "too large"),
    (EgressTimeout, "timeout"),
    (asyncio.CancelledError, "cancelled"),
)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request to one place, whether it left or not. A redirect that is followed is another."""

    who: str
    """The name of the exit."""
    method: str
    url: str
    """Without query and user information."""
    rule: str
    """The label of the rule that allowed it or came closest; "" if there is none."""
    hop: int
    """How many redirects led here."""
    outcome: Outcome
    reason: str
    """What was wrong, "" if nothing."""
    status: int | None
    """None if no answer came."""
    address: str
    """What was connected to, or refused; "" if it did not come to that."""
    sent: int
    """Bytes; 0 if nothing may have left."""
    received: int
    """Bytes, as on the wire."""
    seconds: float
    """From the first check to the end of the answer."""


Sink = Callable[[Attempt], None]


class Entry:
    """An attempt under way. Ends in exactly one record."""

    def __init__(self, sink: Sink | None, who: str, method: str, url: str, hop: int) -> None:
        self._sink = sink
        self._began = time.monotonic()
        self._open = True
        self.who, self.method, self.url, self.hop = who, method, url, hop
        self.rule = self.address = ""
        self.status: int | None = None
        self.sent = self.received = 0

    def end(self, error: BaseException | None = None) -> None:
        """Hand the record to the sink; what the sink raises is raised. Again: nothing."""
        if not self._open:
            return
        self._open = False
        if self._sink is not None:
            self._sink(self._record(error))

    def _record(self, error: BaseException | None) -> Attempt:
        outcome: Outcome = "answered"
        if error is not None:
            found = (name for kind, name in _OUTCOMES if isinstance(error, kind))
            outcome = next(found, "failed")
        return Attempt(
            who=self.who,
            method=self.method,
            url=self.url,
            rule=self.rule or getattr(error, "rule", ""),
            hop=self.hop,
            outcome=outcome,
            reason="" if error is None else str(error) or type(error).__name__,
            status=self.status,
            address=self.address,
            sent=self.sent,
            received=self.received,
            seconds=time.monotonic() - self._began,
        )
