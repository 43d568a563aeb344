"""One request to the model, and the response that is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic_ai import direct
from pydantic_ai import messages as m
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.tools import ToolDefinition

from facets.agents.compaction import fitting
from facets.agents.events import TextDelta
from facets.agents.reserving import reserved
from facets.agents.spending import charge, check

if TYPE_CHECKING:
    from facets.agents.driving import Driver
    from facets.agents.reserving import Hold
    from facets.agents.turns import Turn


async def respond(driver: Driver, turn: Turn) -> Turn:
    """Ask the model, and keep what it says with what it cost; the turn as it is then."""
    agent = driver.agent
    check(agent, turn)
    response, turn, over = await fitting(driver, turn, lambda turn: _attempt(driver, turn))
    if not response.tool_calls:
        driver.end(turn, "completed", output=response.text or "")
    elif over is not None:
        raise over
    driver.log.keep(turn.id)
    return agent._turns.get(turn.id)


async def _attempt(driver: Driver, turn: Turn) -> tuple[m.ModelResponse, Turn, Exception | None]:
    async with reserved(driver, turn) as held:
        await driver.durable()
        response = await _ask(driver, turn, driver.agent.blocks.shown(turn))
        return response, *_keep(driver, turn, response, held)


def _keep(
    driver: Driver, turn: Turn, response: m.ModelResponse, held: Hold
) -> tuple[Turn, Exception | None]:
    """The response as a message, and what it cost; why the turn may not go on, if it may not."""
    agent = driver.agent
    driver.log.responded(turn.id, response.text)
    head = agent.session.go_on(response, id=f"{turn.id}:{turn.steps + 1}", branch=turn.branch)
    turn = agent._turns.update(turn.id, steps=turn.steps + 1, head=head)
    return charge(agent, turn, response, held)


async def _ask(driver: Driver, turn: Turn, history: list[m.ModelMessage]) -> m.ModelResponse:
    parameters = _parameters(driver)
    model = driver.agent.model
    if not driver.log.followed(turn.id):
        return await direct.model_request(model, history, model_request_parameters=parameters)
    async with direct.model_request_stream(
        model, history, model_request_parameters=parameters
    ) as stream:
        async for event in stream:
            if text := _text(event):
                driver.log.tell(turn.id, TextDelta(turn.id, text))
        return stream.get()


def _parameters(driver: Driver) -> ModelRequestParameters:
    tools = [
        ToolDefinition(
            name=one.name,
            description=one.description,
            parameters_json_schema=dict(one.schema),
        )
        for one in driver.tools().values()
    ]
    return ModelRequestParameters(function_tools=tools)


def _text(event: Any) -> str:
    if isinstance(event, m.PartStartEvent) and isinstance(event.part, m.TextPart):
        return event.part.content
    if isinstance(event, m.PartDeltaEvent) and isinstance(event.delta, m.TextPartDelta):
        return event.delta.content_delta
    return ""
