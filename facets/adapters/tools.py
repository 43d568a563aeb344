"""Methods of an actor as tools: what every framework here makes its own kind of tools from."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import msgspec

from actors.actor import Actor
from actors.blocking import BlockingStub
from actors.deadline import deadline
from actors.errors import RuntimeClosed
from actors.stub import Method as StubMethod
from actors.stub import Stub
from facets.adapters.bridge import Bridge, plain
from facets.adapters.errors import UnknownClass
from facets.agents.tool import Tool
from facets.serve.methods import Method, is_agent, methods
from storage.errors import JournalFailed

FATAL = (RuntimeClosed, JournalFailed)
"""What no model can do anything about: the framework gets these as they are."""


def tools_of(
    stub: Any,
    *,
    interface: type[Actor] | None = None,
    only: Sequence[str] | None = None,
    seconds: float | None = None,
) -> list[Tool]:
    """The methods of an actor or facet as tools, which `Agent.tools` takes too.

    `stub` is of any runtime, also of `blocking()`; calls may be made from any thread and loop. The
    tools are the methods that other actors may call and that JSON has arguments for, or those
    named in `only`; their annotations are the schemas, their docstrings the descriptions. Of an
    `Agent` there is one, by the name of its class, which takes a prompt and gives the output of a
    turn. `interface` is the class where the stub does not know it: `UnknownClass`.

    Each result is plain data, of at most 1 MiB as JSON; that of a stream is the list of its items.
    A call raises what the method raises, and `BadArguments` before it has run; cancelling it
    cancels the method. `seconds` is what a call may take where the tools are used.
    """
    cls = interface or class_of(stub)
    found = methods(cls)
    if only is not None:
        found = [_named(cls, found, name) for name in only]
    return [_tool(cls, stub, one, seconds) for one in found]


async def invoke(tool: Tool, arguments: Mapping[str, Any]) -> Any:
    """What a call of the tool gives, within the seconds it has: `DeadlineExceeded`."""
    with contextlib.nullcontext() if tool.seconds is None else deadline(tool.seconds):
        return await tool.call(**arguments)


def class_of(stub: Any) -> type[Actor]:
    """The class of what it refers to; `UnknownClass`."""
    inner = plain(stub)
    cls = inner._node.cls if isinstance(inner, Stub) else None
    if cls is None:
        raise UnknownClass(f"{stub!r} does not say which methods it has")
    return cls


def split(method: Any) -> tuple[Any, str]:
    """The stub and the name of a method of a stub; TypeError for anything else."""
    inner = method
    blocking = getattr(getattr(method, "func", None), "__self__", None)
    if isinstance(blocking, BlockingStub):
        (inner,) = method.args
    if not isinstance(inner, StubMethod):
        raise TypeError(f"{method!r} is no method of a stub")
    stub = Stub(inner._node)
    stub._incarnation = inner._incarnation
    if isinstance(blocking, BlockingStub):
        return BlockingStub(blocking._runtime, stub), inner._name
    return stub, inner._name


def _named(cls: type[Actor], known: list[Method], name: str) -> Method:
    for one in known:
        if one.shape.name == name:
            return one
    there = ", ".join(one.shape.name for one in known) or "none"
    raise AttributeError(f"{cls.__qualname__} has no tool {name!r}; there are: {there}")


def _tool(cls: type[Actor], stub: Any, method: Method, seconds: float | None) -> Tool:
    call = _caller(stub, method)
    if is_agent(cls):
        about = (cls.__doc__ or "").strip().split("\n\n")[0]
        return Tool(cls.__name__.lower(), about, _PROMPT, call, seconds)
    return Tool(method.shape.name, method.shape.text, method.arguments(), call, seconds)


def _caller(stub: Any, method: Method) -> Callable[..., Awaitable[Any]]:
    bridge, target = Bridge(stub), plain(stub)

    async def call(**arguments: Any) -> Any:
        return msgspec.json.decode(await bridge.run(method.call, target, arguments))

    return call


_PROMPT = {
    "type": "object",
    "properties": {"prompt": {"type": "string", "description": "what to do, in full"}},
    "required": ["prompt"],
    "additionalProperties": False,
}
