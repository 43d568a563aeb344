"""Replies of a host to one process that calls it.

A request brings many calls and takes back what is done soon; the rest is collected by another
request, which waits for it. So a call that takes long holds up nobody's answer, and no call
holds a slot of the host. What was collected stays until the caller says that it came: an answer
of Ray may be lost on its way, or belong to a request that its caller has given up.
"""

from __future__ import annotations

import asyncio
from typing import Any

from actors.ray.order import Receiver

LINGER = 0.002
"""Seconds that a request waits for its other calls once one is done."""
PATIENCE = 3.0
"""Seconds after which a request that waits returns with nothing, so that a caller who is gone
is noticed."""

Message = tuple[Any, ...]


class Outbox:
    """What is ready for one caller, and who waits for it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.order = Receiver()
        self._tasks: set[asyncio.Task[None]] = set()
        self._ready: list[Message] = []
        """What is to be collected, and what was and may not have come."""
        self._first = int(loop.time() * 1e6)
        """Number of the first. Higher than all before: an outbox that was given up had others."""
        self._batches: dict[int, Batch] = {}
        """The request that still waits for a call."""
        self._collector: asyncio.Future[None] | None = None
        self.heard = loop.time()
        """When the caller last asked for something."""

    def keep(self, task: asyncio.Task[None]) -> None:
        """Let a task that takes calls run to its end."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def __len__(self) -> int:
        """Replies that nobody has fetched."""
        return len(self._ready)

    def batch(self, ids: list[int]) -> Batch:
        """A request that brought these calls."""
        self.heard = self._loop.time()
        made = Batch(self, ids, self._loop)
        for one in ids:
            self._batches[one] = made
        return made

    def leave(self, ids: set[int]) -> None:
        """These calls are no longer waited for by their request."""
        for one in ids:
            self._batches.pop(one, None)

    def post(self, message: Message, *, last: bool = True) -> None:
        """A reply; the `last` one to its call unless it is an item of a stream."""
        batch = self._batches.get(message[1])
        if batch is not None:
            if last:
                del self._batches[message[1]]
            batch.post(message, last=last)
            return
        self._ready.append(message)
        if self._collector is not None and not self._collector.done():
            self._collector.set_result(None)

    async def collect(self, got: int) -> tuple[int, list[Message]]:
        """Everything ready, as soon as there is something; which number the first has.

        The caller has those before number `got`, and will not ask for them again.
        """
        self.heard = self._loop.time()
        del self._ready[: max(0, got - self._first)]
        self._first = max(self._first, got)
        if not self._ready:
            self._collector = self._loop.create_future()
            await asyncio.wait([self._collector], timeout=PATIENCE)
        return self._first, list(self._ready)


class Batch:
    """The calls of one request."""

    def __init__(self, outbox: Outbox, ids: list[int], loop: asyncio.AbstractEventLoop) -> None:
        self._outbox = outbox
        self._open = set(ids)
        self._replies: list[Message] = []
        self._loop = loop
        self._over: asyncio.Future[None] = loop.create_future()
        self._timer: asyncio.TimerHandle | None = None

    def post(self, message: Message, *, last: bool) -> None:
        """A reply to one of them."""
        self._replies.append(message)
        if last:
            self._open.discard(message[1])
        if not self._open:
            self._end()
        elif self._timer is None:
            self._timer = self._loop.call_later(LINGER, self._end)

    def _end(self) -> None:
        if not self._over.done():
            self._over.set_result(None)

    async def replies(self) -> list[Message]:
        """What is done when all is, or soon after the first."""
        if self._open:
            await asyncio.wait([self._over], timeout=PATIENCE)
        if self._timer is not None:
            self._timer.cancel()
        self._outbox.leave(self._open)
        return self._replies
