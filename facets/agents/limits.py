"""What one turn may use."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TurnLimits:
    """Limits of one turn: crossing one ends it with `OverBudget`, or `DeadlineExceeded`.

    What a whole tree of agents may spend together is a quota of the meters "tokens" and "usd":
    `self.agents.get(Researcher, "x", quota=Quota(meters={"tokens": 100_000}))`, or that of the
    runtime. A limit is looked at before each request to the model, whose cost is known only
    afterwards: the last one may go over it.
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
