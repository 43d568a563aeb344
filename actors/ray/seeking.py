"""The way to a host that does not run: whoever calls it starts it again."""

from __future__ import annotations

import asyncio
from typing import Any
from weakref import WeakKeyDictionary

AGAIN = 1.0
"""Seconds for which a host that could not be started is not tried again."""

_tries: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[str, str], asyncio.Task[Any]]]
_tries = WeakKeyDictionary()


async def seek(runtime: str, host: str) -> Any:
    """Ray's handle of a host, started if need be; `DiskAway` if no node has its state."""
    from actors.ray.router import find

    found = find(runtime, host)
    if found is not None:
        return found
    loop = asyncio.get_running_loop()
    tries = _tries.setdefault(loop, {})
    key = runtime, host
    if key not in tries:
        tries[key] = loop.create_task(_revive(runtime, host))
        tries[key].add_done_callback(lambda done: _over(loop, key, done))
    return await asyncio.shield(tries[key])


async def _revive(runtime: str, host: str) -> Any:
    from actors.ray.fleet import Fleet

    fleet = await asyncio.to_thread(Fleet.of, runtime)
    return (await fleet.revive(host))[0]


def _over(loop: asyncio.AbstractEventLoop, key: tuple[str, str], done: asyncio.Task[Any]) -> None:
    failed = not done.cancelled() and done.exception() is not None
    loop.call_later(AGAIN if failed else 0.0, _tries[loop].pop, key, None)
