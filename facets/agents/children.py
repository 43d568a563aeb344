"""Sub-agents: agents below an agent, and agents as tools of others."""

from __future__ import annotations

import asyncio
import builtins
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, cast

from actors.call import CURRENT
from actors.code import Start
from facets.agents.calling import current
from facets.agents.errors import NoSuchRun
from facets.agents.tool import Tool

if TYPE_CHECKING:
    from actors.node import Node
    from actors.quotas.quota import Quota
    from facets.agents.agent import Agent

A = TypeVar("A", bound="Agent")


class Agents:
    """`self.agents`: the sub-agents of one agent, each a facet with a session of its own.

    They are told apart by kind and name: an "octopus" of each of two classes are two agents. What
    they spend counts against their own quota and all those above.
    """

    __slots__ = ("_agent",)

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    def get(self, cls: type[A], name: str, *, quota: Quota | None = None, props: Any = None) -> A:
        """A stub of the sub-agent, which starts on its first call; see `Facets.get`."""
        return cast(
            "A", self._agent.facets.get(_place(cls, name), Start(cls, props=props, quota=quota))
        )

    def list(self, cls: type[Agent] | None = None) -> builtins.list[tuple[str, str]]:
        """Kind and name of those that have state or run, sorted; of one class, if it is given."""
        found = [
            tuple(one.split(SEPARATOR, 1)) for one in self._agent.facets.list() if SEPARATOR in one
        ]
        return [(kind, name) for kind, name in found if cls is None or kind == cls.kind]

    def exists(self, cls: type[Agent], name: str) -> bool:
        """Whether it has state or runs."""
        return self._agent.facets.exists(_place(cls, name))

    def abort(self, cls: type[Agent], name: str, reason: str = "aborted by its parent") -> None:
        """End it where it is; its storage stays, and so do its turns: they go on when it is called
        again, or when its timer is due. `await stub.cancel(id)` ends a turn for good."""
        self._agent.facets.abort(_place(cls, name), reason)

    def delete(self, cls: type[Agent], name: str) -> None:
        """End it and wipe all that it holds, and all below it, in one commit."""
        self._agent.facets.delete(_place(cls, name))


def caller() -> Node | None:
    """Who called the method that runs; None if no actor of this host did."""
    call = CURRENT.get()
    return None if call is None or call.parent is None else call.parent.activation.node


SEPARATOR = "\x1f"
"""Between kind and name in the name of a facet: neither a class nor, usually, a name has it."""


def _place(cls: type[Agent], name: str) -> str:
    return _at(cls.kind, name)


def _at(kind: str, name: str) -> str:
    return f"{kind}{SEPARATOR}{name}"


@dataclass(frozen=True, slots=True)
class Run:
    """A prompt that an agent gave to a sub-agent by a tool call."""

    id: str
    kind: str
    name: str
    """Of the sub-agent."""
    status: str
    """`running`, `completed`, `error`, `aborted`, or `interrupted` if its sub-agent ended with no
    result: it was aborted, deleted or broke."""
    output: str | None = None
    error: str | None = None

    @property
    def turn(self) -> str:
        """The turn of the parent whose tool call it is."""
        return self.id.rsplit(":", 2)[0]


class Runs:
    """The table of runs. Changes belong to the current step."""

    __slots__ = ("_agent",)

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    def begin(self, id: str, kind: str, name: str) -> None:
        """A run, if it is new."""
        self._agent.sql(
            "insert into agent_runs(id, kind, name, status) values (?, ?, ?, 'running') "
            "on conflict do nothing",
            id,
            kind,
            name,
        )

    def find(self, id: str) -> Run | None:
        """The run of this id."""
        row = self._agent.sql(
            "select id, kind, name, status, output, error from agent_runs where id = ?", id
        ).first()
        return None if row is None else Run(*row)

    def of_caller(self, id: str) -> Run | None:
        """The same, if the actor whose call this is is the sub-agent that was given it.

        Whoever reaches an agent, over HTTP too, may call its methods, and ids of runs can be
        guessed: what counts is who calls, which no caller says of itself.
        """
        found, who = self.find(id), caller()
        if found is None or who is None or who.parent is not self._agent._active().node:
            return None
        return found if who.name == _at(found.kind, found.name) else None

    def get(self, id: str) -> Run:
        """The run of this id; `NoSuchRun`."""
        found = self.find(id)
        if found is None:
            raise NoSuchRun(f"there is no run {id!r}", run=id)
        return found

    def list(self) -> builtins.list[Run]:
        """All of them, the oldest first."""
        rows = self._agent.sql(
            "select id, kind, name, status, output, error from agent_runs order by id"
        )
        return [Run(*row) for row in rows]

    def finish(self, id: str, status: str, output: str | None, error: str | None) -> Run | None:
        """The run as it is then; None if it was over already."""
        if self.get(id).status != "running":
            return None
        self._agent.sql(
            "update agent_runs set status = ?, output = ?, error = ? where id = ?",
            status,
            output,
            error,
            id,
        )
        return self.get(id)


@dataclass(frozen=True, slots=True)
class SubAgent:
    """What `as_tool` makes: a tool once it is part of an agent."""

    cls: type[Agent]
    name: str
    description: str
    detached: bool
    agent: str | None
    quota: Quota | None

    def bind(self, parent: Agent) -> Tool:
        """The tool of this parent."""

        async def call(prompt: str) -> dict[str, Any]:
            running = current()
            if running is None:
                raise RuntimeError(f"the tool {self.name!r} is for an agent's turn")
            return await self._run(parent, running.id, prompt)

        return Tool(self.name, self.description, _PROMPT, call, seconds=None)

    def start(self, parent: Agent, place: str) -> None:
        """Say what runs in that facet of the parent, if it is one of this class."""
        kind, _, name = place.partition(SEPARATOR)
        if kind == self.cls.kind and name:
            parent.agents.get(self.cls, name, quota=self.quota)

    async def _run(self, parent: Agent, run: str, prompt: str) -> dict[str, Any]:
        runs, name = Runs(parent), self.agent or run
        runs.begin(run, self.cls.kind, name)
        child = parent.agents.get(self.cls, name, quota=self.quota)
        report = run if self.detached else None
        await child.submit(prompt, id=run, report=report)
        if self.detached:
            return {"run": run, "status": "running"}
        try:
            turn = await child.wait(run)
        except asyncio.CancelledError:
            runs.finish(run, "aborted", None, "cancelled")
            await child.cancel(run)
            raise
        except Exception as error:
            if parent._active().broken is not None:
                raise
            told = f"{type(error).__name__}: {error}"
            runs.finish(run, "interrupted", None, told)
            return {"run": run, "status": "interrupted", "error": told}
        runs.finish(run, turn.status, turn.output, turn.error)
        said = {"output": turn.data} if turn.status == "completed" else {"error": turn.error}
        return {"run": run, "status": turn.status, **said}


_PROMPT = {
    "type": "object",
    "properties": {"prompt": {"type": "string", "description": "what to do, in full"}},
    "required": ["prompt"],
    "additionalProperties": False,
}


def as_tool(
    cls: type[Agent],
    *,
    name: str | None = None,
    description: str | None = None,
    detached: bool = False,
    agent: str | None = None,
    quota: Quota | None = None,
) -> SubAgent:
    """An agent as a tool of another: `tools = [as_tool(Researcher)]`.

    Each call is a run: a turn, whose id is that of the tool call, of a sub-agent of its own, or of
    the one named `agent`. It is asked for once, also when a crash makes the parent call again. The
    model is told `{"run": ..., "status": "completed", "output": ...}`, or "error", "aborted" or
    "interrupted" and the error; the turn of the parent goes on in any case. Cancelling that turn
    cancels the run.

    With `detached` the model is told only that it runs, and goes on; `Agent.on_run_finished` hears
    of the end, across crashes on both sides.
    """
    about = description or (cls.__doc__ or "").strip().split("\n\n")[0]
    return SubAgent(cls, name or cls.__name__.lower(), about, detached, agent, quota)
