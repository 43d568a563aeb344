"""What extensions have to say in the turns of an agent.

An extension whose manifest hooks into one of `EVENTS` is told of it, as plain data: which tools are
called and how it goes, and what is said only if it may `see` turns. `turn` and `call` are texts of
the host's, the same for the same turn or call. It answers None, or what it may:

| event            | told                              | besides, to who may `see` | may answer |
|------------------|-----------------------------------|---------------------------|------------|
| before_turn      | `turn`                            | `branch prompt`           | `add`      |
| before_step      | `turn step`                       | `branch`                  | `add`      |
| before_tool_call | `turn call tool`                  | `branch arguments`        | `block`    |
| after_tool_call  | `turn call tool outcome seconds`  | `branch arguments content`| -          |
| after_step       | `turn step tools`                 | `branch text`             | -          |
| after_turn       | `turn status`                     | `branch output error`     | -          |

`{"add": text}` is added to the instructions, under the name of who added it; `{"block": reason}`
keeps a tool from being called, and the model reads the reason. Each only with the permission of
that name. Whatever else it answers changes nothing and is a strike, as is a hook that raises or
takes too long: a hook can narrow what an agent does, and never do more in its place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from facets.extensions.calling import opaque
from facets.extensions.hooks import Heard, Wrong, ask, heard

if TYPE_CHECKING:
    from facets.agents.agent import Agent
    from facets.agents.hooks import Step, ToolCall, ToolOutcome
    from facets.agents.plans import StepPlan
    from facets.agents.turns import Turn
    from facets.extensions.extensions import Extensions

EVENTS = frozenset({
    "before_turn", "before_step", "before_tool_call", "after_tool_call", "after_step", "after_turn",
})  # fmt: skip
ADDED = 4000
"""Characters that one extension may add to the instructions of a turn, or of a step."""
REASON = 500
"""Characters of a reason."""


def hears(extensions: Extensions, event: str) -> bool:
    """Whether anybody is to be told of it."""
    return event in EVENTS and bool(heard(extensions, event))


async def hear(agent: Agent, event: str, made: Any, *args: Any) -> Any:
    """Tell them; what the agent's own hook made of it, with what they may add to that."""
    assert agent.extensions is not None  # noqa: S101 - `hears` said so
    return await _TELL[event](agent, agent.extensions, made, *args)


async def _before_turn(agent: Agent, extensions: Extensions, made: Any, turn: Turn) -> Any:
    from facets.agents.plans import TurnPlan

    del agent
    added = await _added(extensions, "before_turn", _turn(turn), {"prompt": turn.prompt})
    return _with(made or TurnPlan(), added) if added else made


async def _before_step(agent: Agent, extensions: Extensions, made: Any, step: Step) -> Any:
    from facets.agents.plans import StepPlan

    del agent
    added = await _added(extensions, "before_step", _step(step), {})
    return _with(made or StepPlan(), added) if added else made


async def _before_tool_call(agent: Agent, extensions: Extensions, made: Any, call: ToolCall) -> Any:
    from facets.agents.hooks import Block, Substitute, WithArguments

    del agent
    if isinstance(made, (Block, Substitute)):
        return made  # it is not called in any case
    arguments = made.arguments if isinstance(made, WithArguments) else call.arguments
    for one in heard(extensions, "before_tool_call"):
        value = _seen(one, _call(call), {"arguments": dict(arguments)})
        answer = await ask(extensions, one, value, _may(one, "block", REASON))
        if answer is not None:
            return Block(f"{answer['block']} (said the extension {one[0].name})")
    return made


async def _after_tool_call(
    agent: Agent, extensions: Extensions, made: Any, call: ToolCall, outcome: ToolOutcome
) -> Any:
    del agent
    about = _call(call) | {"outcome": outcome.outcome, "seconds": outcome.seconds}
    seen = {"arguments": dict(call.arguments), "content": outcome.content}
    return await _tell(extensions, "after_tool_call", made, about, seen)


async def _after_step(agent: Agent, extensions: Extensions, made: Any, step: Step) -> Any:
    del agent
    response = step.response
    names = [] if response is None else [one.tool_name for one in response.tool_calls]
    text = "" if response is None else response.text or ""
    return await _tell(
        extensions, "after_step", made, _step(step) | {"tools": names}, {"text": text}
    )


async def _after_turn(agent: Agent, extensions: Extensions, made: Any, turn: Turn) -> Any:
    del agent
    seen = {"output": turn.output, "error": turn.error}
    about = _turn(turn) | {"status": turn.status}
    return await _tell(extensions, "after_turn", made, about, seen)


_TELL: Mapping[str, Callable[..., Any]] = {
    "before_turn": _before_turn,
    "before_step": _before_step,
    "before_tool_call": _before_tool_call,
    "after_tool_call": _after_tool_call,
    "after_step": _after_step,
    "after_turn": _after_turn,
}


# -- what they are told --------------------------------------------------------------------------


def _turn(turn: Turn) -> dict[str, Any]:
    return {"turn": turn.id, "branch": turn.branch}


def _step(step: Step) -> dict[str, Any]:
    return _turn(step.turn) | {"step": step.number}


def _call(call: ToolCall) -> dict[str, Any]:
    return _turn(call.turn) | {"call": call.id, "tool": call.name}


def _seen(one: Heard, about: dict[str, Any], seen: dict[str, Any]) -> dict[str, Any]:
    proposal = one[0]
    found = about | {key: opaque(proposal, about[key]) for key in ("turn", "call") if key in about}
    if "see" in proposal.manifest.permissions.turns:
        return found | seen
    del found["branch"]
    return found


# -- what they answer ----------------------------------------------------------------------------


async def _added(
    extensions: Extensions, event: str, about: dict[str, Any], seen: dict[str, Any]
) -> list[str]:
    found = []
    for one in heard(extensions, event):
        answer = await ask(extensions, one, _seen(one, about, seen), _may(one, "add", ADDED))
        if answer is not None:
            found.append(f"[Added by the extension {one[0].name}]\n{answer['add']}")
    return found


async def _tell(
    extensions: Extensions, event: str, made: Any, about: dict[str, Any], seen: dict[str, Any]
) -> Any:
    for one in heard(extensions, event):
        await ask(extensions, one, _seen(one, about, seen), _nothing)
    return made


def _may(one: Heard, what: str, most: int) -> Wrong:
    def wrong(answer: Any) -> str:
        if type(answer) is not dict or set(answer) != {what} or type(answer[what]) is not str:
            return f"it returned neither None nor {{{what!r}: text}}"
        if what not in one[0].manifest.permissions.turns:
            return f"it may not {what}: permissions.turns does not say so"
        return "" if len(answer[what]) <= most else f"more than {most} characters to {what}"

    return wrong


def _nothing(answer: Any) -> str:
    return f"it returned {type(answer).__name__}, and there is nothing to answer"


def _with(plan: StepPlan, added: list[str]) -> StepPlan:
    return replace(plan, added="\n\n".join(filter(None, [plan.added, *added])))
