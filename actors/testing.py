"""Helpers for tests of code that runs on actors."""

from __future__ import annotations


class VirtualClock:
    """A clock that stands still until a test moves it."""

    def __init__(self) -> None:
        self._now = 0.0

    def time(self) -> float:
        """The virtual now."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Move on by `seconds`; nothing runs by itself, call `runtime.sweep()` after it."""
        self._now += seconds
