"""What waits on a loop for its next request: closed by hand before the loop ends."""

from __future__ import annotations

import asyncio
from typing import Protocol
from weakref import WeakKeyDictionary, WeakSet


class Waits(Protocol):
    """Connections that are kept for a while. Held weakly here, by their own timer meanwhile."""

    async def retire(self) -> None:
        """Close what nobody uses, now or as soon as nobody does."""


_here: WeakKeyDictionary[asyncio.AbstractEventLoop, WeakSet[Waits]] = WeakKeyDictionary()


def enter(waits: Waits) -> None:
    """Let `retire` on the running loop find it."""
    _here.setdefault(asyncio.get_running_loop(), WeakSet()).add(waits)


async def retire() -> None:
    """Close the idle connections of every Egress on the running loop. Requests go on."""
    for waits in list(_here.get(asyncio.get_running_loop(), ())):
        await waits.retire()
