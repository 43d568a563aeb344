"""One request to the model, and the response that is kept."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

from pydantic_ai import direct
from pydantic_ai import messages as m
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.tools import ToolDefinition

from facets.agents import hooks, output
from facets.agents.compaction import fitting
from facets.agents.events import TextDelta
from facets.agents.plans import active, model_of, settings_of
from facets.agents.reserving import reserved
from facets.agents.retrying import Attempts, patiently, within
from facets.agents.spending import charge, check

if TYPE_CHECKING:
    from facets.agents.driving import Driver
    from facets.agents.plans import TurnPlan
    from facets.agents.reserving import Hold
    from facets.agents.turns import Turn


async def respond(driver: Driver, turn: Turn) -> Turn:
    """Ask the model, and keep what it says with what it cost; the turn as it is then."""
    agent = driver.agent
    check(agent, turn, agent._plans.of(turn.id, 0).steps)
    await hooks.before_step(driver, turn)
    response, over = await patiently(driver, turn, lambda: fitting(driver, turn, _attempt))
    if output.outcome(agent, response) is None:
        if over is not None:
            raise over
        driver.log.keep(turn.id)
    return agent._turns.get(turn.id)


async def _attempt(driver: Driver, turn: Turn) -> tuple[m.ModelResponse, Exception | None]:
    async with reserved(driver, turn) as held:
        await driver.durable()
        response = await _ask(driver, turn)
        return response, _keep(driver, turn, response, held)


def _keep(driver: Driver, turn: Turn, response: m.ModelResponse, held: Hold) -> Exception | None:
    """The response as a message, and what it cost; why the turn may not go on, if it may not."""
    agent = driver.agent
    driver.log.responded(turn.id, response.text)
    head = agent.session.go_on(response, id=f"{turn.id}:{turn.steps + 1}", branch=turn.branch)
    turn = agent._turns.update(turn.id, steps=turn.steps + 1, head=head)
    Attempts(agent).clear(turn.id)
    _, over = charge(agent, turn, response, held)
    return over


async def _ask(driver: Driver, turn: Turn) -> m.ModelResponse:
    agent = driver.agent
    plan = agent._plans.next(turn)
    model, history = model_of(agent, plan), agent.blocks.shown(turn)
    kwargs: dict[str, Any] = {
        "model_settings": settings_of(agent, plan) or None,
        "model_request_parameters": _parameters(driver, plan, history),
    }
    clock, stall = agent._active().node.host.clock, agent.retries.stall
    if not (driver.log.followed(turn.id) or hooks.defined(agent, "on_text")):
        return await within(clock, stall, direct.model_request(model, history, **kwargs))
    async with AsyncExitStack() as stack:
        opening = stack.enter_async_context(direct.model_request_stream(model, history, **kwargs))
        stream = await within(clock, stall, opening)
        events = aiter(stream)
        while (event := await within(clock, stall, anext(events, None))) is not None:
            if text := _text(event):
                driver.log.tell(turn.id, TextDelta(turn.id, text))
                await hooks.tell(agent, "on_text", turn, text)
        return stream.get()


def _parameters(
    driver: Driver, plan: TurnPlan, history: list[m.ModelMessage]
) -> ModelRequestParameters:
    tools = [
        ToolDefinition(
            name=one.name,
            description=one.description,
            parameters_json_schema=dict(one.schema),
        )
        for one in active(driver.tools(), plan).values()
    ]
    outputs = output.of(driver.agent)
    return ModelRequestParameters(
        function_tools=tools,
        instruction_parts=_said(plan, history),
        output_mode="tool" if outputs.shapes else "text",
        output_tools=outputs.definitions(),
        allow_text_output=outputs.text,
    )


def _said(plan: TurnPlan, history: list[m.ModelMessage]) -> list[m.InstructionPart] | None:
    """The instructions of a plan; None where it leaves them as they are."""
    if plan.instructions is None and plan.added is None:
        return None
    usual = history[-1].instructions if isinstance(history[-1], m.ModelRequest) else None
    texts = [usual if plan.instructions is None else plan.instructions, plan.added]
    return [m.InstructionPart(one) for one in texts if one]


def _text(event: Any) -> str:
    if isinstance(event, m.PartStartEvent) and isinstance(event.part, m.TextPart):
        return event.part.content
    if isinstance(event, m.PartDeltaEvent) and isinstance(event.delta, m.TextPartDelta):
        return event.delta.content_delta
    return ""
