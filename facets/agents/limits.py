"""What one turn may use, and what is kept of its events."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TurnLimits:
    """Limits of one turn: crossing one ends it with `OverBudget`, or `DeadlineExceeded`.

    What a whole tree of agents may spend together is a quota of the meters "tokens" and "usd":
    `self.agents.get(Researcher, "x", quota=Quota(meters={"tokens": 100_000}))`, or that of the
    runtime; what a request may cost is reserved there. A limit of one turn is looked at before each
    request to the model, whose cost is known only afterwards: the last one may go over it.
    """

    steps: int = 20
    """Requests to the model."""
    tokens: int | None = 1_000_000
    """Of input and output."""
    cost: float | None = None
    """US dollars. A response whose price is not known ends the turn then."""
    seconds: float = 3600.0
    """From its first step, waiting for tools, and for a crashed process to come back, included."""
    attempts: int = 5
    """Times that it is taken up again, after what ended its process, without coming any further: a
    turn that kills the process each time ends then."""


@dataclass(frozen=True, slots=True)
class EventLimits:
    """What is kept of events, for those who come late: `agent.events(turn)` reads them.

    What is dropped is not lost: the messages of the session stay.
    """

    bytes: int = 1 << 20
    """Of one turn: the oldest are dropped beyond that."""
    turns: int = 20
    """Of so many turns, those that ended last, and of all that are not over."""
