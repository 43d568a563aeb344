"""Use that is forgiven with time."""

from __future__ import annotations


class Bucket:
    """What was used and is not forgiven yet; it may be more than is allowed."""

    __slots__ = ("_at", "_used")

    def __init__(self) -> None:
        self._used = 0.0
        self._at = 0.0

    def used(self, now: float, pace: float) -> float:
        """As of `now`, when `pace` of it is forgiven in a second."""
        self._used = max(0.0, self._used - (now - self._at) * pace)
        self._at = now
        return self._used

    def add(self, amount: float) -> None:
        """So much more, as of the last look."""
        self._used += amount
