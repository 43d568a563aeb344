"""How a guest's use of a capability runs: as the call of trusted code in its place would."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from actors.call import CURRENT, Call
from actors.steps import begin, drive, finish
from actors.transaction import refuse
from facets.capabilities.visit import visit, visit_stream

if TYPE_CHECKING:
    from actors.activation import Activation
    from facets.isolates.serving import Asked


async def use(asked: Asked, source: Activation) -> Any:
    """Run one call to a capability for code in an isolate of `source`; what it returns.

    The step of the guest that made it has been committed. Code of another actor runs in steps
    of that actor; code that nobody made is outside, and sees only what is durable.
    """
    cause = await _enter(asked, source)
    capability, method, args, kwargs = _parts(asked)
    home: Activation | None = asked.grant.home
    if not capability.at_home:
        return await capability.call(method, args, kwargs)
    if home is None:
        await _outside(asked, source, cause)
        return await capability.call(method, args, kwargs)
    call = Call(home, _label(asked), cause)
    return await visit(home, lambda: _driven(call, capability.call(method, args, kwargs)))


async def iterate(asked: Asked, source: Activation) -> AsyncGenerator[Any, None]:
    """The items of a stream of a capability, under the same terms."""
    cause = await _enter(asked, source)
    capability, method, args, kwargs = _parts(asked)
    home: Activation | None = asked.grant.home
    if capability.at_home and home is not None:
        call = Call(home, _label(asked), cause)
        items = visit_stream(home, lambda: _pulled(call, capability.stream(method, args, kwargs)))
    else:
        if capability.at_home:
            await _outside(asked, source, cause)
        items = capability.stream(method, args, kwargs)
    try:
        async for item in items:
            yield item
    finally:
        await items.aclose()


async def _enter(asked: Asked, source: Activation) -> Call:
    """Make the guest's call the current one; wait while a transaction of others holds its actor."""
    cause: Call = asked.cause or Call(source, "a task of its own", None)
    while (held := source.transaction) is not None and held is not cause.transaction:
        await held.over()
    if source.broken is not None:
        raise source.reason()
    CURRENT.set(cause)
    return cause


async def _outside(asked: Asked, source: Activation, cause: Call) -> None:
    refuse(cause, f"a call to {asked.grant.capability.name}")
    await source.node.host.gate.passed(source.dependency, source.remote)
    CURRENT.set(None)


def _driven(call: Call, coroutine: Any) -> Awaitable[Any]:
    return finish(begin(call, coroutine))


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


def _parts(asked: Asked) -> Any:
    return asked.grant.capability, asked.method, asked.args, asked.kwargs


def _label(asked: Asked) -> str:
    name = asked.grant.capability.name
    return f"{name}.{asked.method}" if asked.method else name
