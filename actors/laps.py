"""Durations of one kind of thing, as they come."""

from __future__ import annotations

from collections import deque

KEPT = 128
"""Of the newest laps; what is more between two looks is counted and summed only."""


class Laps:
    """How many there were, what they took together, and the newest of them.

    `add` costs some hundredths of a microsecond. On one thread.
    """

    __slots__ = ("count", "newest", "recent", "seconds")

    def __init__(self) -> None:
        self.count = 0
        self.seconds = 0.0
        self.newest = 0.0
        self.recent: deque[float] = deque(maxlen=KEPT)

    def add(self, seconds: float) -> None:
        """One more."""
        self.count += 1
        self.seconds += seconds
        self.newest = seconds
        self.recent.append(seconds)

    def take(self) -> list[float]:
        """The newest since this was last asked, at most `KEPT`."""
        taken = list(self.recent)
        self.recent.clear()
        return taken
