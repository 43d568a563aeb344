"""Agents: durable actors that a model drives, with the extra `agents`.

agent.py     the Agent that users subclass: run, stream, submit, wait, cancel
turns.py     turns as rows: what is asked for, what became of it
driving.py   one turn, step by step
session.py   the messages, as a tree
children.py  self.agents, and agents as tools of others
tool.py      functions that a model may call
events.py    what a stream yields
limits.py    what one turn may use
errors.py    its branch of the tree of errors
"""

from __future__ import annotations

from facets.agents import errors as errors
from facets.agents.tool import Tool as Tool
from facets.agents.tool import tool as tool
from facets.agents.tool import tool_of as tool_of

__all__ = ["Tool", "errors", "tool", "tool_of"]
