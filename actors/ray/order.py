"""Requests of one caller, taken in the order in which they were sent.

Ray starts the requests of an asynchronous actor in any order. So a caller numbers them, in series:
a new one begins when none is under way, and after one was lost, which the others of its series
would wait for.
"""

from __future__ import annotations

import asyncio

Position = tuple[int, int]
"""The series of a request, and its number there."""


class Sender:
    """The numbers of one caller."""

    __slots__ = ("_next", "_series", "_under_way")

    def __init__(self) -> None:
        self._series = 0
        self._next = 0
        self._under_way = 0

    def begin(self) -> Position:
        """The position of a request that is sent now."""
        if not self._under_way:
            self._series, self._next = self._series + 1, 0
        self._under_way += 1
        self._next += 1
        return self._series, self._next - 1

    def end(self) -> None:
        """A request was answered."""
        self._under_way -= 1

    def lost(self, position: Position) -> bool:
        """A request was not; whether others may wait for it, and should be told of a new series."""
        self._under_way -= 1
        if position[0] != self._series:
            return False
        waited_for = self._next > position[1] + 1
        self._series, self._next = self._series + 1, 0
        return waited_for


class Receiver:
    """What came of one caller."""

    __slots__ = ("_next", "_series", "_waiting")

    def __init__(self) -> None:
        self._series = -1
        self._next = 0
        self._waiting: dict[int, asyncio.Future[None]] = {}

    def begins(self, position: Position) -> bool:
        """Whether all requests before this one were taken; else `turn` waits for it."""
        series, number = position
        if series > self._series:
            self._series, self._next = series, 0
            waiting, self._waiting = self._waiting, {}
            for _, one in sorted(waiting.items()):
                _wake(one)
        return series < self._series or number == self._next

    async def turn(self, position: Position) -> None:
        """Wait until all requests before this one were taken, or are known to be lost."""
        if not self.begins(position):
            waiter = self._waiting[position[1]] = asyncio.get_running_loop().create_future()
            await waiter

    def taken(self, position: Position) -> None:
        """A request was taken: the next one's turn."""
        if position == (self._series, self._next):
            self._next += 1
            waiter = self._waiting.pop(self._next, None)
            if waiter is not None:
                _wake(waiter)


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
