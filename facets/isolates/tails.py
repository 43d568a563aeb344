"""Tails: who hears of each invocation, after it is over and never in its way."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, final

from actors.steps import drive
from facets.isolates.invocation import Invocation
from facets.isolates.meter import Row, invocation

if TYPE_CHECKING:
    from actors.activation import Activation

Tail = Callable[[Invocation], object]
"""A plain or async function of the owner's, or a method of a stub."""
WAITING = 256
"""Invocations that wait for one tail; what is more is dropped, the oldest first."""


@final
class Delivery:
    """Brings invocations to one tail, one at a time and in order.

    It runs as the owner's own code, in steps of its own, in a later turn of the loop than the
    invocation. What it raises goes to the exception handler of the loop, with the invocation in
    the context, and the next one is delivered. It ends with the owner's incarnation.
    """

    __slots__ = ("_owner", "_running", "_tail", "_waiting", "dropped")

    def __init__(self, owner: Activation, tail: Tail) -> None:
        self._owner = owner
        self._tail = tail
        self._waiting: deque[Row] = deque(maxlen=WAITING)
        self._running = False
        self.dropped = 0
        """Invocations that the tail was too slow for."""

    def add(self, row: Row) -> None:
        """Deliver it soon."""
        if self._owner.broken is not None:
            return
        self.dropped += len(self._waiting) == WAITING
        self._waiting.append(row)
        if not self._running:
            self._running = True
            self._owner.node.host.background(self._deliver())

    async def _deliver(self) -> None:
        try:
            while self._waiting and self._owner.broken is None:
                await self._one(invocation(self._waiting.popleft()))
        finally:
            self._running = False

    async def _one(self, invocation: Invocation) -> None:
        owner = self._owner
        try:
            await owner.admit(None)
            await drive(owner.new_call("tail"), self._call(invocation))
        except Exception as error:
            owner.node.host.loop.call_exception_handler({
                "message": f"a tail of {invocation.isolate} failed",
                "exception": error,
                "invocation": invocation,
            })  # fmt: skip

    async def _call(self, invocation: Invocation) -> None:
        said: Any = self._tail(invocation)
        if isawaitable(said):
            await said
