"""Hooks: methods of an agent that run at fixed places of a turn.

    before_turn        once a turn, before its first request; a plan for the turn
    before_step        once a step, before its request; a plan for the step
    on_text            each piece of text that the model says, as it comes
    before_tool_call   each call, before the tool runs
    after_tool_call    each call, once its result is kept
    after_step         each response, once the results of its calls are in
    after_turn         in the step that ends a turn which had begun
    on_error           a request that failed, an error that ends a turn

A hook that is not defined costs nothing. Each one runs in a task of its own, so that what it wrote
is undone if it raises; then the turn ends with `HookFailed`, and what was kept before stays. What
tells that a hook has run is kept with its last step: one that does not await has its effect on the
agent's data once, whatever crashes; of one that awaits, the steps before the crash are repeated.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from facets.agents.errors import HookFailed
from facets.agents.plans import StepPlan, TurnPlan, checked

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelResponse

    from facets.agents.agent import Agent
    from facets.agents.driving import Driver
    from facets.agents.turns import Turn

T = TypeVar("T")
Stage = Literal["request", "turn"]
"""What an error is of: a request to the model, which may be tried again, or a turn that it ends."""
HOOKS = frozenset({
    "before_turn", "before_step", "on_text", "before_tool_call", "after_tool_call", "after_step",
    "after_turn", "on_error",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Step:
    """One request to the model, and the calls that follow from it."""

    turn: Turn
    number: int
    """1 for the first one of the turn."""
    response: ModelResponse | None = None
    """What the model said; None before it has."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call that the model made of a tool which is there."""

    id: str
    """As in `current()`: the same whenever the call is made again."""
    turn: Turn
    name: str
    arguments: Mapping[str, Any]
    """As the model sent them, not checked yet."""


@dataclass(frozen=True, slots=True)
class WithArguments:
    """Call the tool with these arguments. The model is not told."""

    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Block:
    """Do not call the tool; the model reads the reason."""

    reason: str


@dataclass(frozen=True, slots=True)
class Substitute:
    """Do not call the tool: this is its result. What JSON can say."""

    result: Any


Verdict = WithArguments | Block | Substitute


@dataclass(frozen=True, slots=True)
class ToolOutcome:
    """What became of a call, as the model reads it."""

    outcome: str
    """`success`, `failed`, `retried` if the call was no good, `denied` if it was not allowed."""
    content: str
    seconds: float
    """That it took, by the runtime's clock."""


def defined(agent: Agent, name: str) -> bool:
    """Whether a subclass has this hook, or an extension hears of it."""
    from facets.agents.agent import Agent

    return getattr(type(agent), name) is not getattr(Agent, name) or _extended(agent, name)


def _extended(agent: Agent, name: str) -> bool:
    if agent.extensions is None:
        return False
    from facets.extensions.turns import hears

    return hears(agent.extensions, name)


async def call(agent: Agent, name: str, *args: Any) -> Any:
    """Run a hook in the task that is there, then those of extensions; `HookFailed` from what it
    raises. What an extension does wrong is a strike of its own."""
    try:
        made = await getattr(agent, name)(*args)
        if not _extended(agent, name):
            return made
        from facets.extensions.turns import hear

        return await hear(agent, name, made, *args)
    except Exception as error:
        raise _failed(agent, name, error) from error


async def tell(agent: Agent, name: str, *args: Any) -> None:
    """The same in a task of its own, if the hook is defined; nothing comes of it."""
    if defined(agent, name):
        await apart(call(agent, name, *args))


async def apart(work: Coroutine[Any, Any, T]) -> T:
    """In a task of its own: the step that is open there is undone if it raises."""
    return await asyncio.create_task(work)


def _failed(agent: Agent, name: str, error: Exception) -> Exception:
    if agent._active().broken is not None or isinstance(error, HookFailed):
        return error
    return HookFailed(f"{name} raised {type(error).__name__}: {error}", hook=name)


# -- those that say something ---------------------------------------------------------------------


async def before_turn(driver: Driver, turn: Turn) -> None:
    """Keep the plan of a turn that is at its beginning, unless there is one."""
    agent = driver.agent
    if not defined(agent, "before_turn") or turn.steps or agent._plans.has(turn.id, 0):
        return
    await driver.durable()  # that the turn has begun: if the hook kills the process, it counts
    await apart(_plan(agent, "before_turn", TurnPlan, turn, turn, 0))


async def before_step(driver: Driver, turn: Turn) -> None:
    """Keep the plan of the step that comes now, unless there is one."""
    agent, number = driver.agent, turn.steps + 1
    if not defined(agent, "before_step") or agent._plans.has(turn.id, number):
        return
    await apart(_plan(agent, "before_step", StepPlan, Step(turn, number), turn, number))


async def _plan(
    agent: Agent, name: str, kind: type[StepPlan], about: Turn | Step, turn: Turn, number: int
) -> None:
    made = await call(agent, name, about)
    try:
        agent._plans.keep(turn.id, number, checked(made, kind))
    except (TypeError, ValueError) as error:
        raise _failed(agent, name, error) from error


async def after_step(
    agent: Agent, turn: Turn, response: ModelResponse, then: Callable[[Agent, Turn], Turn]
) -> Turn:
    """What `then` returns: it keeps that the step is over, in the last step of the hook."""
    if not defined(agent, "after_step"):
        return then(agent, turn)

    async def both() -> Turn:
        await call(agent, "after_step", Step(turn, turn.steps, response))
        return then(agent, turn)

    return await apart(both())


async def before_tool_call(agent: Agent, made: ToolCall) -> Verdict | None:
    """What is to become of a call, where the hook is defined."""
    verdict = await call(agent, "before_tool_call", made)
    if verdict is None or isinstance(verdict, (WithArguments, Block, Substitute)):
        return verdict
    raise _failed(agent, "before_tool_call", TypeError(f"{verdict!r} is no verdict"))
