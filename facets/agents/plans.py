"""Plans: how one turn, or one step of it, asks the model otherwise than its class says.

A plan is a row, in the step of the hook that made it: a turn that goes on after a crash has the
same plan, and the hook that made it does not run again.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from pydantic_ai.models import Model
    from pydantic_ai.settings import ModelSettings

    from facets.actor import Actor
    from facets.agents.agent import Agent
    from facets.agents.tool import Tool
    from facets.agents.turns import Turn

P = TypeVar("P", bound="StepPlan")


@dataclass(frozen=True, slots=True)
class StepPlan:
    """What one request to the model has instead of what holds otherwise. None leaves that."""

    model: str | None = None
    """A name in `Agent.models`, or one that pydantic-ai knows, as "openai:gpt-5"."""
    instructions: str | None = None
    added: str | None = None
    """Text behind the instructions, whatever they are. That of a step comes after its turn's."""
    model_settings: ModelSettings | None = None
    """Laid over the agent's: `{"temperature": 0.0}`, `{"tool_choice": "required"}`. What JSON can
    say."""
    tools: Sequence[str] | None = None
    """Names of those that the model is shown and may call. A name that no tool has is none."""


@dataclass(frozen=True, slots=True)
class TurnPlan(StepPlan):
    """The same for each step of a turn, over which the plan of a step is laid."""

    steps: int | None = None
    """Requests to the model that the turn may make, in place of `TurnLimits.steps`."""


class Plans:
    """The table of plans of turns that are not over. Changes belong to the current step."""

    __slots__ = ("_actor",)

    def __init__(self, actor: Actor) -> None:
        self._actor = actor

    def keep(self, turn: str, step: int, plan: StepPlan) -> None:
        """The plan of a step; 0 for the turn's. `TypeError` for what JSON cannot say."""
        said = {name: value for name, value in asdict(plan).items() if value is not None}
        body = json.dumps(said, allow_nan=False)
        self._sql("insert into agent_plans values (?, ?, ?)", turn, step, body)

    def has(self, turn: str, step: int) -> bool:
        """Whether the hook for it has run."""
        query = "select 1 from agent_plans where turn = ? and step = ?"
        return bool(self._sql(query, turn, step).all())

    def of(self, turn: str, step: int) -> TurnPlan:
        """What holds for a step: its own plan over the turn's."""
        query = "select body from agent_plans where turn = ? and step = ?"
        merged: dict[str, Any] = {}
        # One by one: "in (0, ?) order by" sorts in a table of its own, at twenty times the price.
        for at in dict.fromkeys((0, step)):
            body = self._sql(query, turn, at).value(None)
            plan = {} if body is None else json.loads(body)
            if "added" in plan and "added" in merged:
                plan["added"] = f"{merged['added']}\n\n{plan['added']}"
            if "model_settings" in plan:
                plan["model_settings"] = merged.get("model_settings", {}) | plan["model_settings"]
            merged |= plan
        return TurnPlan(**merged)

    def next(self, turn: Turn) -> TurnPlan:
        """What holds for the request that comes next."""
        return self.of(turn.id, turn.steps + 1)

    def clear(self, turn: str) -> None:
        """The turn is over."""
        self._sql("delete from agent_plans where turn = ?", turn)

    def _sql(self, query: str, *args: Any) -> Any:
        return self._actor.sql.unsafe(query, *args)


def model_of(agent: Agent, plan: StepPlan) -> Model | str:
    """The model that is asked."""
    return agent.model if plan.model is None else agent.models.get(plan.model, plan.model)


def settings_of(agent: Agent, plan: StepPlan) -> ModelSettings:
    """How it is asked."""
    return {**(agent.model_settings or {}), **(plan.model_settings or {})}


def active(tools: dict[str, Tool], plan: StepPlan) -> dict[str, Tool]:
    """Those of the tools that the model may call."""
    if plan.tools is None:
        return tools
    return {name: one for name, one in tools.items() if name in plan.tools}


def checked(plan: object, kind: type[P]) -> P:
    """What a hook returned, as the plan that it is; `TypeError`."""
    if plan is None:
        return kind()
    if isinstance(plan, StepPlan) and all(hasattr(kind, one.name) for one in fields(plan)):
        return kind(**{one.name: getattr(plan, one.name) for one in fields(plan)})
    raise TypeError(f"a {kind.__name__} or None was expected, not {plan!r}")
