"""Calls that may be made again: their outcome is kept under a key, so they have one effect.

A host that dies takes seconds to come back, and many callers wait for it: each tries again after a
random pause, which grows.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from actors.deadline import remaining
from actors.errors import ActorMoved, RuntimeClosed
from actors.once import KEY
from actors.ray.errors import HostLost

if TYPE_CHECKING:
    from actors.ray.stub import ActorRef

SECONDS = 60.0
"""How long a call without a deadline is repeated."""
FIRST, MOST = 0.05, 2.0
"""Seconds of the first pause, and of the longest; what is waited is a random part of it."""


def may_repeat(kwargs: dict[str, Any]) -> bool:
    """Whether a call with these named arguments has one effect however often it is made."""
    return kwargs.get(KEY) is not None


async def repeat(call: Callable[[], Awaitable[Any]], ref: ActorRef, method: str) -> Any:
    """The outcome of a call of `method`, made again while hosts are lost over it.

    Until the deadline, else for 60 s; then it raises what the last attempt did."""
    loop = asyncio.get_running_loop()
    left = remaining()
    until = loop.time() + (SECONDS if left is None else left)
    pause = FIRST
    while True:
        try:
            return await call()
        except (HostLost, ActorMoved, RuntimeClosed) as error:
            if not _is_about(error, ref, method) or loop.time() + pause > until:
                raise
        await asyncio.sleep(random.uniform(pause / 4, pause))
        pause = min(2 * pause, MOST)


def _is_about(error: Exception, ref: ActorRef, method: str) -> bool:
    """Whether the call itself was broken off. Else the error is what its method raised, over a
    call that it made for example, and that is the outcome."""
    if isinstance(error, HostLost):
        called = f"{ref.kind}:{ref.name}", method
        return not error.actor or (error.actor, error.method) == called
    if isinstance(error, ActorMoved):  # to another host, if its place is still the same
        return not ref.lent and error.to == str(ref)
    return True  # its host was closed, and may be opened again
