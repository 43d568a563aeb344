"""Tokens and money: under the limits of a turn, and the quotas of the whole tree of agents."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from actors.quotas.errors import MeterQuota
from facets.agents.errors import OverBudget
from facets.agents.reserving import TOKENS, USD

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelResponse

    from facets.agents.agent import Agent
    from facets.agents.reserving import Hold
    from facets.agents.turns import Turn


def check(agent: Agent, turn: Turn, steps: int | None = None) -> None:
    """`OverBudget` if the turn may not make another request; `steps` in place of the limit."""
    limits = agent.limits
    for name, used, most in (
        ("steps", turn.steps, limits.steps if steps is None else steps),
        ("tokens", turn.tokens, limits.tokens),
        ("cost", turn.cost, limits.cost),
    ):
        if most is not None and used >= most:
            raise OverBudget(
                f"turn {turn.id!r} has used {used:g} of {most:g} {name}", limit=name, most=most
            )


def charge(
    agent: Agent, turn: Turn, response: ModelResponse, held: Hold
) -> tuple[Turn, Exception | None]:
    """What a response has cost, in the step that keeps it; the turn then, and why it may not go on.

    It is spent already, so that all of what is left of a quota goes where it is not enough."""
    tokens, cost = response.usage.total_tokens, price(response)
    over: Exception | None = None
    for meter, amount in ((TOKENS, tokens), (USD, cost or 0.0)):
        try:
            held.settle(meter, amount)
        except MeterQuota as error:
            over = error
            agent.meters.spend(meter, agent.meters.left(meter))
    priced = agent.limits.cost is not None or agent.meters.left(USD) < math.inf
    if cost is None and priced:
        over = OverBudget(
            f"nobody knows the price of {response.model_name!r}, and there is a limit on it",
            hint="let the model report its cost, or limit tokens",
            limit="cost",
            most=agent.limits.cost or 0,
        )
    turn = agent._turns.update(turn.id, tokens=turn.tokens + tokens, cost=turn.cost + (cost or 0.0))
    return turn, over


def price(response: ModelResponse) -> float | None:
    """US dollars; None if nobody knows."""
    if response.usage.cost is not None:
        return float(response.usage.cost)
    if not response.model_name:
        return None
    try:
        return float(response.cost().total_price)
    except (LookupError, ValueError):
        return None
