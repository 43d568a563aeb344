"""What a turn ends with: text, or data of a type, for which the model is given tools to answer by.

Such an answer is kept as the model sent it, once it is valid, with the name of its tool; it is made
an object of the type wherever it is read. So rows outlive changes of the class, if the new one
still takes them.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from types import UnionType
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin

from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError
from pydantic_ai import messages as m
from pydantic_ai.tools import ToolDefinition

from facets.agents.errors import BadOutput, BadOutputType, BadToolArguments
from facets.agents.tool import explained

if TYPE_CHECKING:
    from collections.abc import Mapping

    from facets.agents.agent import Agent
    from facets.agents.turns import Turn

NAME = "final_result"
WRAPPED = "response"
"""The argument that a type is put in which is no JSON object."""
_ABOUT = "Answer with this, and nothing else, when you are done."


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a response ends its turn with."""

    output: str
    """Text, or JSON as the model sent it."""
    answered: str | None
    """The tool by which it came; None for text."""


@dataclass(frozen=True, slots=True)
class Shape:
    """One type that an output may have."""

    name: str
    adapter: TypeAdapter[Any]
    definition: ToolDefinition
    wrapped: bool

    def sent(self, part: m.ToolCallPart) -> str:
        """What a call says, as JSON; `BadToolArguments`, in words for the model, if it is no such
        type."""
        try:
            given = part.args_as_dict(raise_if_invalid=True)
            text = json.dumps(given[WRAPPED] if self.wrapped else given)
            self.adapter.validate_json(text)
        except ValidationError as error:
            raise BadToolArguments(explained(self.name, error), name=self.name) from error
        except KeyError as error:
            raise BadToolArguments(f"{self.name} takes {WRAPPED!r}", name=self.name) from error
        except (ValueError, AssertionError) as error:
            raise BadToolArguments(
                f"the arguments of {self.name} are no JSON object", name=self.name
            ) from error
        return text


@dataclass(frozen=True, slots=True)
class Outputs:
    """The types of one agent's outputs, by the name of the tool for each."""

    shapes: Mapping[str, Shape]
    text: bool
    """Whether plain text will do."""

    def definitions(self) -> list[ToolDefinition]:
        """What the model is shown."""
        return [one.definition for one in self.shapes.values()]

    def outcome(self, response: m.ModelResponse) -> Outcome | None:
        """What the turn ends with; None if it does not end. The first valid output counts."""
        if not response.tool_calls:
            return Outcome(response.text or "", None) if self.text else None
        for part in response.tool_calls:
            if part.tool_name in self.shapes:
                with suppress(BadToolArguments):
                    return Outcome(self.shapes[part.tool_name].sent(part), part.tool_name)
        return None

    def refuse(self, part: m.ToolCallPart) -> None:
        """`BadToolArguments` if the call is one of an output, which has not ended the turn."""
        if part.tool_name in self.shapes:
            self.shapes[part.tool_name].sent(part)
            raise BadToolArguments("somebody has said more: answer again", name=part.tool_name)

    def load(self, tool: str, text: str) -> Any:
        """The object that a turn ended with; `BadOutput` if the type does not take it any more."""
        shape = self.shapes.get(tool)
        if shape is None:
            raise BadOutput(f"no output is called {tool!r} any more")
        try:
            return shape.adapter.validate_json(text)
        except ValidationError as error:
            raise BadOutput(explained(tool, error)) from error


@lru_cache(maxsize=256)
def outputs_of(kind: Any) -> Outputs:
    """What `Agent.output_type` means; `BadOutputType` if it has no JSON schema."""
    kinds = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    typed = [one for one in kinds if one is not str]
    shapes = [_shape(one, alone=len(typed) == 1) for one in typed]
    named = {one.name: one for one in shapes}
    if len(named) < len(shapes):
        raise BadOutputType(f"two types of {kind!r} have one name")
    return Outputs(named, len(typed) < len(kinds))


def _shape(kind: Any, *, alone: bool) -> Shape:
    label = re.sub(r"\W+", "_", getattr(kind, "__name__", repr(kind)))
    name = NAME if alone else f"{NAME}_{label}"
    try:
        adapter = TypeAdapter[Any](kind)
        schema = adapter.json_schema()
    except (PydanticUserError, NameError, TypeError) as error:
        raise BadOutputType(f"{kind!r} has no JSON schema: {error}") from error
    wrapped = schema.get("type") != "object"
    about = schema.get("description") or _ABOUT
    definition = ToolDefinition(
        name=name,
        description=about,
        parameters_json_schema=_wrapped(schema) if wrapped else schema,
        kind="output",
    )
    return Shape(name, adapter, definition, wrapped)


def _wrapped(schema: dict[str, Any]) -> dict[str, Any]:
    definitions = schema.pop("$defs", None)
    made = {
        "type": "object",
        "properties": {WRAPPED: schema},
        "required": [WRAPPED],
        "additionalProperties": False,
    }
    return made | ({"$defs": definitions} if definitions else {})


# -- in a turn -----------------------------------------------------------------------------------


def of(agent: Agent) -> Outputs:
    """Those of an agent."""
    return outputs_of(agent.output_type)


def outcome(agent: Agent, response: m.ModelResponse) -> Outcome | None:
    """What a turn of the agent ends with by this response; None if it goes on."""
    return of(agent).outcome(response)


def wrong(agent: Agent, response: m.ModelResponse) -> int:
    """1 if the response called for an output and gave no valid one."""
    outputs = of(agent)
    tried = any(one.tool_name in outputs.shapes for one in response.tool_calls)
    return int(tried and outputs.outcome(response) is None)


def again(agent: Agent, turn: Turn) -> Turn:
    """The model has said something where only data will do: it is told."""
    message = m.ModelRequest(
        parts=[
            m.RetryFeedbackPart(
                "Answer by calling one of these tools: " + ", ".join(of(agent).shapes),
                retry=m.RetryInfo("no_output"),
            )
        ]
    )
    head = agent.session.go_on(message, id=f"{turn.id}:{turn.steps}:again", branch=turn.branch)
    return agent._turns.update(turn.id, head=head, retries=turn.retries + 1)


def check(agent: Agent, turn: Turn) -> None:
    """`BadOutput` if the model may not try again."""
    if turn.retries > agent.output_retries:
        newest = agent.session.get(turn.head or "").message
        why = [said for part in newest.parts if (said := _refused(part))]
        raise BadOutput(f"no valid output in {turn.retries} attempts; the last: {'; '.join(why)}")


def _refused(part: Any) -> str:
    retried = isinstance(part, m.ToolReturnPart) and part.outcome == "retried"
    return str(part.content) if retried or isinstance(part, m.RetryFeedbackPart) else ""
