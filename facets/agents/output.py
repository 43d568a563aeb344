"""What a turn ends with: text, or data of a type, for which the model is given tools to answer by.

Such an answer is kept as the model sent it, once it is valid, with the name of its tool; it is made
an object of the type wherever it is read. So rows outlive changes of the class, if the new one still
takes them.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import lru_cache
from types import UnionType
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin

from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError
from pydantic_ai import messages as m
from pydantic_ai.tools import ToolDefinition

from facets.agents.calling import packed
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
class Answer:
    """A valid output: which tool it came by, and what was sent."""

    tool: str
    text: str
    place: int
    """Of the call, in the response."""


@dataclass(frozen=True, slots=True)
class Shape:
    """One type that an output may have."""

    name: str
    adapter: TypeAdapter[Any]
    definition: ToolDefinition
    wrapped: bool

    def load(self, sent: Any) -> Any:
        """The object; `ValidationError`."""
        if self.wrapped:
            sent = sent.get(WRAPPED) if isinstance(sent, dict) else None
        return self.adapter.validate_json(json.dumps(sent))


@dataclass(frozen=True, slots=True)
class Outputs:
    """The types of one agent's outputs, by the name of the tool for each."""

    shapes: Mapping[str, Shape]
    text: bool
    """Whether plain text will do."""

    def definitions(self) -> list[ToolDefinition]:
        """What the model is shown."""
        return [one.definition for one in self.shapes.values()]

    def answer(self, response: m.ModelResponse) -> Answer | None:
        """The first valid one of a response."""
        for place, part in enumerate(response.tool_calls):
            if part.tool_name in self.shapes:
                try:
                    self.check(part)
                except BadToolArguments:
                    continue
                return Answer(part.tool_name, part.args_as_json_str(), place)
        return None

    def check(self, part: m.ToolCallPart) -> None:
        """`BadToolArguments` if it is not valid, in words for the model."""
        try:
            self.shapes[part.tool_name].load(part.args_as_dict(raise_if_invalid=True))
        except ValidationError as error:
            raise BadToolArguments(explained(part.tool_name, error), name=part.tool_name) from error
        except (ValueError, AssertionError) as error:
            raise BadToolArguments(
                f"the arguments of {part.tool_name} are no JSON object", name=part.tool_name
            ) from error

    def load(self, tool: str, text: str) -> Any:
        """The object that a turn ended with; `BadOutput` if the type does not take it any more."""
        shape = self.shapes.get(tool)
        if shape is None:
            raise BadOutput(f"no output is called {tool!r} any more")
        try:
            return shape.load(json.loads(text))
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


def asked_again(agent: Agent, response: m.ModelResponse) -> int:
    """1 for a response that should have been an output and was none: it is asked for again."""
    outputs = of(agent)
    if response.tool_calls:
        return int(any(one.tool_name in outputs.shapes for one in response.tool_calls))
    return int(not outputs.text)


def again(agent: Agent, turn: Turn) -> Turn:
    """The model has said something where only data will do: it is told."""
    message = m.ModelRequest(
        parts=[
            m.RetryFeedbackPart(
                "Answer by calling one of these tools: " + ", ".join(of(agent).shapes),
                retry=m.RetryInfo("no_output"),
            )
        ],
        instructions=agent.instructions,
    )
    head = agent.session.append(message, id=f"{turn.id}:{turn.steps}:again", branch=turn.branch)
    return agent._turns.update(turn.id, head=head, retries=turn.retries + 1)


def check(agent: Agent, turn: Turn) -> None:
    """`BadOutput` if the model may not try again."""
    if turn.retries > agent.output_retries:
        newest = agent.session.get(turn.head or "").message
        why = [str(part.content) for part in newest.parts if _refused(part)]
        raise BadOutput(f"no valid output in {turn.retries} attempts; the last: {'; '.join(why)}")


def accept(agent: Agent, turn: Turn, response: m.ModelResponse, answer: Answer) -> None:
    """The result of the call that the turn ends with; a model refuses calls that have none."""
    part = response.tool_calls[answer.place]
    if answer.place not in agent._turns.kept(turn):
        told = m.ToolReturnPart(part.tool_name, "that is the output", part.tool_call_id)
        agent._turns.keep(turn, answer.place, packed(told))


def _refused(part: Any) -> bool:
    retried = isinstance(part, m.ToolReturnPart) and part.outcome == "retried"
    return retried or isinstance(part, m.RetryFeedbackPart)
