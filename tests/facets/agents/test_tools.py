"""Tools: what a model is shown of a function, and what is checked before it runs."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from pydantic import Field

from facets.agents import tool, tool_of
from facets.agents.tool import is_tool
from facets.errors import BadToolArguments, BadToolDefinition

RAN: list[Any] = []


class Box:
    @tool
    async def put(
        self, what: str, times: Annotated[int, Field(description="how often")] = 1
    ) -> str:
        """Put something in."""
        return what * times

    @tool(name="look", description="Look inside.")
    def see(self, deep: bool) -> bool:
        RAN.append(deep)
        return deep


def test_a_marked_method_is_a_tool_with_the_schema_of_its_annotations() -> None:
    made = tool_of(Box().put)
    assert is_tool(Box.put)
    assert (made.name, made.description) == ("put", "Put something in.")
    assert made.schema["required"] == ["what"]
    assert made.schema["properties"]["times"]["description"] == "how often"
    assert "self" not in made.schema["properties"]


async def test_a_plain_function_is_called_after_all_arguments_were_checked() -> None:
    RAN.clear()
    look = tool_of(Box().see)
    assert (look.name, look.description) == ("look", "Look inside.")
    assert await look.call(deep="true") is True
    with pytest.raises(BadToolArguments, match="deep"):
        await look.call(deep="perhaps")
    with pytest.raises(BadToolArguments):
        await look.call(deep=True, more=1)
    assert RAN == [True]


async def test_a_marked_method_is_called_as_before() -> None:
    assert await Box().put("x", 2) == "xx"
    assert await tool_of(Box().put).call(what="x", times="3") == "xxx"


def test_what_has_no_schema_is_no_tool() -> None:
    def by_position(a: int, /) -> int:
        return a

    def odd(a: Box) -> None: ...

    for function in (by_position, odd, lambda: 0):
        with pytest.raises(BadToolDefinition):
            tool_of(function)
