"""The tool call that the running code belongs to. Imports nothing optional."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ToolRun:
    """The tool call that the running code belongs to."""

    id: str
    """The same whenever this call is made again after a crash, and no other's: what an effect
    outside can be deduplicated by."""
    turn: str
    name: str


RUNNING: ContextVar[ToolRun | None] = ContextVar("facets_tool_run", default=None)


def current() -> ToolRun | None:
    """The tool call that the running code belongs to; None outside."""
    return RUNNING.get()
