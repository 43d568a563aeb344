"""The clock of one guest, and its one timer."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

from facets.isolates.ambient import Seeded

TICK = 0.001
"""Seconds between two times that a guest can tell apart."""


def when(said: object) -> float:
    """A time that a guest wrote; ValueError if it is none. One that is not a number would put the
    loop's timers, which are everybody's, out of order."""
    if type(said) not in (int, float):
        raise ValueError("a time is a number")
    due = float(said)  # type: ignore[arg-type]
    if math.isnan(due):
        raise ValueError("a time is a number")
    return due


class Clock:
    """The loop's time in milliseconds; `tick` is called when the guest's earliest timer is due."""

    __slots__ = ("_due", "_loop", "_tick", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop, tick: Callable[[], None]) -> None:
        self._loop = loop
        self._tick = tick
        self._timer: asyncio.TimerHandle | None = None
        self._due = math.inf

    def now(self) -> float:
        """The time of a pump that begins now."""
        time = self._loop.time()
        now = time // TICK / 1000
        # A timer of the loop may fire within the millisecond in which it is due.
        return self._due if now < self._due <= time else now

    def arm(self, due: float) -> None:
        """Call `tick` at this time; never if it is infinite. Replaces what was armed before."""
        if due == self._due:
            return
        self.stop()
        self._due = due
        if due < math.inf:
            self._timer = self._set(due)

    def stop(self) -> None:
        """Call `tick` no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set(self, due: float) -> asyncio.TimerHandle:
        return self._loop.call_at(due, self._fire)

    def _fire(self) -> None:
        self._timer = None
        self._tick()


class SteadyClock(Clock):
    """The clock of a deterministic isolate: it stands still until a timer that fired was due."""

    __slots__ = ("_ambient",)

    def __init__(
        self, loop: asyncio.AbstractEventLoop, tick: Callable[[], None], ambient: Seeded
    ) -> None:
        super().__init__(loop, tick)
        self._ambient = ambient

    def now(self) -> float:
        """The same as before, if no timer fired."""
        return self._ambient.now

    def _set(self, due: float) -> asyncio.TimerHandle:
        return self._loop.call_later(max(0.0, due - self._ambient.now), self._fire)

    def _fire(self) -> None:
        self._ambient.reach(self._due)
        super()._fire()
