"""One tool as code sees it, and what offers tools."""

from __future__ import annotations

import keyword
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Protocol

from facets.codemode.errors import MisfitArguments
from facets.codemode.schema import Schema

Call = Callable[[dict[str, Any]], Awaitable[Any]]
Revert = Callable[[dict[str, Any], Any], Awaitable[None]]


RUNNING: ContextVar[str] = ContextVar("facets_codemode_call", default="")


def call_id() -> str:
    """The call of a tool that the running code belongs to; "" outside of one.

    The same when the call is made again after a crash: a key for a service that takes one.
    """
    return RUNNING.get()


@dataclass(frozen=True, slots=True)
class Operation:
    """A tool: what it is called, what it takes, and how it is run and reverted."""

    connector: str
    name: str
    call: Call = field(repr=False)
    """Given the arguments by name; returns plain data."""
    parameters: Schema = field(repr=False)
    """Of an object: one property for each argument, in the order of positions."""
    returns: Schema = field(repr=False, default_factory=lambda: Schema({}))
    description: str = ""
    method: str = ""
    """Of HTTP, upper case, where the tool is a request; otherwise ""."""
    location: str = ""
    """The path of HTTP, for the search."""
    revert: Revert | None = field(repr=False, default=None)
    """Undoes a call, given its arguments and its result."""
    repeatable: bool = False
    """Whether it may run again when nobody knows whether it did."""
    local: bool = False
    """Whether all that it changes is in the database of its actor: then it runs in one step with
    the log of the call. Any other runs once the log of it is durable."""

    @property
    def path(self) -> str:
        """What code calls it: `connector.name`."""
        return f"{self.connector}.{self.name}"

    def bind(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments by name; MisfitArguments if they do not fit the schema."""
        names = [*self.parameters.properties]
        if len(args) > len(names):
            raise self._bad(f"takes {len(names)} arguments, not {len(args)}")
        given = dict(zip(names, args, strict=False))
        twice = sorted(given.keys() & kwargs.keys())
        if twice:
            raise self._bad(f"{twice[0]} was given twice")
        given |= kwargs
        wrong = self.parameters.misfit(given)
        if wrong:
            raise self._bad(wrong)
        return given

    def _bad(self, text: str) -> MisfitArguments:
        hint = f"`await codemode.describe({self.path!r})` tells its arguments"
        return MisfitArguments(f"{self.path}: {text}", hint=hint, path=self.path)


class Connector(Protocol):
    """Offers tools under one name. Any object with these three is one.

    `operations` may be called again, and should be cheap then; `close` gives up what is held, and
    may be called twice. Both run on the loop of the actor whose `CodeMode` it is.
    """

    name: str

    async def operations(self) -> Sequence[Operation]:
        """Its tools. ToolFailed if they cannot be had now."""
        ...

    async def close(self) -> None:
        """Give up connections."""
        ...


def identifier(text: str) -> str:
    """A name that code can write, for one that a document or a server gave."""
    cleaned = re.sub(r"\W+", "_", text, flags=re.ASCII).strip("_")[:80] or "tool"
    if cleaned[0].isdigit() or keyword.iskeyword(cleaned):
        cleaned = f"tool_{cleaned}"
    return cleaned


def distinct(name: str, taken: Mapping[str, Any]) -> str:
    """The name, with a number behind it if another tool has it."""
    if name not in taken:
        return name
    return next(f"{name}_{n}" for n in range(2, len(taken) + 3) if f"{name}_{n}" not in taken)


def connector_name(name: str) -> str:
    """The name of a connector; ValueError for one that code cannot write or that is taken."""
    if not name.isidentifier() or keyword.iskeyword(name) or name.startswith("_"):
        raise ValueError(f"{name!r} is no name for a connector: code must be able to write it")
    return name
