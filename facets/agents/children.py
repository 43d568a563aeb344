"""Sub-agents: agents below an agent, and agents as tools of others."""

from __future__ import annotations

import builtins
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

from actors.call import CURRENT
from actors.code import Start, as_code
from actors.stub import Stub
from facets.agents.calling import current
from facets.agents.errors import OtherParent
from facets.agents.registry import Registry
from facets.agents.tool import Need, Tool

if TYPE_CHECKING:
    from actors.actor import Actor
    from actors.node import Node
    from actors.quotas.quota import Quota
    from facets.agents.agent import Agent

A = TypeVar("A", bound="Agent")
P = TypeVar("P", bound="Actor")
DAY = 86_400.0
"""Seconds that a run has."""


class Agents:
    """`self.agents`: the sub-agents of one agent, each a facet with a session of its own.

    They are told apart by kind and name: an "octopus" of each of two classes are two agents. What
    they spend counts against their own quota and all those above.
    """

    __slots__ = ("_agent",)

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    def get(self, cls: type[A], name: str, *, quota: Quota | None = None, props: Any = None) -> A:
        """A stub of the sub-agent, which starts on its first call; see `Facets.get`.

        What it was got with is kept, in the open step: so it goes on by itself after a crash, under
        the same quota, as long as its class can be imported or is registered.
        """
        start = Start(as_code(cls), props=props, quota=quota)
        place = place_of(cls.kind, name)
        stub = self._agent.facets.get(place, start)
        Registry(self._agent).keep(place, start)
        return cast("A", stub)

    def list(self, cls: type[Agent] | str | None = None) -> builtins.list[Child]:
        """Those that have state or run, sorted by kind and name; of one class, or kind."""
        created = Registry(self._agent).created()
        found = [
            Child(*_parted(place), created.get(place))
            for place in self._agent.facets.list()
            if SEPARATOR in place
        ]
        return [one for one in found if _kind(cls) in (None, one.kind)]

    def exists(self, cls: type[Agent] | str, name: str) -> bool:
        """Whether it has state or runs."""
        return self._agent.facets.exists(_place(cls, name))

    def abort(
        self, cls: type[Agent] | str, name: str, reason: str = "aborted by its parent"
    ) -> None:
        """End it where it is; its storage stays, and so do its turns: they go on when it is called
        again, or when its timer is due. `await stub.cancel(id)` ends a turn for good."""
        self._agent.facets.abort(_place(cls, name), reason)

    def delete(self, cls: type[Agent] | str, name: str) -> None:
        """End it and wipe all that it holds, and all below it, in one commit. Runs that it has are
        over: `Run.reason` is "deleted"."""
        self._agent.facets.delete(_place(cls, name))
        Registry(self._agent).forget(_place(cls, name))
        overseer = self._agent._overseer
        overseer.soon(overseer.look())

    def _child(self, kind: str, name: str) -> Any:
        """A stub of one that was got before, perhaps by another incarnation; LookupError."""
        found = self.resume(place_of(kind, name))
        if found is None:
            raise LookupError(f"nobody has said what the sub-agent {name!r} of {kind} runs")
        return found

    def resume(self, place: str) -> Any:
        """Say what runs in that facet: a stub of it; None if nobody knows."""
        node = self._agent._active().node.child(place)
        if node.start is not None or node.activation is not None:
            return Stub(node)
        kind, name = _parted(place)
        start = Registry(self._agent).start(place)
        for one in self._agent.tools if start is None and name else ():
            if isinstance(one, SubAgent) and one.cls.kind == kind:
                start = Start(as_code(one.cls), quota=one.quota)
        return None if start is None else self._agent.facets.get(place, start)


class Child(NamedTuple):
    """A sub-agent in a list."""

    kind: str
    name: str
    created: float | None
    """Seconds since 1970 when it was first got; None if that is not known."""


def path_of(node: Node) -> tuple[tuple[str, str], ...]:
    """Kind and name of each from the root to this one."""
    above = () if node.parent is None else path_of(node.parent)
    if node.parent is None:
        return ((node.kind, node.name),)
    return (*above, _parted(node.name) if SEPARATOR in node.name else ("", node.name))


def parent_of(agent: Agent, cls: type[P]) -> P:
    """A stub of its parent; `OtherParent` if that is not a `cls`."""
    above = agent._active().node.parent
    found = None if above is None else above.cls
    if found is None or not issubclass(found, cls):
        what = "has no parent" if above is None else f"is below {above.id}"
        raise OtherParent(f"{agent.id} {what}: no {cls.__qualname__}", wanted=cls.__qualname__)
    return cast("P", agent.parent)


def caller() -> Node | None:
    """Who called the method that runs; None if no actor of this host did."""
    call = CURRENT.get()
    return None if call is None or call.parent is None else call.parent.activation.node


SEPARATOR = "\x1f"
"""Between kind and name in the name of a facet: neither a class nor, usually, a name has it."""


def _parted(place: str) -> tuple[str, str]:
    kind, _, name = place.partition(SEPARATOR)
    return kind, name


def _kind(cls: type[Agent] | str | None) -> str | None:
    return cls if cls is None or isinstance(cls, str) else cls.kind


def _place(cls: type[Agent] | str, name: str) -> str:
    return place_of(cls if isinstance(cls, str) else cls.kind, name)


def place_of(kind: str, name: str) -> str:
    """The name of the facet that such a sub-agent is."""
    return f"{kind}{SEPARATOR}{name}"


@dataclass(frozen=True, slots=True)
class SubAgent:
    """What `as_tool` makes: a tool once it is part of an agent."""

    cls: type[Agent]
    name: str
    description: str
    detached: bool
    agent: str | None
    quota: Quota | None
    seconds: float | None
    patience: float | None
    approval: Need = False

    def bind(self, parent: Agent) -> Tool:
        """The tool of this parent."""

        async def call(prompt: str) -> dict[str, Any]:
            running = current()
            if running is None:
                raise RuntimeError(f"the tool {self.name!r} is for an agent's turn")
            run = await parent._overseer.ask(self, running.id, prompt)
            said = run.told()
            return said | self._typed(run.output) if run.status == "completed" else said

        return Tool(
            self.name, self.description, _PROMPT, call, seconds=None, approval=self.approval
        )

    def _typed(self, output: str | None) -> dict[str, Any]:
        """The output as the data that it is, unless its type says that it may be text."""
        from facets.agents.output import outputs_of

        text = outputs_of(self.cls.output_type).text
        return {"output": output if text else json.loads(output or "null")}


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
    seconds: float | None = DAY,
    patience: float | None = None,
    approval: Need = False,
) -> SubAgent:
    """An agent as a tool of another: `tools = [as_tool(Researcher)]`.

    Each call is a run: a turn, whose id is that of the tool call, of a sub-agent of its own, or of
    the one named `agent`. It is asked for once, also when a crash makes the parent call again. The
    model is told `{"run": ..., "status": "completed", "output": ...}`, or "error", "aborted" or
    "interrupted" with the error, a reason and whether it is worth another try (`Run.reason`); the
    turn of the parent goes on in any case. Cancelling that turn cancels the run.

    With `detached` the model is told only that it runs, and goes on; `Agent.on_run_finished` hears
    of the end, across crashes on both sides.

    A run is given up, and its turn cancelled, after `seconds` since it began (a day), and when for
    `patience` seconds nothing was heard of it: no `progress`, no response of its model. Both are
    looked at every 10 seconds. A sub-agent that cannot be reached is not given up sooner.
    `Agent.max_runs` bounds how many are under way. `approval` is as in `@tool`.
    """
    about = description or (cls.__doc__ or "").strip().split("\n\n")[0]
    called = name or cls.__name__.lower()
    return SubAgent(cls, called, about, detached, agent, quota, seconds, patience, approval)
