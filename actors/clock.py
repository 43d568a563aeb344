"""Time, where the runtime needs it; injectable, so that tests need not wait."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Seconds that only move forward."""

    def time(self) -> float:
        """Now, in seconds since some moment."""


class MonotonicClock:
    """The clock of this machine."""

    time = staticmethod(time.monotonic)
