"""What sub-agents were got with: so that they are listed, and go on by themselves after a crash.

A row for each, in the agent's own database. A class that cannot be found again (it is inside of a
function and not registered), or props that would come back as something else, are not kept: such a
sub-agent goes on when it is got again.
"""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import msgspec

from actors.code import ClassCode, Start
from actors.quotas.quota import Quota
from actors.starts import OWN, found_again

if TYPE_CHECKING:
    from facets.agents.agent import Agent


class Registry:
    """The table of sub-agents. Changes belong to the current step."""

    __slots__ = ("_agent",)

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    def keep(self, place: str, start: Start) -> None:
        """The facet of this name is got with this. Nothing is written if that is known."""
        active = self._agent._active()
        if active.reading:
            return  # a shared method writes nothing; whoever got it before has kept it
        said = (_code(start), _props(start.props), _quota(start.quota))
        sql = self._agent.sql
        known = sql("select code, props, quota from agent_children where place = ?", place).first()
        if known is None or tuple(known) != said:
            sql(
                "insert into agent_children values (?, ?, ?, ?, ?) on conflict do update set "
                "code = excluded.code, props = excluded.props, quota = excluded.quota",
                place,
                active.node.host.clock.now(),
                *said,
            )

    def start(self, place: str) -> Start | None:
        """What it was got with; None if that is not known, or not to be found."""
        row = self._agent.sql(
            "select code, props, quota from agent_children where place = ?", place
        ).first()
        if row is None or row.code is None:
            return None
        known = self._agent._active().node.host.classes.values()
        start = found_again((OWN, row.code, None, row.props), known)
        if start is None or row.quota is None:
            return start
        return replace(start, quota=Quota(**json.loads(row.quota)))

    def created(self) -> dict[str, float]:
        """When each was first got."""
        rows = self._agent.sql("select place, created from agent_children")
        return {row.place: row.created for row in rows}

    def forget(self, place: str) -> None:
        """It was deleted."""
        self._agent.sql("delete from agent_children where place = ?", place)


def _code(start: Start) -> str | None:
    cls = start.code.cls if isinstance(start.code, ClassCode) else None
    if cls is None or (start.props is not None and _props(start.props) is None):
        return None
    return f"{cls.__module__}:{cls.__qualname__}"


def _props(props: Any) -> bytes | None:
    if props is None:
        return None
    try:
        packed = msgspec.msgpack.encode(props)
    except (TypeError, ValueError, OverflowError, RecursionError):
        return None
    return packed if msgspec.msgpack.decode(packed) == props else None


def _quota(quota: Quota | None) -> str | None:
    return None if quota is None else json.dumps(asdict(quota))
