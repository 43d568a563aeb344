"""What `agent.stream` yields."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class TextDelta:
    """More of the text of the model's answer. Text that a crash cut off begins anew."""

    turn: str
    text: str


@dataclass(frozen=True, slots=True)
class ToolStarted:
    """A tool call that the model made begins."""

    turn: str
    call: str
    """The id of the call, in this turn."""
    name: str
    arguments: Any
    """As the model sent them: a dict, or text that need not be JSON."""


@dataclass(frozen=True, slots=True)
class ApprovalAsked:
    """A tool call waits for `approve` or `reject`; it begins anew when it is decided."""

    turn: str
    call: str
    """What to decide by: the id of the call."""
    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ToolFinished:
    """A tool call is over, and what it led to is kept."""

    turn: str
    call: str
    name: str
    outcome: str
    """`success`; `failed`; `denied` if it was not approved; `retried` if it has not run, and the
    model is asked to call again."""
    content: str
    """What the model is told."""


@dataclass(frozen=True, slots=True)
class Progressed:
    """A sub-agent tells how far it is. Not kept: who was not listening does not hear of it."""

    run: str
    message: str
    fraction: float | None = None


Event = TextDelta | ToolStarted | ApprovalAsked | ToolFinished | Progressed
