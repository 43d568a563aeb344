"""Calls of one process to one actor, on their way to whichever host owns it.

They are sent in the order in which they were made. When the actor has moved, those that were sent
to its old host come back one by one, and are sent again: none before those that were made
earlier, and a new one behind them all.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

Way = TypeVar("Way")


class Lane(Generic[Way]):
    """The calls to one actor that are not over."""

    __slots__ = ("_calls", "_next", "_sent", "_waiting")

    def __init__(self) -> None:
        self._calls: dict[int, Way | None] = {}
        """In the order in which they were made: which way each was sent; None: it waits."""
        self._sent: Counter[Way | None] = Counter()
        """How many went each way."""
        self._next = 0
        self._waiting: dict[int, asyncio.Future[None]] = {}

    def __len__(self) -> int:
        return len(self._calls)

    @contextmanager
    def place(self) -> Iterator[int]:
        """The place of a call that is made now, until it is over."""
        number = self._next
        self._next += 1
        self._calls[number] = None
        self._sent[None] += 1
        try:
            yield number
        finally:
            self._put(number, None)
            del self._calls[number]
            self._sent[None] -= 1

    def may(self, number: int, way: Way) -> bool:
        """Whether a call may be sent that way now, and counts as sent: all that were made before it
        have been sent the same way, or are over."""
        alone = self._sent[None] == 1 and self._sent[way] == len(self._calls) - 1
        if not alone and any(self._calls[one] is not way for one in self._before(number)):
            return False
        self._put(number, way)
        return True

    def _before(self, number: int) -> Iterator[int]:
        for one in self._calls:
            if one == number:
                return
            yield one

    def back(self, number: int) -> None:
        """A call came back, and is to be sent again."""
        self._put(number, None)

    def _put(self, number: int, way: Way | None) -> None:
        was = self._calls[number]
        self._sent[was] -= 1
        if not self._sent[was]:
            del self._sent[was]
        self._sent[way] += 1
        self._calls[number] = way
        if self._waiting:  # what keeps the first one keeps the others
            first = self._waiting.pop(min(self._waiting))
            if not first.done():  # else it is being given up, and tells the next one itself
                first.set_result(None)

    async def change(self, number: int) -> None:
        """Return when it may be a call's turn, because another was sent or is over."""
        waiter = self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            await waiter
        finally:
            self._waiting.pop(number, None)
