"""Errors of agents.

    FacetsError
    └── AgentError
        ├── BadToolDefinition     a function that cannot be a tool (TypeError)
        ├── BadToolArguments      a model's arguments are not what the tool takes (ValueError)
        ├── TurnFailed            a turn ended without an output
        │   ├── TurnAborted       it was cancelled, or made way for a later one
        │   └── TurnSkipped       it was dropped: another one was under way
        ├── TurnDiffers           the id is that of a turn with another prompt (ValueError)
        ├── NoSuchTurn            no turn has that id (LookupError)
        ├── NoSuchMessage         no message or branch has that name (LookupError)
        ├── MessageDiffers        the id is that of a message that says something else (ValueError)
        ├── BranchTaken           a branch of this name ends elsewhere (ValueError)
        ├── SplitsToolCall        a compaction would part a call from its result (ValueError)
        ├── NoSuchRun             no run of a sub-agent has that id (LookupError)
        ├── OverBudget            a turn would cross one of its limits
        ├── HookFailed            a hook of the agent raised
        └── ModelStalled          nothing comes from the model any more (TimeoutError)

Whatever ends a turn is kept with it, as text.
"""

from __future__ import annotations

from storage.errors import FacetsError


class AgentError(FacetsError):
    """Something about an agent."""


class BadToolDefinition(AgentError, TypeError):
    """The function cannot be a tool. Field: `name`."""

    hint = "annotate its parameters with types that JSON can say, and let all be given by name"
    name: str


class BadToolArguments(AgentError, ValueError):
    """The arguments are not what the tool takes; it did not run. The model is told, and may call
    again, so you get this only where you call a tool yourself. Field: `name`."""

    name: str


class TurnFailed(AgentError):
    """The turn ended without an output: the text says why. Fields: `turn`, its id; `status`."""

    turn: str
    status: str


class TurnAborted(TurnFailed):
    """The turn was cancelled, or made way for a later one. What it did until then stays."""


class TurnSkipped(TurnFailed):
    """Another turn was under way, and `concurrency = "drop"`: this one has not begun."""

    hint = "submit it again, under another id, when the other is over"


class TurnDiffers(AgentError, ValueError):
    """There is a turn of this id, with another prompt or on another branch. Field: `turn`."""

    hint = "an id names one turn for good; choose another"
    turn: str


class NoSuchTurn(AgentError, LookupError):
    """No turn has this id. Field: `turn`."""

    turn: str


class NoSuchMessage(AgentError, LookupError):
    """No message has this id, or no branch this name. Field: `name`."""

    name: str


class MessageDiffers(AgentError, ValueError):
    """There is a message of this id that says something else. Field: `name`."""

    hint = "an id names one message for good; choose another"
    name: str


class BranchTaken(AgentError, ValueError):
    """There is a branch of this name, and it ends elsewhere. Field: `name`."""

    hint = "choose another name"
    name: str


class SplitsToolCall(AgentError, ValueError):
    """A model that is shown a result without its call, or the other way round, refuses both.
    Field: `name`, the last message of the stretch."""

    hint = "let the stretch begin and end between turns"
    name: str


class NoSuchRun(AgentError, LookupError):
    """No run of a sub-agent has this id, or it is not that of whoever calls. Field: `run`."""

    run: str


class OverBudget(AgentError):
    """The turn would cross one of its limits. Fields: `limit`, its name in `TurnLimits`, `most`."""

    hint = "raise it in the class: limits = TurnLimits(...)"
    limit: str
    most: float


class HookFailed(AgentError):
    """A hook raised, or returned what it may not: the turn ends with this, which names the error.
    Field: `hook`, its name."""

    hint = "what the hook wrote is undone; what the turn did before it stays"
    hook: str


class ModelStalled(AgentError, TimeoutError):
    """A request to the model was given up: nothing came for too long. You get it only once the
    agent's `retries` are used up. Field: `seconds`."""

    hint = "allow more: retries = Retries(stall=...)"
    seconds: float
