"""What a guest sees of the world besides its messages: time and randomness."""

from __future__ import annotations

import hashlib
import math
import os
import time

MILLISECOND = 1_000_000
"""Nanoseconds; guests' clocks tell no less apart."""
EPOCH = 946_684_800
"""Seconds from 1970 to when the clocks of deterministic isolates start: 2000-01-01."""


class Ambient:
    """The clocks of this machine and its entropy."""

    __slots__ = ()

    def monotonic(self) -> int:
        """Nanoseconds since some moment, in milliseconds."""
        return time.monotonic_ns() // MILLISECOND * MILLISECOND

    def wall(self) -> int:
        """Nanoseconds since 1970, in milliseconds."""
        return time.time_ns() // MILLISECOND * MILLISECOND

    def random(self, count: int) -> bytes:
        """So many bytes that nobody can guess."""
        return os.urandom(count)

    def slept(self, seconds: float) -> None:
        """The guest waited so long in the middle of a call: time passed by itself."""


HOST = Ambient()


class Seeded(Ambient):
    """A clock that stands still and bytes that follow from a seed.

    Time moves only when the guest waited for it: to the moment a timer was due that fired, and
    by the seconds of a `time.sleep`, both rounded up to milliseconds. However long the host takes
    for anything, the guest does not see it.
    """

    __slots__ = ("_blocks", "_milliseconds", "_rest", "_seed")

    def __init__(self, seed: bytes) -> None:
        self._seed = hashlib.sha512(b"facets deterministic\0" + seed).digest()
        self._blocks = 0
        self._rest = b""
        self._milliseconds = 0

    @property
    def now(self) -> float:
        """Seconds since the isolate was minted, as it sees them."""
        return self._milliseconds / 1000

    def monotonic(self) -> int:
        """Since the isolate was minted."""
        return self._milliseconds * MILLISECOND

    def wall(self) -> int:
        """As if it had been minted at the start of the year 2000."""
        return EPOCH * 1_000_000_000 + self.monotonic()

    def random(self, count: int) -> bytes:
        """The next bytes: SHA-512 of the seed and a counter, end to end."""
        while len(self._rest) < count:
            self._rest += hashlib.sha512(self._seed + self._blocks.to_bytes(8, "little")).digest()
            self._blocks += 1
        given, self._rest = self._rest[:count], self._rest[count:]
        return given

    def slept(self, seconds: float) -> None:
        """Move on by what the guest waited."""
        self.reach(self.now + max(0.0, min(seconds, 1e8)))

    def reach(self, moment: float) -> None:
        """Move on to the first millisecond that is not before this moment."""
        least = math.ceil(round(moment * 1000, 6))  # 281.00000000000006 is 281
        if least / 1000 < moment:
            least += 1
        self._milliseconds = max(self._milliseconds, least)


def seed_of(chosen: int | str | bytes) -> bytes:
    """The bytes that a seed stands for; the same text, number or bytes are the same seed."""
    if isinstance(chosen, bytes):
        return b"b" + chosen
    if isinstance(chosen, str):
        return b"s" + chosen.encode()
    if isinstance(chosen, int) and not isinstance(chosen, bool):
        return b"i" + str(chosen).encode()
    raise TypeError(f"a seed is an int, a str or bytes, not {type(chosen).__name__}")
