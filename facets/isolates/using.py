"""How a guest's use of a capability runs: as the call of trusted code in its place would."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any

from actors.call import CURRENT, Call
from actors.transaction import refuse
from facets.capabilities.running import at_home, stream_at_home

if TYPE_CHECKING:
    from actors.activation import Activation
    from facets.isolates.serving import Asked


async def use(asked: Asked, source: Activation) -> Any:
    """Run one call to a capability for code in an isolate of `source`; what it returns.

    The step of the guest that made it has been committed. Code of another actor runs in steps
    of that actor; code that nobody made is outside, and sees only what is durable.
    """
    cause = await _enter(asked, source)
    capability, home = asked.grant.capability, asked.grant.home
    if capability.at_home and home is not None:
        return await at_home(capability, home, asked.method, asked.args, asked.kwargs)
    if capability.at_home:
        await _outside(asked, source, cause)
    return await capability.call(asked.method, asked.args, asked.kwargs)


async def iterate(asked: Asked, source: Activation) -> AsyncGenerator[Any, None]:
    """The items of a stream of a capability, under the same terms."""
    cause = await _enter(asked, source)
    capability, home = asked.grant.capability, asked.grant.home
    if capability.at_home and home is not None:
        items = stream_at_home(capability, home, asked.method, asked.args, asked.kwargs)
    else:
        if capability.at_home:
            await _outside(asked, source, cause)
        items = capability.stream(asked.method, asked.args, asked.kwargs)
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
