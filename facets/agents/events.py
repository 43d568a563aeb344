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
class ToolFinished:
    """A tool call is over, and what it led to is kept."""

    turn: str
    call: str
    name: str
    outcome: str
    """`success`; `failed`; `retried` if it has not run, and the model is asked to call again;
    `denied` if a hook blocked it."""
    content: str
    """What the model is told."""


@dataclass(frozen=True, slots=True)
class Retrying:
    """A request to the model failed and is made again. Text since the last response begins anew."""

    turn: str
    error: str
    wait: float
    """Seconds until then."""


@dataclass(frozen=True, slots=True)
class Progressed:
    """A sub-agent tells how far it is. Not kept: who was not listening does not hear of it."""

    run: str
    message: str
    fraction: float | None = None


Event = TextDelta | ToolStarted | ToolFinished | Retrying | Progressed
