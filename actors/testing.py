"""Helpers for tests of code that runs on actors."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import Context
from itertools import count

EPOCH = 1_767_225_600.0
"""What `VirtualClock.now` begins with: the first second of 2026, UTC."""


class VirtualClock:
    """A clock that stands still until a test moves it.

    `advance` is plain: it calls what is due on the way, each at its own time, and returns; what
    that begins (tasks, timers of actors) runs when the test awaits something. `await run(seconds)`
    lets it: everything comes to rest after each jump, before the next one.

    At rest means that the loop has nothing to do and nobody holds the clock (`hold`): a delivery
    of a timer does while it runs. What holds it and itself waits for the clock is waited for
    `patience` seconds of real time.
    """

    def __init__(self, *, now: float = EPOCH, patience: float = 1.0) -> None:
        self.patience = patience
        self._time = 0.0
        self._began = now
        self._alarms: list[tuple[float, int, VirtualAlarm]] = []
        self._numbers = count()
        self._held = 0

    def time(self) -> float:
        """Virtual seconds since it was made."""
        return self._time

    def now(self) -> float:
        """Virtual seconds since 1970."""
        return self._began + self._time

    def call_at(self, when: float, callback: Callable[[], object]) -> VirtualAlarm:
        """Call `callback` when it is advanced to `when`; with the next advance if that is past."""
        alarm = VirtualAlarm(callback)
        heapq.heappush(self._alarms, (when, next(self._numbers), alarm))
        return alarm

    @property
    def next(self) -> float | None:
        """When the next alarm is due, by `time`; None without one."""
        while self._alarms and self._alarms[0][2].callback is None:
            heapq.heappop(self._alarms)
        return self._alarms[0][0] if self._alarms else None

    def advance(self, seconds: float) -> None:
        """Move on by `seconds`, and call what is due on the way in its order."""
        until = self._time + seconds
        while self._jump(until):
            pass

    async def run(self, seconds: float) -> None:
        """Move on by `seconds`; what is due on the way runs to its rest before the next jump."""
        until = self._time + seconds
        await self.settle()
        while self._jump(until):
            await self.settle()

    def _jump(self, until: float) -> bool:
        """To the next alarm, which is called, or to `until`; whether there was an alarm."""
        due = self.next
        if due is None or due > until:
            self._time = max(self._time, until)
            return False
        self._time = max(self._time, due)
        heapq.heappop(self._alarms)[2].fire()
        return True

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Something is under way inside; `run` does not move on before it is over."""
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1

    async def settle(self) -> None:
        """Return when everything has come to rest at this moment."""
        loop = asyncio.get_running_loop()
        patient_until = loop.time() + self.patience
        while True:
            await _turn(loop)
            if not self._held or loop.time() > patient_until:
                return
            await asyncio.sleep(0.001)  # a thread is at work: nothing here says when it is done


class VirtualAlarm:
    """A callback that a virtual clock is going to call."""

    __slots__ = ("callback",)

    def __init__(self, callback: Callable[[], object]) -> None:
        self.callback: Callable[[], object] | None = callback

    def cancel(self) -> None:
        """Do not call it."""
        self.callback = None

    def fire(self) -> None:
        """Call it, in an empty context; nothing happens if it was cancelled."""
        callback, self.callback = self.callback, None
        if callback is not None:
            Context().run(callback)


async def _turn(loop: asyncio.AbstractEventLoop) -> None:
    """Return when the loop has nothing left that is ready to run."""
    ready = getattr(loop, "_ready", ())
    for _ in range(3):  # the last callbacks of a turn may make others ready through the selector
        await asyncio.sleep(0)
        while ready:
            await asyncio.sleep(0)
