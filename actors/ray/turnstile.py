"""Waiting for something together, without losing one's place.

Calls that wait until something is found out must go on in the order in which they came, and what
comes just when it is known must not go past them: the order of calls is a promise.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable


class Turnstile:
    """Lets through in order, once `work` is done. It begins with the first who comes; an error of
    it is that of all who wait, and the next one who comes begins it anew."""

    def __init__(self, work: Callable[[], Awaitable[None]]) -> None:
        self._work = work
        self._working: asyncio.Task[None] | None = None
        self._done = False
        self._waiting: list[asyncio.Future[None]] = []
        self._inside = 0
        """Who has come and not gone on yet."""

    @property
    def clear(self) -> bool:
        """Whether nobody need wait any more."""
        return self._done and not self._inside

    async def passed(self) -> None:
        """Return when it is one's turn."""
        if self.clear:
            return
        loop = asyncio.get_running_loop()
        waiter = loop.create_future()
        self._inside += 1
        try:
            if self._done:
                loop.call_soon(_let_in, waiter)
            else:
                self._waiting.append(waiter)
                if self._working is None:
                    self._working = loop.create_task(self._run())
            await waiter
        finally:
            self._inside -= 1

    async def _run(self) -> None:
        error: Exception | None = None
        try:
            await self._work()
            self._done = True
        except Exception as failure:  # it is told to those who wait
            error = failure
        self._working = None
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            _let_in(waiter, error)


def _let_in(waiter: asyncio.Future[None], error: Exception | None = None) -> None:
    if waiter.done():
        return
    if error is None:
        waiter.set_result(None)
    else:
        waiter.set_exception(error)
