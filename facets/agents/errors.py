"""Errors of agents.

    FacetsError
    └── AgentError
        ├── BadToolDefinition     a function that cannot be a tool (TypeError)
        ├── BadToolArguments      a model's arguments are not what the tool takes (ValueError)
        ├── TurnFailed            a turn ended without an output
        │   ├── TurnAborted       it was cancelled, or made way for a later one
        │   └── TurnSkipped       it was dropped: another one was under way
        ├── TurnOpen              the turn is not over
        ├── BadOutput             a model's output is not what `output_type` takes (ValueError)
        ├── BadOutputType         a type that JSON cannot say (TypeError)
        ├── TurnDiffers           the id is that of a turn with another prompt (ValueError)
        ├── NoSuchTurn            no turn has that id (LookupError)
        ├── NoSuchMessage         no message or branch has that name (LookupError)
        ├── MessageDiffers        the id is that of a message that says something else (ValueError)
        ├── MessageTooLarge       a message has more than one may have (ValueError)
        ├── BadMessages           what was to be imported is no list of messages (ValueError)
        ├── BranchBusy            a turn of the branch is under way
        ├── BadContext            blocks that a class cannot have (TypeError)
        ├── NoSuchBlock           no block of this kind has that label (LookupError)
        ├── NoSuchSkill           no skill, or file of one, has that name (LookupError)
        ├── BlockTooLong          a text is longer than its block may be (ValueError)
        ├── CompactionFailed      the model made no summary of a history that is too long
        ├── BranchTaken           a branch of this name ends elsewhere (ValueError)
        ├── SplitsToolCall        a compaction would part a call from its result (ValueError)
        ├── NoSuchApproval        no approval has that id (LookupError)
        ├── ApprovalForbidden     what an agent runs would approve its own calls (PermissionError)
        ├── NotApproved           a call was not approved; its model is told (PermissionError)
        ├── ToolChanged           a call was asked for when its tool was another one
        ├── NoSuchRun             no run of a sub-agent has that id (LookupError)
        ├── OtherParent           the parent is not an agent of that class (TypeError)
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


class TurnOpen(AgentError):
    """The turn is not over, or it is and the parent that asked for it has not heard. Field:
    `turn`."""

    hint = "cancel it, or wait for it"
    turn: str


class BadOutput(AgentError, ValueError):
    """The model gave no output that `output_type` takes, and was asked often enough: it ends the
    turn. Or the type has changed, and does not take what an earlier turn ended with."""

    hint = "say more about the type in descriptions of its fields, or raise output_retries"


class BadOutputType(AgentError, TypeError):
    """A model cannot be told what this type is, or which of several."""

    hint = "use a pydantic model, a dataclass, a TypedDict, or a union of such that have names"


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


class MessageTooLarge(AgentError, ValueError):
    """The message is larger than one may be. Fields: `name`, its id; `size` and `limit`, in
    characters of JSON."""

    hint = "attach what is large, and say in the message where it is"
    name: str
    size: int
    limit: int


class BadMessages(AgentError, ValueError):
    """It is not a JSON array of pydantic-ai's messages, or no model would take them: a result
    without its call."""

    hint = "export_messages, or pydantic-ai's ModelMessagesTypeAdapter, makes what can be imported"


class BranchBusy(AgentError):
    """A turn of this branch has begun and is not over: what was put between its messages could part
    a call from its result. Fields: `branch`, `turn`."""

    hint = "steer the turn, submit a prompt, which waits for its end, or append to a fork"
    branch: str
    turn: str


class BadContext(AgentError, TypeError):
    """The blocks of a class do not go together. Field: `label`."""

    hint = "give each block a label of its own, of letters, digits, _ and -"
    label: str


class NoSuchBlock(AgentError, LookupError):
    """No block of this kind has that label; the model may be who asked. Field: `label`."""

    label: str


class NoSuchSkill(AgentError, LookupError):
    """No skill, or no file of it, has that name; the model may be who asked. Field: `name`."""

    name: str


class BlockTooLong(AgentError, ValueError):
    """The text is longer than its block, entry or skill may be, and nothing has changed. Fields:
    `label`; `tokens`, about as many as it has; `most`."""

    hint = "say it shorter, or raise max_tokens of the block"
    label: str
    tokens: int
    most: int


class CompactionFailed(AgentError):
    """The model that was asked for a summary of the history gave none; the turn ends."""

    hint = "set compaction_model to one that can"


class BranchTaken(AgentError, ValueError):
    """There is a branch of this name, and it ends elsewhere. Field: `name`."""

    hint = "choose another name"
    name: str


class SplitsToolCall(AgentError, ValueError):
    """A model that is shown a result without its call, or the other way round, refuses both.
    Field: `name`, the last message of the stretch."""

    hint = "let the stretch begin and end between turns"
    name: str


class NoSuchApproval(AgentError, LookupError):
    """No tool call with this id has waited for approval. Field: `approval`."""

    approval: str


class ApprovalForbidden(AgentError, PermissionError):
    """Whoever would decide is a tool, or an isolate, or an agent below: part of what is decided
    about."""

    hint = "decide in a call from outside of the agent, by somebody it does not speak for"


class NotApproved(AgentError, PermissionError):
    """The call was rejected, or nobody decided in time, or a rule denies it; it did not run. The
    model is told, so you do not get this. Field: `approval`, its id."""

    approval: str


class ToolChanged(AgentError):
    """The tool takes other arguments than when the call was asked for, or is gone, so nobody can
    say what would run. Fields: `approval`, its id; `tool`, its name."""

    hint = "reject the call, with a note for the model, which may make another one"
    approval: str
    tool: str


class NoSuchRun(AgentError, LookupError):
    """No run of a sub-agent has this id, or it is not that of whoever calls. Field: `run`."""

    run: str


class OtherParent(AgentError, TypeError):
    """The parent is of another class, or there is none. Field: `wanted`, the class."""

    hint = "self.path says what is above; self.parent is a stub of it, whatever it is"
    wanted: str


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
