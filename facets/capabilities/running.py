"""Running what a capability stands for: as code of its own actor, in steps of that actor."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from actors.call import CURRENT, Call
from actors.origin import call_from_outside
from actors.steps import begin, drive, finish
from actors.streams import Stream, lend
from actors.values import Memo, Stuck, copied_by, copy
from actors.visit import visit, visit_stream

if TYPE_CHECKING:
    from actors.activation import Activation
    from facets.capabilities.capability import Capability


Around = Callable[[Coroutine[Any, Any, Any]], Coroutine[Any, Any, Any]]


def _plainly(running: Coroutine[Any, Any, Any]) -> Coroutine[Any, Any, Any]:
    return running


class Use(Coroutine[Any, Any, Any]):
    """A call before it runs: await it, make a task of it, or iterate it."""

    __slots__ = ("_args", "_capability", "_kwargs", "_method", "_running")

    def __init__(
        self, capability: Capability, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        self._capability = capability
        self._method = method
        self._args = args
        self._kwargs = kwargs
        self._running: Coroutine[Any, Any, Any] | None = None

    def _begin(self) -> Coroutine[Any, Any, Any]:
        if self._running is None:
            self._running = run(self._capability, self._method, self._args, self._kwargs)
        return self._running

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._begin().__await__()

    def __aiter__(self) -> AsyncGenerator[Any, None]:
        return iterate(self._capability, self._method, self._args, self._kwargs)

    @property
    def streams(self) -> bool:
        """Whether it may be iterated, as far as is known."""
        return self._capability.methods.get(self._method, "stream") == "stream"

    def __repr__(self) -> str:
        return f"<use of {_label(self._capability, self._method)}>"

    def send(self, value: Any) -> Any:
        """Part of the coroutine protocol, for tasks."""
        return self._begin().send(value)

    def throw(self, *error: Any) -> Any:
        """Part of the coroutine protocol, for tasks."""
        return self._begin().throw(*error)

    def close(self) -> None:
        """Part of the coroutine protocol: give the call up."""
        if self._running is not None:
            self._running.close()


async def run(
    capability: Capability, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Use a capability from trusted code: one call."""
    capability.admit(method, args, kwargs)
    home = elsewhere(capability)
    if home is None:
        return await capability.call(method, args, kwargs)
    return copy(await at_home(capability, home, method, args, kwargs), "result", home)


async def iterate(
    capability: Capability, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> AsyncGenerator[Any, None]:
    """The same for a stream."""
    capability.admit(method, args, kwargs)
    home = elsewhere(capability)
    if home is None:
        items = capability.stream(method, args, kwargs)
    else:
        items = stream_at_home(capability, home, method, args, kwargs)
    try:
        async for item in items:
            yield item if home is None else copy(item, "item", home)
    finally:
        await items.aclose()


def _lend_use(use: Use, memo: Memo) -> Stream:
    """The items of a streaming use, passed on before anybody iterated it."""
    if not use.streams:
        raise Stuck("", f"{use!r} was called and not awaited", "pass what it returns")
    return lend(aiter(use), memo)


copied_by(Use, _lend_use)


def elsewhere(capability: Capability) -> Activation | None:
    """The actor that the code must run as, if that is not the one that runs already."""
    if not capability.at_home:
        return None
    call = CURRENT.get()
    return None if call is not None and call.activation is capability.home else capability.home


async def at_home(
    capability: Capability,
    home: Activation,
    method: str,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    around: Around = _plainly,
) -> Any:
    """Run one call as a call of `home`, made by the current one; `around` is part of it."""
    call = _call(home, _label(capability, method))

    def run() -> Awaitable[Any]:
        return finish(begin(call, around(capability.call(method, args, kwargs))))

    return await visit(home, run)


def stream_at_home(
    capability: Capability,
    home: Activation,
    method: str,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> AsyncGenerator[Any, None]:
    """The same for a stream."""
    call = _call(home, _label(capability, method))
    return visit_stream(home, lambda: _pulled(call, capability.stream(method, args, kwargs)))


def _call(home: Activation, label: str) -> Call:
    caller = CURRENT.get()
    return call_from_outside(home, label) if caller is None else Call(home, label, caller)


async def _pulled(call: Call, items: AsyncGenerator[Any, None]) -> AsyncGenerator[Any, None]:
    """Each pull is a step of the code's own actor."""
    context = copy_context()
    context.run(CURRENT.set, call)
    try:
        while True:
            try:
                item = await drive(call, items.asend(None), context)
            except StopAsyncIteration:
                return
            yield item
    finally:
        await drive(call, items.aclose(), context)


def _label(capability: Capability, method: str) -> str:
    return f"{capability.name}.{method}" if method else capability.name
