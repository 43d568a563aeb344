"""How a timer goes on: when the next tick is, and how long a failed delivery waits."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol
from zlib import crc32

from actors.errors import BadTimer

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

SECOND = 1_000_000
"""Microseconds: what is kept is counted in them, since 1970."""
LATEST = 253_402_300_800 * SECOND
"""The end of the year 9999."""
LONGEST = 256
"""Characters of a cron expression."""
HORIZON = 8
"""Years within which a cron expression has to match: two leap years are no further apart."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """What becomes of a timer whose method raised.

    It is delivered again after `first` seconds, then each time after `factor` times as long, but
    not after more than `most`; when `attempts` deliveries have failed, it is dead. Each wait is
    longer or shorter by up to `jitter` of it, so that what failed together does not come back
    together; by how much follows from the delivery's id, the same every time.
    """

    first: float = 2.0
    factor: float = 2.0
    most: float = 3600.0
    attempts: int = 10
    jitter: float = 0.1

    def __post_init__(self) -> None:
        fine = 0 < self.first <= self.most < math.inf and 1 <= self.factor < math.inf
        if not fine or not 0 <= self.jitter < 1 or self.attempts < 1:
            raise BadTimer(
                f"{self} cannot be followed",
                hint="0 < first <= most, factor >= 1, attempts >= 1, 0 <= jitter < 1",
            )

    def wait(self, failed: int, delivery: str) -> float:
        """Seconds after the delivery of this id failed for the `failed`-th time."""
        grown = self.most
        if math.log(self.factor) * (failed - 1) < math.log(self.most / self.first):
            grown = self.first * self.factor ** (failed - 1)
        chance = crc32(f"{delivery}/{failed}".encode()) / 0xFFFFFFFF
        return min(grown, self.most) * (1 + self.jitter * (2 * chance - 1))


class Ticks(Protocol):
    """When a timer is due again."""

    def after(self, planned: int, now: int) -> int:
        """The first tick after `now` of one that had a tick at `planned`."""


@dataclass(frozen=True, slots=True)
class Every:
    """Ticks at one distance, counted from the first: being late once puts none of them off."""

    every: int
    """Microseconds."""

    def after(self, planned: int, now: int) -> int:
        """Those that are past already are left out."""
        return planned + self.every * max(1, (now - planned) // self.every + 1)


@dataclass(frozen=True, slots=True)
class Cron:
    """Ticks at the times that a cron expression names in a time zone."""

    cron: str
    tz: str

    def after(self, planned: int, now: int) -> int:
        """Where clocks are set, what croniter says: a time that does not exist is moved on."""
        from croniter import croniter

        start = datetime.fromtimestamp(now // SECOND, _zone(self.tz))
        ticks = croniter(self.cron, start, max_years_between_matches=HORIZON)
        while True:
            tick = int(ticks.get_next(datetime).timestamp()) * SECOND
            if tick > now:
                return tick

    def check(self, now: int) -> None:
        """Raise `BadTimer` for what is no expression, or never comes."""
        from croniter import CroniterError

        if len(self.cron) > LONGEST:
            raise BadTimer(f"a cron expression has at most {LONGEST} characters")
        try:
            self.after(now, now)
        except (CroniterError, ValueError, KeyError, OverflowError) as error:
            raise BadTimer(
                f"cron({self.cron!r}, tz={self.tz!r}) cannot be followed: {error}",
                hint='minute, hour, day, month, weekday: "30 9 * * mon"; a zone like Europe/Berlin',
            ) from error


@lru_cache
def _zone(name: str) -> ZoneInfo:
    from zoneinfo import ZoneInfo

    return ZoneInfo(name)


def keep(rule: Every | Cron | Backoff | None) -> str | None:
    """A rule as it is kept."""
    return None if rule is None else json.dumps(asdict(rule))


def rule_of(kept: str | None) -> Every | Cron | None:
    """The rule again; None for a timer that is due once."""
    if kept is None:
        return None
    said: dict[str, Any] = json.loads(kept)
    return Every(**said) if "every" in said else Cron(**said)


def backoff_of(kept: str | None) -> Backoff:
    """What is to be done when it fails."""
    return Backoff() if kept is None else Backoff(**json.loads(kept))
