"""The tool calls of one response: each run and kept, then all of them one message in answer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from pydantic_ai import messages as m

from facets.agents import approvals, calling, hooks, output
from facets.agents.events import ApprovalAsked, ToolFinished, ToolStarted
from facets.agents.plans import active
from facets.agents.retrying import Attempts

if TYPE_CHECKING:
    from facets.agents.agent import Agent
    from facets.agents.driving import Driver
    from facets.agents.turns import Turn


async def answer(driver: Driver, turn: Turn, response: m.ModelResponse) -> Turn:
    """Make the calls that have no result yet, at the same time; the turn with their results, or
    paused where some wait for approval."""
    agent = driver.agent
    calls = [Call(driver, turn, at, one) for at, one in enumerate(response.tool_calls)]
    kept = agent._turns.kept(turn).keys() | approvals.waiting(agent, turn)
    unheard = agent._turns.unheard(turn)
    await driver.durable()
    try:
        async with asyncio.TaskGroup() as group:
            for one in calls:
                if one.at not in kept:
                    group.create_task(one.run())
                elif one.at in unheard:
                    group.create_task(one.hear())
    except BaseExceptionGroup as several:
        raise several.exceptions[0] from None  # the first that ends the turn has ended all
    if len(agent._turns.kept(turn)) < len(calls):
        Attempts(agent).clear(turn.id)  # nothing cuts it off: it goes on when it is let
        return approvals.pause(agent, turn)
    return await hooks.after_step(
        agent, turn, response, lambda agent, turn: close(agent, turn, response)
    )


def close(agent: Agent, turn: Turn, response: m.ModelResponse, answered: str | None = None) -> Turn:
    """The results of its calls as one message; a model refuses calls that have none. `answered` is
    the tool of an output that the turn ends with."""
    kept = agent._turns.kept(turn)
    parts = [
        calling.unpacked(kept[at]) if at in kept else calling.without_result(part, answered)
        for at, part in enumerate(response.tool_calls)
    ]
    head = agent.session.go_on(
        m.ModelRequest(parts=parts),
        id=f"{turn.id}:{turn.steps}:results",
        branch=turn.branch,
    )
    agent._turns.clear(turn)
    Attempts(agent).clear(turn.id)
    retries = turn.retries + output.wrong(agent, response)
    return agent._turns.update(turn.id, head=head, retries=retries)


class Call:
    """One of the calls: hooks, the tool, and what is kept of it."""

    def __init__(self, driver: Driver, turn: Turn, at: int, part: m.ToolCallPart) -> None:
        self._driver = driver
        self._agent = driver.agent
        self._turn = turn
        self.at = at
        """Its place in the response."""
        self._part = part
        self._run = calling.ToolRun(f"{turn.id}:{turn.steps}:{at}", turn.id, part.tool_name)
        self._heard = False
        """It is a call of a tool that is there, which `after_tool_call` hears of."""
        self._unheard = False
        """Its result is kept, and is to be heard of."""

    async def run(self) -> None:
        """Make it, keep what it led to, and tell those who listen. What ends the turn is raised."""
        part, turn = self._part, self._turn
        calling.RUNNING.set(self._run)
        self._driver.log.tell(
            turn.id, ToolStarted(turn.id, self._run.id, part.tool_name, part.args)
        )
        began = self._time()
        try:
            # A task of its own, so that a tool that fails undoes its last step, and the result of
            # one that does not is kept with that step.
            await hooks.apart(self._run_and_keep(began))
        except Exception as error:
            if self._agent._active().broken is not None or calling.ends_turn(error):
                raise
            self._keep(calling.told(part, error), began)
        await self._driver.durable()
        if self._unheard:
            await self.hear()

    async def hear(self) -> None:
        """Tell `after_tool_call` of a result that is kept, once."""
        await hooks.apart(self._hear())

    async def _run_and_keep(self, began: float) -> None:
        result = await self._result()
        if result is not None:
            self._keep(result, began)

    async def _result(self) -> m.ToolReturnPart | None:
        """What the tool returned, or what `before_tool_call` says in its place; None if the call
        waits for approval."""
        part, turn = self._part, self._turn
        output.of(self._agent).refuse(part)
        tools = active(self._driver.tools(), self._agent._plans.of(turn.id, turn.steps))
        tool, arguments = calling.asked_for(tools, part)
        self._heard = True
        verdict = await self._judged(arguments)
        if isinstance(verdict, hooks.Block):
            return calling.blocked(part, verdict.reason)
        if isinstance(verdict, hooks.Substitute):
            return calling.returned(part, verdict.result)
        if isinstance(verdict, hooks.WithArguments):
            arguments = dict(verdict.arguments)
        passed = approvals.passed(self._agent, self._run, tool, arguments)
        if passed is not None:
            return await calling.call_tool(tool, part, passed)
        self._driver.log.keep(turn.id, ApprovalAsked(turn.id, self._run.id, tool.name, arguments))
        return None

    async def _judged(self, arguments: dict[str, Any]) -> hooks.Verdict | None:
        """What the hook says, unless somebody has decided on what it said before."""
        asked = hooks.defined(self._agent, "before_tool_call")
        if not asked or approvals.Approvals(self._agent).find(self._run.id) is not None:
            return None
        return await hooks.before_tool_call(self._agent, self._told(arguments))

    def _keep(self, result: m.ToolReturnPart, began: float) -> None:
        """The result, with the event that says so, in the open step, which ends here."""
        self._unheard = self._heard and hooks.defined(self._agent, "after_tool_call")
        took = self._time() - began if self._unheard else None
        self._agent._turns.keep(self._turn, self.at, calling.packed(result), took)
        id, name, said = self._turn.id, result.tool_name, result.model_response_str()
        self._driver.log.keep(id, ToolFinished(id, self._run.id, name, result.outcome, said))

    async def _hear(self) -> None:
        result = calling.unpacked(self._agent._turns.kept(self._turn)[self.at])
        took = self._agent._turns.unheard(self._turn)[self.at]
        outcome = hooks.ToolOutcome(result.outcome, result.model_response_str(), took)
        told = self._told(self._part.args_as_dict())
        await hooks.call(self._agent, "after_tool_call", told, outcome)
        self._agent._turns.heard(self._turn, self.at)

    def _told(self, arguments: dict[str, Any]) -> hooks.ToolCall:
        return hooks.ToolCall(self._run.id, self._turn, self._part.tool_name, arguments)

    def _time(self) -> float:
        return self._agent._active().node.host.clock.time()
