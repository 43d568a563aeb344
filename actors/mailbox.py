"""How many calls one actor runs in one turn of the event loop, and how many it has at all.

An actor that is called by thousands of tasks at once would otherwise run all of them before
anything else gets its turn. Here the first of a turn begin, or go on, at once, and the rest wait in
their order for the next turns, while the calls of other actors go past them. A call costs one
comparison for it: of how many have begun with how many may begin without asking.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextvars import Context
from typing import TYPE_CHECKING

from actors.errors import Busy

if TYPE_CHECKING:
    from actors.activation import Activation

TURN = 256
"""Calls that an actor begins, or goes on with, in one turn of the loop."""
MAILBOX = 10_000
"""Calls that an actor may have under way, if its class does not say."""


def full(actor: str, waiting: int, limit: int) -> Busy:
    """Why a call was refused."""
    return Busy(
        f"{actor} has {waiting} calls under way, and takes no more",
        hint="try again later, or raise the bound: class X(Actor, mailbox=...)",
        actor=actor,
        waiting=waiting,
        limit=limit,
    )


class Mailbox:
    """Of one activation that has used up what it may begin without asking."""

    __slots__ = ("_activation", "_loop", "_since", "_waiting")

    def __init__(self, activation: Activation) -> None:
        self._activation = activation
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._since = 0
        """Calls that had begun when this turn was opened."""

    async def enter(self) -> None:
        """Return when the call, which counts as begun already, may begin.

        `Busy` if the actor has as many calls as it may."""
        one = self._activation
        if one.calls > one.capacity:
            raise full(one.id, one.calls - 1, one.capacity)
        await self.turn()

    async def turn(self) -> None:
        """Return when the actor has a turn left for what counts as begun already."""
        if self._waiting or self._activation.begun > self._since + TURN:
            await self._next_turn()
        else:
            self._allow()

    async def _next_turn(self) -> None:
        one = self._activation
        if not self._waiting:
            self._loop.call_soon(self._open, context=Context())
            one.allowed = 0  # everybody asks, so that nobody goes past those that wait
        waiter = self._loop.create_future()
        self._waiting.append(waiter)
        await waiter
        if one.broken is not None:
            raise one.reason()

    def _open(self) -> None:
        """A new turn: let in those that come first."""
        let_in = 0
        while self._waiting and let_in < TURN:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                let_in += 1
        self._since = self._activation.begun - let_in
        if self._waiting:
            self._loop.call_soon(self._open, context=Context())
        else:
            self._allow()

    def _allow(self) -> None:
        """Until the turn's calls or the mailbox's are used up, nobody need ask."""
        one = self._activation
        one.allowed = min(self._since + TURN, one.ended + one.capacity)
