"""A model of the OpenAI Agents SDK that answers from a list."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

from agents import Model, ModelResponse, Usage
from openai.types.responses import (
    ResponseFunctionToolCall,
    ResponseOutputMessage,
    ResponseOutputText,
)


class Scripted(Model):
    """Each answer is a text, or a tool's name and its arguments. `seen` is what it was given."""

    def __init__(self, *answers: str | tuple[str, Any]) -> None:
        self.answers = list(answers)
        self.seen: list[list[Any]] = []

    async def get_response(self, *args: Any, **kwargs: Any) -> ModelResponse:
        given = kwargs["input"]
        self.seen.append(list(given) if isinstance(given, list) else [given])
        number = len(self.seen)
        answer = self.answers.pop(0)
        output: Any
        if isinstance(answer, str):
            said = ResponseOutputText(annotations=[], text=answer, type="output_text")
            output = ResponseOutputMessage(
                id=f"m{number}",
                content=[said],
                role="assistant",
                status="completed",
                type="message",
            )
        else:
            name, arguments = answer
            text = arguments if isinstance(arguments, str) else json.dumps(arguments)
            output = ResponseFunctionToolCall(
                arguments=text, call_id=f"c{number}", name=name, type="function_call"
            )
        return ModelResponse(output=[output], usage=Usage(), response_id=None)

    def stream_response(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        raise NotImplementedError
