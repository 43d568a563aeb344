"""Calls that may be made again: their outcome is kept under a key, so they have one effect.

A host that dies takes seconds to come back, and many callers wait for it: each tries again after a
random pause, which grows.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

from actors.deadline import remaining
from actors.errors import ActorMoved
from actors.names import root_id
from actors.once import KEY
from actors.ray.errors import HostLost

SECONDS = 60.0
"""How long a call without a deadline is repeated."""
FIRST, MOST = 0.05, 2.0
"""Seconds of the first pause, and of the longest; what is waited is a random part of it."""


def may_repeat(kwargs: dict[str, Any]) -> bool:
    """Whether a call with these named arguments has one effect however often it is made."""
    return kwargs.get(KEY) is not None


async def repeat(call: Callable[[], Awaitable[Any]], actor: str, method: str) -> Any:
    """The outcome of a call of `method`, made again while hosts are lost over it, or its
    actor moves.

    Until the deadline, else for 60 s; then the `HostLost` of the last attempt."""
    loop = asyncio.get_running_loop()
    left = remaining()
    until = loop.time() + (SECONDS if left is None else left)
    pause = FIRST
    while True:
        try:
            return await call()
        except ActorMoved as moved:  # broken off, as it moves: it may have run
            if moved.to != root_id(*actor.split(":", 1)) or loop.time() + pause > until:
                raise
        except HostLost as lost:
            # One about another call is what the method raised, and its outcome.
            if (lost.actor, lost.method) != (actor, method) or loop.time() + pause > until:
                raise
        await asyncio.sleep(random.uniform(pause / 4, pause))
        pause = min(2 * pause, MOST)
