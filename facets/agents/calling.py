"""One tool call of a model: found, checked, run, and told as what the model reads."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from pydantic_ai.exceptions import ModelRetry
from pydantic_ai.messages import (
    ModelMessagesTypeAdapter,
    ModelRequest,
    ToolCallPart,
    ToolReturnPart,
)
from pydantic_core import PydanticSerializationError

from actors.deadline import deadline, remaining
from actors.errors import DeadlineExceeded
from actors.quotas.errors import MeterQuota
from facets.agents.errors import BadToolArguments, HookFailed, NotApproved, OverBudget
from facets.agents.running import RUNNING as RUNNING
from facets.agents.running import ToolRun as ToolRun
from facets.agents.running import current as current

if TYPE_CHECKING:
    from collections.abc import Mapping

    from facets.agents.tool import Tool


def ends_turn(error: Exception) -> bool:
    """Whether it is not for the model to read: what ends the turn, time that is over only if it is
    the turn's own."""
    if isinstance(error, DeadlineExceeded):
        return remaining() == 0.0
    return isinstance(error, (MeterQuota, OverBudget, HookFailed))


def asked_for(tools: Mapping[str, Tool], part: ToolCallPart) -> tuple[Tool, dict[str, Any]]:
    """The tool that is called and its arguments, as they were sent; `BadToolArguments`."""
    tool = tools.get(part.tool_name)
    if tool is None:
        known = ", ".join(sorted(tools)) or "none"
        raise BadToolArguments(
            f"there is no tool {part.tool_name!r}; there are: {known}", name=part.tool_name
        )
    try:
        return tool, part.args_as_dict(raise_if_invalid=True)
    except (ValueError, AssertionError) as error:
        raise BadToolArguments(
            f"the arguments of {part.tool_name} are no JSON object", name=part.tool_name
        ) from error


async def call_tool(tool: Tool, part: ToolCallPart, arguments: dict[str, Any]) -> ToolReturnPart:
    """What the tool returned. What it raises is raised, and undoes its last step."""
    with nullcontext() if tool.seconds is None else deadline(tool.seconds):
        result = await tool.call(**arguments)
    return returned(part, result)


def returned(part: ToolCallPart, result: Any) -> ToolReturnPart:
    """What a call led to; PydanticSerializationError if it cannot be said in JSON."""
    made = ToolReturnPart(part.tool_name, result, part.tool_call_id)
    packed(made)
    return made


def blocked(part: ToolCallPart, reason: str) -> ToolReturnPart:
    """What stands for the result of a call that was not allowed."""
    return ToolReturnPart(part.tool_name, reason, part.tool_call_id, outcome="denied")


def told(part: ToolCallPart, error: Exception) -> ToolReturnPart:
    """An error as what the model reads: what happened, and no lines of ours."""
    if isinstance(error, (BadToolArguments, ModelRetry)):
        content, outcome = str(error), "retried"
    elif isinstance(error, NotApproved):
        content, outcome = error.message, "denied"
    elif isinstance(error, PydanticSerializationError):
        content, outcome = "the tool returned what JSON cannot say", "failed"
    else:
        content, outcome = f"{type(error).__name__}: {error}", "failed"
    made: Any = ToolReturnPart
    found: ToolReturnPart = made(part.tool_name, content, part.tool_call_id, outcome=outcome)
    return found


def without_result(part: ToolCallPart, answered: str | None) -> ToolReturnPart:
    """What stands for the result of a call whose turn ended before it had one, or by it."""
    if part.tool_name == answered:
        return ToolReturnPart(part.tool_name, "that is the output", part.tool_call_id)
    content = "the turn ended before this call did"
    return ToolReturnPart(part.tool_name, content, part.tool_call_id, outcome="interrupted")


def packed(part: ToolReturnPart) -> str:
    """As a text to keep; PydanticSerializationError if it cannot be said in JSON."""
    return ModelMessagesTypeAdapter.dump_json([ModelRequest(parts=[part])]).decode()


def unpacked(text: str) -> Any:
    """What was packed."""
    return ModelMessagesTypeAdapter.validate_json(text)[0].parts[0]
