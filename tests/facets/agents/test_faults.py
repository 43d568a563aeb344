"""A model that writes code which is no good, or means harm: it is told, and the turn goes on."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from facets import Limits
from facets.agents import Agent
from facets.codemode import CodeMode, FunctionConnector
from facets.testing import MemoryRuntime
from tests.facets.agents.test_turns import call

read: list[str] = []
"""What the model was told of its code."""


def writing(code: str) -> FunctionModel:
    """A model that runs this code, then code that is good."""

    def ask(messages: list[ModelMessage], _info: AgentInfo) -> ModelResponse:
        results = [
            part.model_response_str()
            for one in messages
            for part in one.parts
            if part.part_kind == "tool-return"
        ]
        read[:] = results
        tried = [code, "return await numbers.double(n=21)"]
        if len(results) < len(tried):
            return ModelResponse(parts=[call("execute", {"code": tried[len(results)]})])
        return ModelResponse(parts=[TextPart(results[-1])])

    return FunctionModel(ask)


async def double(n: int) -> int:
    """Twice a number."""
    return 2 * n


class Coder(Agent):
    async def on_start(self) -> None:
        code = CodeMode(
            self, [FunctionConnector("numbers", [double])], limits=Limits(wall=60.0, cpu=0.2)
        )
        self.tools = code.tools()  # type: ignore[misc]  # of this one agent


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("def broken(:", "SyntaxError"),
        ("return await numbers.triple(n=1)", "triple"),
        ("return await numbers.double(n='many')", "double"),
        ("while True: pass", "CpuLimit"),
        ("return open('/etc/passwd').read()", "FileNotFoundError"),
        ("import socket; socket.create_connection(('192.0.2.1', 80))", "Error"),
        ("return bytearray(10 ** 9)", "MemoryError"),
    ],
)
async def test_code_that_is_no_good_is_told_to_the_model_and_the_turn_goes_on(
    code: str, says: str
) -> None:
    class Writing(Coder):
        model: Any = writing(code)

    async with MemoryRuntime() as runtime:
        said = await runtime.get(Writing, "a").run("go")
    assert "42" in said
    assert says in read[0]
