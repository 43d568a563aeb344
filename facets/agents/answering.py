"""The tool calls of one response: each run and kept, then all of them one message in answer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pydantic_ai import messages as m

from facets.agents import approvals, calling
from facets.agents.events import ApprovalAsked, ToolFinished, ToolStarted

if TYPE_CHECKING:
    from facets.agents.agent import Agent
    from facets.agents.driving import Driver
    from facets.agents.turns import Turn


async def answer(driver: Driver, turn: Turn, response: m.ModelResponse) -> Turn:
    """Make the calls that have no result yet, at the same time; the turn with their results, or
    paused where some wait for approval."""
    agent = driver.agent
    kept = agent._turns.kept(turn).keys() | approvals.waiting(agent, turn)
    todo = [(at, one) for at, one in enumerate(response.tool_calls) if at not in kept]
    await driver.durable()
    try:
        async with asyncio.TaskGroup() as group:
            for at, part in todo:
                group.create_task(_one(driver, turn, at, part))
    except BaseExceptionGroup as several:
        raise several.exceptions[0] from None  # the first that ends the turn has ended all
    if len(agent._turns.kept(turn)) < len(response.tool_calls):
        return approvals.pause(agent, turn)
    return close(agent, turn, response)


def close(agent: Agent, turn: Turn, response: m.ModelResponse) -> Turn:
    """The results of its calls as one message; a model refuses calls that have none."""
    kept = agent._turns.kept(turn)
    parts = [
        calling.unpacked(kept[at]) if at in kept else calling.interrupted(part)
        for at, part in enumerate(response.tool_calls)
    ]
    head = agent.session.go_on(
        m.ModelRequest(parts=parts),
        id=f"{turn.id}:{turn.steps}:results",
        branch=turn.branch,
    )
    agent._turns.clear(turn)
    return agent._turns.update(turn.id, head=head)


async def _one(driver: Driver, turn: Turn, at: int, part: m.ToolCallPart) -> None:
    run = calling.ToolRun(f"{turn.id}:{turn.steps}:{at}", turn.id, part.tool_name)
    calling.RUNNING.set(run)
    driver.log.tell(turn.id, ToolStarted(turn.id, run.id, part.tool_name, part.args))
    try:
        # A task of its own, so that a tool that fails undoes its last step, and the result of
        # one that does not is kept with that step.
        await asyncio.create_task(_call_and_keep(driver, turn, at, part, run))
    except Exception as error:
        if driver.agent._active().broken is not None or calling.ends_turn(error):
            raise
        _keep(driver, turn, at, calling.told(part, error))
    await driver.durable()


async def _call_and_keep(
    driver: Driver, turn: Turn, at: int, part: m.ToolCallPart, run: calling.ToolRun
) -> None:
    tool, sent = calling.asked_for(driver.tools(), part)
    arguments = approvals.passed(driver.agent, run, tool, sent)
    if arguments is None:
        driver.log.keep(turn.id, ApprovalAsked(turn.id, run.id, tool.name, sent))
    else:
        _keep(driver, turn, at, await calling.call_tool(tool, part, arguments))


def _keep(driver: Driver, turn: Turn, at: int, result: m.ToolReturnPart) -> None:
    """The result, with the event that says so, in the open step, which ends here."""
    driver.agent._turns.keep(turn, at, calling.packed(result))
    id, said = f"{turn.id}:{turn.steps}:{at}", result.model_response_str()
    driver.log.keep(turn.id, ToolFinished(turn.id, id, result.tool_name, result.outcome, said))
