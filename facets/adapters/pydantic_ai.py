"""pydantic-ai: methods of actors as a toolset, and files of an actor as a workspace."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic_ai.exceptions import ModelRetry, ToolFailed
from pydantic_ai.tools import RunContext, ToolDefinition
from pydantic_ai.toolsets import AbstractToolset, ToolsetTool
from pydantic_core import SchemaValidator, core_schema

from actors.actor import Actor
from facets.adapters.tools import FATAL, invoke, tools_of
from facets.agents.errors import BadToolArguments
from facets.agents.tool import Tool
from facets.serve.errors import BadArguments
from facets.serve.methods import told

_OBJECT = SchemaValidator(core_schema.dict_schema(core_schema.str_schema()))


class FacetToolset(AbstractToolset[Any]):
    """The methods of an actor, a facet or a facets `Agent` as tools of a pydantic-ai agent.

        agent = pydantic_ai.Agent("openai:gpt-5", toolsets=[FacetToolset(runtime.get(Tally, "a"))])

    Or `Tool`s: `FacetToolset(mode.tools())`. `tools_of` says what `interface`, `only` and `seconds`
    are, and what becomes a tool. `prefixed`, `filtered`,
    `approval_required` and the like work as for every toolset. A reply is durable before the model
    reads it; cancelling the run cancels the methods that it waits for, and their open steps are
    undone.

    Arguments that do not fit are a retry of the model's; what a method raises is a failed result,
    with the error's hint. `RuntimeClosed` and `JournalFailed` end the run. The run may be on any
    event loop, `run_sync` too where the stub is of `runtime.blocking()`.
    """

    def __init__(
        self,
        actor: Any,
        *,
        interface: type[Actor] | None = None,
        only: Sequence[str] | None = None,
        seconds: float | None = None,
        id: str | None = None,
    ) -> None:
        if not isinstance(actor, Sequence):
            actor = tools_of(actor, interface=interface, only=only, seconds=seconds)
        self._tools: dict[str, Tool] = {one.name: one for one in actor}
        self._id = id

    @property
    def id(self) -> str | None:
        """What it was given."""
        return self._id

    async def get_tools(self, ctx: RunContext[Any]) -> dict[str, ToolsetTool[Any]]:
        """All of them."""
        return {
            name: ToolsetTool(
                toolset=self,
                tool_def=ToolDefinition(
                    name=name,
                    parameters_json_schema=dict(one.schema),
                    description=one.description or None,
                ),
                max_retries=ctx.max_retries,
                args_validator=_OBJECT,
            )
            for name, one in self._tools.items()
        }

    async def call_tool(
        self, name: str, tool_args: dict[str, Any], ctx: RunContext[Any], tool: ToolsetTool[Any]
    ) -> Any:
        """What the method gave, as plain data."""
        try:
            return await invoke(self._tools[name], tool_args)
        except (BadArguments, BadToolArguments) as error:
            raise ModelRetry(told(error)) from error
        except FATAL:
            raise
        except Exception as error:
            raise ToolFailed(told(error)) from error
