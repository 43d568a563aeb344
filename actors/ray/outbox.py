"""Replies of a host to one process that calls it.

A request brings many calls and takes back what is done soon; the rest is collected by another
request, which waits for it. So a call that takes long holds up nobody's answer, and no call
holds a slot of the host. What was collected stays until the caller says that it came: an answer
of Ray may be lost on its way, or belong to a request that its caller has given up.
"""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

from actors.ray.context import CallContext
from actors.ray.errors import LenderGone
from actors.ray.order import Receiver
from actors.ray.parcels import Data, Loan
from actors.ray.peer import Peer
from actors.ray.wire import load_error

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
        self._fetched = self._first
        """Number of the first that was never collected."""
        self.peer = Peer(loop, self.ask, self._tell)
        """The caller, as who lends and holds."""
        self._asked: dict[int, asyncio.Future[Message]] = {}
        self._numbers = itertools.count(1)
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
        return self._first + len(self._ready) - self._fetched

    def batch(self, ids: list[int]) -> Batch:
        """A request that brought these calls."""
        self.heard = self._loop.time()
        made = Batch(self, ids, self._loop)
        for one in ids:
            self._batches[one] = made
        return made

    async def ask(self, number: int, method: str, data: Data, context: CallContext | None) -> Any:
        """Use what the caller lent; the result, or what it raised."""
        asked = next(self._numbers)
        answer = self._asked[asked] = self._loop.create_future()
        try:
            self._ask(("ask", asked, number, method, data, context))
            message = await answer
            return self.peer.load(message[3]) if message[2] == "done" else _raise(message[3])
        finally:
            del self._asked[asked]
            if answer.cancelled():
                self._tell(("unask", asked))

    def hear(self, message: Message) -> None:
        """("answer", number, "done" or "failed", data), or ("drop", 0, number, times)."""
        if message[0] == "drop":
            self.peer.give_back(message[2], message[3])
            return
        if type(message[3]) is Loan:
            self.peer.take(message[3])
        answer = self._asked.get(message[1])
        if answer is not None and not answer.done():
            answer.set_result(message)

    def _ask(self, message: Message) -> None:
        if type(message[4]) is Loan:
            self.peer.lend(message[4])
        self._tell(message)

    def _tell(self, message: Message) -> None:
        """Something that is no reply. It is collected, as that is repeated when it fails, and
        the caller collects once its requests are back."""
        self._put(message)
        for batch in set(self._batches.values()):
            batch.end()

    def gone(self) -> None:
        """The caller has ended, and what it lent with it."""
        self.peer.lost()
        for answer in self._asked.values():
            if not answer.done():
                answer.set_exception(LenderGone("the process that lent this has ended"))

    def leave(self, ids: set[int]) -> None:
        """These calls are no longer waited for by their request."""
        for one in ids:
            self._batches.pop(one, None)

    def post(self, message: Message, *, last: bool = True) -> None:
        """A reply; the `last` one to its call unless it is an item of a stream."""
        if len(message) > 2 and type(message[2]) is Loan:
            self.peer.lend(message[2])
        batch = self._batches.get(message[1])
        if batch is not None:
            if last:
                del self._batches[message[1]]
            batch.post(message, last=last)
            return
        self._put(message)

    def _put(self, message: Message) -> None:
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
        self._fetched = max(self._fetched, got)
        if not self._ready:
            self._collector = self._loop.create_future()
            await asyncio.wait([self._collector], timeout=PATIENCE)
        self._fetched = self._first + len(self._ready)
        return self._first, list(self._ready)


def _raise(data: bytes) -> Any:
    raise load_error(data)


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
            self.end()
        elif self._timer is None:
            self._timer = self._loop.call_later(LINGER, self.end)

    def end(self) -> None:
        """Go back with what is done."""
        if not self._over.done():
            self._over.set_result(None)

    async def replies(self) -> list[Message]:
        """What is done when all is, or soon after the first."""
        if self._open:
            until = self._loop.call_later(PATIENCE, self.end)
            await self._over
            until.cancel()
        if self._timer is not None:
            self._timer.cancel()
        self._outbox.leave(self._open)
        return self._replies
