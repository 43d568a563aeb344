"""Tool calls that somebody must approve: asked for, decided, and what a decision does to its turn.

A call that needs it is a row, and its turn is paused once nothing else of the response runs: no
task and no timer waits with it, only the one that ends it when its time is over. A decision is a
row, too, and the turn goes on from there in whichever process has the agent then.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pydantic_core import to_json

from actors.call import CURRENT, Guest
from facets.agents.errors import (
    ApprovalForbidden,
    NoSuchApproval,
    NotApproved,
    ToolChanged,
)

if TYPE_CHECKING:
    from actors.node import Node
    from facets.agents.agent import Agent
    from facets.agents.calling import ToolRun
    from facets.agents.driving import Driver
    from facets.agents.tool import Tool
    from facets.agents.turns import Turn

Decision = Literal["pending", "approved", "rejected", "expired", "withdrawn"]
TIMER = "facets.agents.approvals"
DRIVING = "_drive"
"""The method that turns run in, for chains of calls; no caller can name one like that."""
_SELECT = "select id, turn, tool, arguments, asked, expires, status, note from agent_approvals "


@dataclass(frozen=True, slots=True)
class Approval:
    """A tool call that waits for approval, or has waited."""

    id: str
    """That of the call: `facets.agents.current().id` once it runs."""
    turn: str
    tool: str
    arguments: dict[str, Any]
    """What it will be called with, and nothing else."""
    asked: float
    """Seconds since 1970."""
    expires: float | None
    """Seconds since 1970 when it is rejected by itself; None for never."""
    status: Decision = "pending"
    """`expired` if nobody decided in time; `withdrawn` if its turn ended before."""
    note: str | None = None
    """What whoever decided said; of a rejection the model reads it."""


class Approvals:
    """The table of approvals. Changes belong to the current step."""

    __slots__ = ("_agent",)

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    def find(self, id: str) -> Approval | None:
        """The approval of this id."""
        return _approval(self._agent.sql.unsafe(_SELECT + "where id = ?", id).first())

    def get(self, id: str) -> Approval:
        """The approval of this id; `NoSuchApproval`."""
        found = self.find(id)
        if found is None:
            raise NoSuchApproval(f"there is no approval {id!r}", approval=id)
        return found

    def list(self, status: Decision | None, turn: str | None = None) -> list[Approval]:
        """The oldest first."""
        # What is not asked for is left out, or no index would do.
        asked = {"status": status, "turn": turn}
        given = {name: value for name, value in asked.items() if value is not None}
        like = " and ".join(f"{name} = ?" for name in given) or "true"
        rows = self._agent.sql.unsafe(f"{_SELECT}where {like} order by seq", *given.values())
        return [found for row in rows if (found := _approval(row))]

    def ask(self, run: ToolRun, tool: Tool, arguments: Mapping[str, Any]) -> None:
        """A call waits, as of this step."""
        now, lasts = _now(self._agent), self._agent.approval_seconds
        self._agent.sql(
            "insert into agent_approvals(id, turn, tool, arguments, shape, asked, expires, status) "
            "values (?, ?, ?, ?, ?, ?, ?, 'pending')",
            run.id,
            run.turn,
            tool.name,
            to_json(arguments).decode(),
            _shape(tool),
            now,
            None if lasts is None else now + lasts,
        )
        self.rearm()

    def decide(self, id: str, status: Decision, note: str | None) -> None:
        """What becomes of it."""
        self._agent.sql(
            "update agent_approvals set status = ?, note = ? where id = ? and status = 'pending'",
            status,
            note,
            id,
        )
        self.rearm()

    def withdraw(self, turn: str) -> None:
        """Those of a turn that is over need no decision."""
        gone = self._agent.sql(
            "update agent_approvals set status = 'withdrawn' where turn = ? and status = 'pending' "
            "returning id",
            turn,
        )
        if gone:
            self.rearm()

    def check_same(self, id: str, tool: Tool | None) -> None:
        """`ToolChanged` if the tool is not what it was when this was asked for."""
        found = self.get(id)
        shape = self._agent.sql("select shape from agent_approvals where id = ?", id).value()
        if tool is None or _shape(tool) != shape:
            why = "is gone" if tool is None else "takes other arguments now"
            raise ToolChanged(
                f"the tool {found.tool!r} {why}: the call {id} was asked for before that, and is "
                "not made",
                approval=id,
                tool=found.tool,
            )

    def rearm(self) -> None:
        """Let the timer tick when the next one expires."""
        soonest = self._agent.sql(
            "select min(expires) from agent_approvals where status = 'pending'"
        ).value()
        if soonest is None:
            self._agent.timers.cancel(TIMER)
        else:
            self._agent.timers.at(soonest, self._agent._expire, name=TIMER)


# -- asked for ---------------------------------------------------------------------------------


def passed(
    agent: Agent, run: ToolRun, tool: Tool, arguments: dict[str, Any]
) -> dict[str, Any] | None:
    """What the call is made with; None if it waits for approval, as of this step.

    What was approved is what runs, whatever the arguments of a call made again are. `NotApproved`,
    `ToolChanged`; `BadToolArguments` before anybody is asked.
    """
    approvals = Approvals(agent)
    found = approvals.find(run.id)
    if found is not None:
        return _decided(approvals, found, tool)
    if not _needed(tool, arguments):
        return arguments
    approvals.ask(run, tool, arguments)
    return None


def _decided(approvals: Approvals, found: Approval, tool: Tool) -> dict[str, Any]:
    if found.status != "approved":
        why = f": {found.note}" if found.note else ""
        raise NotApproved(
            f"the call of {found.tool} was not approved ({found.status}){why}", approval=found.id
        )
    approvals.check_same(found.id, tool)
    return found.arguments


def _needed(tool: Tool, arguments: dict[str, Any]) -> bool:
    """Whether somebody must approve; whoever asks is shown arguments that the tool takes."""
    if tool.approval is False:
        return False
    checked = arguments if tool.check is None else tool.check(arguments)
    if tool.approval is True:
        return True
    if callable(tool.approval):
        return bool(tool.approval(checked))
    return _by_rules(tool, checked)


def _by_rules(tool: Tool, arguments: dict[str, Any]) -> bool:
    from facets.codemode.operation import Operation
    from facets.codemode.policy import decide
    from facets.codemode.schema import Schema

    rules: Any = tool.approval
    operation = Operation("agent", tool.name, tool.call, Schema(dict(tool.schema)))
    decision = decide(rules, operation, arguments)
    if decision == "deny":
        raise NotApproved(f"a rule denies this call of {tool.name}", approval="")
    return decision == "ask"


def pause(agent: Agent, turn: Turn) -> Turn:
    """The turn waits, unless one of its calls was decided while others ran."""
    kept = agent._turns.kept(turn)
    asked = Approvals(agent).list(None, turn.id)
    here = [one for one in asked if _place(one, turn) not in (None, *kept)]
    if any(one.status != "pending" for one in here):
        return turn
    return agent._turns.update(turn.id, status="paused", paused=_now(agent))


def waiting(agent: Agent, turn: Turn) -> set[int]:
    """The places, in the newest response, of calls that nobody has decided."""
    found = (_place(one, turn) for one in Approvals(agent).list("pending", turn.id))
    return {place for place in found if place is not None}


def _place(approval: Approval, turn: Turn) -> int | None:
    """Where its call stands in the newest response of the turn; None if in an older one."""
    step, _, place = approval.id.removeprefix(f"{turn.id}:").partition(":")
    return int(place) if step == str(turn.steps) else None


# -- decided -----------------------------------------------------------------------------------


def decide(driver: Driver, id: str, status: Decision, note: str | None) -> Approval:
    """What `Agent.approve` and `Agent.reject` do."""
    agent = driver.agent
    check_caller(agent)
    expire(driver)
    approvals = Approvals(agent)
    found = approvals.get(id)
    if found.status == "pending":
        if status == "approved":
            approvals.check_same(id, driver.tools().get(found.tool))
        approvals.decide(id, status, note)
        _resume(driver, found.turn)
    return approvals.get(id)


def expire(driver: Driver) -> None:
    """Reject what nobody has decided in time."""
    approvals, now = Approvals(driver.agent), _now(driver.agent)
    for one in approvals.list("pending"):
        if one.expires is not None and one.expires <= now:
            approvals.decide(one.id, "expired", "nobody decided in time")
            _resume(driver, one.turn)
    approvals.rearm()


def _resume(driver: Driver, id: str) -> None:
    turns = driver.agent._turns
    turn = turns.get(id)
    if turn.paused is not None:
        waited = turn.waited + _now(driver.agent) - turn.paused
        turns.update(id, status="running", paused=None, waited=waited)
    driver.wake()


def check_caller(agent: Agent) -> None:
    """`ApprovalForbidden` for what a turn of this agent calls, for its isolates, whoever runs them,
    and for all that is below it: what a model reads, writes or calls cannot approve what it asks
    for."""
    call, node = CURRENT.get(), agent._active().node
    for one in () if call is None else call.ancestry():
        who = one.activation.node
        own = who is node and (one.method == DRIVING or isinstance(one, Guest))
        if own or _below(who, node):
            raise ApprovalForbidden(f"{one} is part of what {agent.id} runs, and may not decide")


def _below(node: Node, above: Node) -> bool:
    return node.parent is not None and (node.parent is above or _below(node.parent, above))


def _shape(tool: Tool) -> str:
    """What tells a changed tool from the one that was approved: the schema of its arguments."""
    return hashlib.sha256(json.dumps(tool.schema, sort_keys=True).encode()).hexdigest()


def _now(agent: Agent) -> float:
    return agent._active().node.host.clock.now()


def _approval(row: Any) -> Approval | None:
    if row is None:
        return None
    id, turn, tool, arguments, *rest = row
    return Approval(id, turn, tool, json.loads(arguments), *rest)
