"""Agents: durable actors that a model drives, with the extra `agents`.

agent.py     the Agent that users subclass: run, stream, submit, wait, cancel
turns.py     turns as rows: what is asked for, what became of it
driving.py   which turns run, and who hears of them
asking.py    one request to the model
answering.py the tool calls of one response
hooks.py     methods that run at fixed places of a turn
plans.py     how a turn or a step asks the model otherwise
retrying.py  requests that failed, and turns that were cut off
calling.py   one tool call
running.py   which one the running code belongs to
approvals.py tool calls that somebody must approve
output.py    what a turn ends with: text, or data of a type
prompts.py   what is asked: submitted, merged, put off, steered, asked for again
spending.py  tokens and money
session.py   the messages, as a tree
history.py   what a model is shown of them
messages.py  a message as rows
blocks.py    context blocks, as a class declares them
context.py   what they say, and the prompt that is made of it
compaction.py a history that grew too long
noting.py    the tools for them
skills.py    texts that the model loads and unloads
words.py     searches
workspace.py files as tools
children.py  self.agents, and agents as tools of others
registry.py  what sub-agents were got with
runs.py      runs as rows: prompts given to sub-agents
overseeing.py  the life of runs: queued, begun, given up, found again
tool.py      functions that a model may call
events.py    what a stream yields
log.py       events kept, for those who come late
limits.py    what one turn may use
schema.py    the tables
errors.py    its branch of the tree of errors
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from facets.agents import errors as errors
from facets.agents.tool import Tool as Tool
from facets.agents.tool import tool as tool
from facets.agents.tool import tool_of as tool_of

if TYPE_CHECKING:
    from facets.agents.agent import Agent as Agent
    from facets.agents.approvals import Approval as Approval
    from facets.agents.blocks import ContextBlock as ContextBlock
    from facets.agents.blocks import Readonly as Readonly
    from facets.agents.blocks import Searchable as Searchable
    from facets.agents.blocks import Skills as Skills
    from facets.agents.blocks import Writable as Writable
    from facets.agents.children import Child as Child
    from facets.agents.children import as_tool as as_tool
    from facets.agents.context import Context as Context
    from facets.agents.events import Answered as Answered
    from facets.agents.events import ApprovalAsked as ApprovalAsked
    from facets.agents.events import Event as Event
    from facets.agents.events import Missed as Missed
    from facets.agents.events import Progressed as Progressed
    from facets.agents.events import Restarted as Restarted
    from facets.agents.events import Retrying as Retrying
    from facets.agents.events import TextDelta as TextDelta
    from facets.agents.events import ToolFinished as ToolFinished
    from facets.agents.events import ToolStarted as ToolStarted
    from facets.agents.hooks import Block as Block
    from facets.agents.hooks import Stage as Stage
    from facets.agents.hooks import Step as Step
    from facets.agents.hooks import Substitute as Substitute
    from facets.agents.hooks import ToolCall as ToolCall
    from facets.agents.hooks import ToolOutcome as ToolOutcome
    from facets.agents.hooks import Verdict as Verdict
    from facets.agents.hooks import WithArguments as WithArguments
    from facets.agents.limits import EventLimits as EventLimits
    from facets.agents.limits import TurnLimits as TurnLimits
    from facets.agents.plans import StepPlan as StepPlan
    from facets.agents.plans import TurnPlan as TurnPlan
    from facets.agents.retrying import ErrorKind as ErrorKind
    from facets.agents.retrying import Retries as Retries
    from facets.agents.running import ToolRun as ToolRun
    from facets.agents.running import current as current
    from facets.agents.runs import Run as Run
    from facets.agents.session import Session as Session
    from facets.agents.turns import Turn as Turn
    from facets.agents.workspace import Workspace as Workspace

__all__ = [
    "Agent", "Answered", "Approval", "ApprovalAsked", "Block", "Child", "Context", "ContextBlock",
    "ErrorKind", "Event", "EventLimits", "Missed", "Progressed", "Readonly", "Restarted",
    "Retries", "Retrying", "Run", "Searchable", "Session", "Skills", "Stage", "Step",
    "StepPlan", "Substitute", "TextDelta", "Tool", "ToolCall", "ToolFinished", "ToolOutcome",
    "ToolRun", "ToolStarted", "Turn", "TurnLimits", "TurnPlan", "Verdict", "WithArguments",
    "Writable", "as_tool", "current", "errors", "tool", "tool_of",
]  # fmt: skip

_LAZY = {
    "Agent": "agent",
    "Approval": "approvals",
    "Answered": "events",
    "ApprovalAsked": "events",
    "ToolRun": "running",
    "current": "running",
    "Context": "context",
    "ContextBlock": "blocks",
    "Readonly": "blocks",
    "Searchable": "blocks",
    "Skills": "blocks",
    "Workspace": "workspace",
    "Writable": "blocks",
    "Child": "children",
    "Run": "runs",
    "as_tool": "children",
    "Event": "events",
    "Missed": "events",
    "Restarted": "events",
    "Progressed": "events",
    "TextDelta": "events",
    "ToolFinished": "events",
    "ToolStarted": "events",
    "EventLimits": "limits",
    "TurnLimits": "limits",
    "Session": "session",
    "Turn": "turns",
    "Block": "hooks",
    "Stage": "hooks",
    "Step": "hooks",
    "Substitute": "hooks",
    "ToolCall": "hooks",
    "ToolOutcome": "hooks",
    "Verdict": "hooks",
    "WithArguments": "hooks",
    "StepPlan": "plans",
    "TurnPlan": "plans",
    "ErrorKind": "retrying",
    "Retries": "retrying",
    "Retrying": "events",
}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    module = _LAZY.get(name)
    if module is None:
        raise AttributeError(f"module 'facets.agents' has no attribute {name!r}")
    return getattr(import_module(f"facets.agents.{module}"), name)
