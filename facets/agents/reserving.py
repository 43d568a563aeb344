"""Reservations: what a request to the model may cost is spent before it is made.

So a thousand sub-agents under one quota cannot all begin a request on the same last token. The
estimate is that of the input, some characters a token, and the most that the model may say: its
setting `max_tokens`, else OUTPUT. When the response is there, the rest is given back. A request of
which nobody knows what it has cost, as its process died or it was cancelled, has cost the estimate.

Who finds less than its estimate waits while requests are in flight under the same quota, in the
order in which they came: much of what those hold will be given back. With none in flight, all that
is left is taken, and the request may cost more than that: so what is spent exceeds a quota only as
far as estimates are wrong, by one request of those that came last.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.messages import ModelMessagesTypeAdapter, ModelResponse
from pydantic_ai.usage import RequestUsage

from facets.agents.errors import OverBudget
from facets.agents.plans import active, model_of, settings_of

if TYPE_CHECKING:
    from actors.node import Node
    from actors.quotas.meters import Reservation
    from facets.agents.agent import Agent
    from facets.agents.driving import Driver
    from facets.agents.plans import TurnPlan
    from facets.agents.turns import Turn

TOKENS, USD = "tokens", "usd"
"""The meters of `Quota(meters=...)`."""
OUTPUT = 2048
"""Tokens that a response is expected to have at most, where no setting says it."""
CHARACTERS = 4
"""Of a token, on average."""


class Hold:
    """What is reserved for one request."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._reserved: dict[str, Reservation] = {}

    def take(self, meter: str, amount: float) -> None:
        """Reserve so much, in the open step."""
        self._reserved[meter] = self._agent.meters.reserve(meter, amount).__enter__()

    def settle(self, meter: str, used: float) -> None:
        """So much was used, as of the open step. `MeterQuota` if more is used than is left, and
        what was reserved stays spent."""
        found = self._reserved.pop(meter, None)
        if found is None:
            self._agent.meters.spend(meter, used)
        else:
            found.settle(used)

    def release(self) -> None:
        """Nothing was used."""
        for meter in list(self._reserved):
            self.settle(meter, 0)


class Line:
    """Those who want some of one meter below one quota, the outermost that has it."""

    def __init__(self) -> None:
        self.first = asyncio.Lock()
        """Held by who is served; the others wait for it, in order."""
        self.flying: Counter[Node] = Counter()
        """Requests under way below each quota."""
        self._landed: asyncio.Future[None] | None = None

    async def landing(self) -> None:
        """Return when a request is over."""
        if self._landed is None:
            self._landed = asyncio.get_running_loop().create_future()
        await asyncio.shield(self._landed)

    def land(self, nodes: list[Node]) -> None:
        """A request below these is over."""
        self.flying.subtract(nodes)
        for one in nodes:
            if not self.flying[one]:
                del self.flying[one]  # which would keep a sub-agent that is deleted
        landed, self._landed = self._landed, None
        if landed is not None:
            landed.set_result(None)


_LINES: WeakKeyDictionary[Node, dict[str, Line]] = WeakKeyDictionary()


@asynccontextmanager
async def reserved(driver: Driver, turn: Turn) -> AsyncIterator[Hold]:
    """Hold what a request may cost, while it is made. `OverBudget` if nothing is left.

    What is not settled when the block ends stays spent, unless the model refused the request. What
    was held for one that was never made, as the other meter has nothing left, is given back.
    """
    hold = Hold(driver.agent)
    flown: list[tuple[Line, list[Node]]] = []
    try:
        await _take_all(hold, driver, turn, flown)
        try:
            yield hold
        except ModelHTTPError:
            hold.release()
            raise
    finally:
        for line, nodes in flown:
            line.land(nodes)


async def _take_all(
    hold: Hold, driver: Driver, turn: Turn, flown: list[tuple[Line, list[Node]]]
) -> None:
    try:
        for meter in (TOKENS, USD):
            nodes = _limiting(driver.agent, meter)
            if nodes:
                line = _line(nodes[-1], meter)
                async with line.first:
                    await _take(hold, driver, turn, meter, line)
                    line.flying.update(nodes)
                flown.append((line, nodes))
    except BaseException:
        if driver.agent._active().broken is None:
            hold.release()
        raise


async def _take(hold: Hold, driver: Driver, turn: Turn, meter: str, line: Line) -> None:
    agent = driver.agent
    wanted = estimate(driver, turn) if meter == TOKENS else _price(driver, turn)
    while True:
        left = agent.meters.left(meter)
        if left <= 0 and not any(line.flying[one] for one in _tight(agent, meter, 0)):
            raise OverBudget(
                f"nothing is left of the quota of {meter!r} above {agent.id}",
                hint="raise it: facets.set_quota(name, Quota(meters=...))",
                limit=meter,
                most=0,
            )
        if left >= wanted > 0 or not any(line.flying[one] for one in _tight(agent, meter, wanted)):
            hold.take(meter, min(wanted, left))
            return
        await line.landing()


def _limiting(agent: Agent, meter: str) -> list[Node]:
    """Whose quotas bound it, the innermost first."""
    held = agent._active().node.allowances
    return [one.node for one in held if meter in one.quota.meters]


def _tight(agent: Agent, meter: str, wanted: float) -> list[Node]:
    """Those of whose quotas not so much is left, or nothing."""
    return [
        one.node
        for one in agent._active().node.allowances
        if (most := one.quota.meters.get(meter)) is not None
        and most - one.used(meter) < max(wanted, 1e-12)
    ]


def _line(node: Node, meter: str) -> Line:
    return _LINES.setdefault(node, {}).setdefault(meter, Line())


# -- estimates ------------------------------------------------------------------------------------


def estimate(driver: Driver, turn: Turn) -> int:
    """Tokens that the next request may cost."""
    return _input(driver, turn) + _output(driver.agent, driver.agent._plans.next(turn))


def _input(driver: Driver, turn: Turn) -> int:
    history = driver.agent.blocks.shown(turn)
    shown = active(driver.tools(), driver.agent._plans.next(turn))
    tools = sum(len(f"{one.description}{one.schema}") for one in shown.values())
    return (len(ModelMessagesTypeAdapter.dump_json(history)) + tools) // CHARACTERS


def _output(agent: Agent, plan: TurnPlan) -> int:
    usual: Any = getattr(model_of(agent, plan), "settings", None) or {}
    most = settings_of(agent, plan).get("max_tokens") or usual.get("max_tokens")
    return int(most or OUTPUT)


def _price(driver: Driver, turn: Turn) -> float:
    """US dollars that it may cost; where no price is known, what those before it did."""
    plan = driver.agent._plans.next(turn)
    model: Any = model_of(driver.agent, plan)
    if isinstance(model, str):
        provider, _, name = model.rpartition(":")
    else:
        provider, name = model.system, model.model_name
    usage = RequestUsage(
        input_tokens=_input(driver, turn), output_tokens=_output(driver.agent, plan)
    )
    asked = ModelResponse(parts=[], usage=usage, model_name=name, provider_name=provider or None)
    try:
        return float(asked.cost().total_price)
    except (LookupError, ValueError):
        return turn.cost / max(turn.steps, 1)
