"""What `agent.stream` and `agent.events` yield.

Every event has a number in its turn, `seq`, which only rises: who comes back says the last one
that it has, `agent.events(turn, after=seq)`, and reads on from there.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, get_args


@dataclass(frozen=True, slots=True)
class TextDelta:
    """More of the text of the model's answer."""

    turn: str
    text: str
    seq: int = field(default=0, compare=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class ToolStarted:
    """A tool call that the model made begins; again if a crash cut it off."""

    turn: str
    call: str
    """The id of the call, in this turn."""
    name: str
    arguments: Any
    """As the model sent them: a dict, or text that need not be JSON."""
    seq: int = field(default=0, compare=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class ApprovalAsked:
    """A tool call waits for `approve` or `reject`; it begins anew when it is decided."""

    turn: str
    call: str
    """What to decide by: the id of the call."""
    name: str
    arguments: dict[str, Any]
    seq: int = field(default=0, compare=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class ToolFinished:
    """A tool call is over, and what it led to is kept."""

    turn: str
    call: str
    name: str
    outcome: str
    """`success`; `failed`; `denied` if it was not approved, or a hook blocked it; `retried` if it
    has not run, and the model is asked to call again."""
    content: str
    """What the model is told."""
    seq: int = field(default=0, compare=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class Answered:
    """The model has given an output of the agent's `output_type`: the turn ends with it."""

    turn: str
    output: Any
    """As plain data; `turn.result()` is the object."""
    seq: int = field(default=0, compare=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class Retrying:
    """A request to the model failed, and is made again."""

    turn: str
    error: str
    wait: float
    """Seconds until then."""
    seq: int = field(default=0, compare=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class Progressed:
    """A sub-agent that the turn called tells how far it is."""

    run: str
    message: str
    fraction: float | None = None
    milestone: str | None = None
    """A point of the work that it has passed."""
    data: Any = None
    """What it says of that, as JSON."""
    seq: int = field(default=0, compare=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class Restarted:
    """What came after the event `kept` is void: it was part of a response that a crash, or an error
    of the model, cut off, and that begins anew."""

    turn: str
    kept: int
    """The `seq` of the last event that counts."""
    seq: int = field(default=0, compare=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class Missed:
    """Events before this one are not kept any more, see `EventLimits`; the messages are."""

    turn: str
    seq: int = field(default=0, compare=False, kw_only=True)


Event = (
    TextDelta
    | ToolStarted
    | ApprovalAsked
    | ToolFinished
    | Answered
    | Retrying
    | Progressed
    | Restarted
    | Missed
)
KINDS: dict[str, Any] = {one.__name__: one for one in get_args(Event)}
