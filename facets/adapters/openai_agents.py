"""OpenAI Agents SDK: sessions in the database of an actor, and methods of actors as tools."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
from agents import FunctionTool, RunContextWrapper, TResponseInputItem
from agents.memory import SessionSettings
from agents.memory.session_settings import resolve_session_limit
from agents.tool_context import ToolContext

from actors.actor import Actor
from facets.adapters.places import Place
from facets.adapters.tools import FATAL, invoke, split, tools_of
from facets.agents.tool import Tool
from facets.serve.methods import told

Approval = bool | Callable[[RunContextWrapper[Any], dict[str, Any], str], Awaitable[bool]]


class SessionItems(Actor, kind="openai-agents-session"):
    """What one session holds: items in their order, each as JSON."""

    migrations = ["create table items(id integer primary key autoincrement, item text not null)"]

    async def newest(self, limit: int) -> list[str]:
        """The newest `limit` items, the oldest of them first; all if it is negative."""
        rows = self.sql("select item from items order by id desc limit ?", limit)
        return [row.item for row in rows][::-1]

    async def add(self, items: list[str]) -> None:
        """Put them at the end, all or none."""
        self.sql.many("insert into items(item) values (?)", [(one,) for one in items])

    async def pop(self) -> str | None:
        """Take the newest away."""
        row = self.sql(
            "delete from items where id = (select max(id) from items) returning item"
        ).first()
        return None if row is None else str(row.item)

    async def clear(self) -> None:
        """Take all away."""
        self.sql("delete from items")


class FacetSession:
    """A `Session` of the OpenAI Agents SDK: the conversation `session_id`, in an actor of its own.

        session = FacetSession(runtime, "alice")
        await Runner.run(agent, "What of the octopus?", session=session)

    `place` is a runtime, also of `blocking()`, or `self.facets` inside an actor, where the session
    is a facet. What is added is on disk when the call returns; items of one call are in it together
    or not at all, and stay together whatever other runs add meanwhile. Any number of objects and
    threads may use one session. A call that is cancelled may have had its effect.
    """

    def __init__(
        self, place: Any, session_id: str, *, session_settings: SessionSettings | None = None
    ) -> None:
        self.session_id = session_id
        self.session_settings: SessionSettings | None = session_settings or SessionSettings()
        self._place = Place(place)

    async def get_items(self, limit: int | None = None) -> list[TResponseInputItem]:
        """The newest `limit` items, else as many as the settings say, the oldest of them first."""
        most = resolve_session_limit(limit, self.session_settings)
        found = await self._call("newest", -1 if most is None else most)
        return [json.loads(one) for one in found]

    async def add_items(self, items: list[TResponseInputItem]) -> None:
        """Put items at the end, in one commit."""
        if items:
            await self._call("add", [json.dumps(one) for one in items])

    async def pop_item(self) -> TResponseInputItem | None:
        """Take away the newest item; None if there is none."""
        found = await self._call("pop")
        item: TResponseInputItem | None = None if found is None else json.loads(found)
        return item

    async def clear_session(self) -> None:
        """Take all items away."""
        await self._call("clear")

    async def _call(self, method: str, *args: Any) -> Any:
        return await self._place.call(SessionItems, self.session_id, method, *args)


def facet_tool(
    method: Any,
    *,
    name: str | None = None,
    description: str | None = None,
    interface: type[Actor] | None = None,
    seconds: float | None = None,
    needs_approval: Approval = False,
) -> FunctionTool:
    """A method of an actor as a tool: `facet_tool(runtime.get(Tally, "a").add)`.

    Of a facets `Agent`, `facet_tool(librarian.run)`, it takes a prompt and gives the output of a
    turn. `interface`, `seconds` and what a call does are those of `facets.adapters.tools.tools_of`;
    `needs_approval` is that of `function_tool`. What a method raises, and arguments that do not
    fit, are text for the model; `RuntimeClosed` and `JournalFailed` end the run.
    """
    stub, called = split(method)
    (found,) = tools_of(stub, interface=interface, only=[called], seconds=seconds)
    return _function_tool(
        found, name or found.name, description or found.description, needs_approval
    )


def facet_tools(
    actor: Any,
    *,
    interface: type[Actor] | None = None,
    only: Sequence[str] | None = None,
    seconds: float | None = None,
    needs_approval: Approval = False,
) -> list[FunctionTool]:
    """All methods of an actor, or `Tool`s of facets, as tools; see `facet_tool`."""
    if not isinstance(actor, Sequence):
        actor = tools_of(actor, interface=interface, only=only, seconds=seconds)
    return [_function_tool(one, one.name, one.description, needs_approval) for one in actor]


def _function_tool(
    tool: Tool, name: str, description: str, needs_approval: Approval
) -> FunctionTool:
    async def called(_: ToolContext[Any], given: str) -> str:
        try:
            arguments = msgspec.json.decode(given or "{}", type=dict[str, Any])
            found = await invoke(tool, arguments)
        except FATAL:
            raise
        except Exception as error:
            return told(error)
        return found if isinstance(found, str) else msgspec.json.encode(found).decode()

    return FunctionTool(
        name=name,
        description=description,
        params_json_schema=dict(tool.schema),
        on_invoke_tool=called,
        strict_json_schema=False,  # it would take optional arguments for required ones
        needs_approval=needs_approval,
    )
