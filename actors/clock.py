"""Time, where the runtime needs it; injectable, so that tests need not wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context
from time import monotonic
from time import time as wall_time
from types import TracebackType
from typing import Protocol


class Alarm(Protocol):
    """A callback that a clock is going to call."""

    def cancel(self) -> object:
        """Do not call it. Nothing happens if it was called or cancelled already."""


class Clock(Protocol):
    """What the runtime knows of time. Used on one event loop.

    `time` is for how long something takes, `now` for what is kept: the one never goes back, the
    other follows what people set. The runtime uses no other clock for what a test may want to
    wait for; how long the disk and untrusted code take is measured in the machine's own time.
    """

    def time(self) -> float:
        """Seconds since some moment; they only move forward."""

    def now(self) -> float:
        """Seconds since 1970."""

    def call_at(self, when: float, callback: Callable[[], object]) -> Alarm:
        """Call `callback` when `time` reaches `when`; soon if it is past.

        It runs on the loop, in an empty context: as code of nobody.
        """


class SystemClock:
    """The clock of this machine."""

    time = staticmethod(monotonic)
    now = staticmethod(wall_time)

    def call_at(self, when: float, callback: Callable[[], object]) -> Alarm:
        """A timer of the running loop, whose own clock may be another."""
        loop = asyncio.get_running_loop()
        return loop.call_later(when - monotonic(), callback, context=Context())


class Timeout:
    """`asyncio.timeout` by another clock: `async with Timeout(clock, seconds):`.

    The task inside is cancelled when the time is over, and the block raises TimeoutError.
    """

    __slots__ = ("_alarm", "_clock", "_seconds", "_timeout", "expired")

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock = clock
        self._seconds = seconds
        self._timeout = asyncio.timeout(None)
        self._alarm: Alarm | None = None
        self.expired = False
        """The time was over while the block was open; the task is being cancelled."""

    async def __aenter__(self) -> Timeout:
        await self._timeout.__aenter__()
        self._alarm = self._clock.call_at(self._clock.time() + self._seconds, self._expire)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        await self._timeout.__aexit__(kind, error, trace)

    def _expire(self) -> None:
        self.expired = True
        self._timeout.reschedule(asyncio.get_running_loop().time())
