"""What one exit may use in all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from facets.egress.errors import (
    ConcurrentBudget,
    EgressBudget,
    ReceivedBudget,
    RequestBudget,
    SentBudget,
    TimeBudget,
)

_Over = TypeVar("_Over", bound=EgressBudget)


@dataclass(frozen=True, slots=True)
class Budget:
    """What one `Exit` may use in its life. All are on.

    | budget     | counts                                           | default | error              |
    |------------|--------------------------------------------------|---------|--------------------|
    | requests   | requests, and redirects that are followed        | 1,000   | `RequestBudget`    |
    | sent       | bytes of URLs, headers and bodies out            | 64 MiB  | `SentBudget`       |
    | received   | bytes of headers and bodies in, as on the wire   | 256 MiB | `ReceivedBudget`   |
    | seconds    | from sending to the end of the answer, added up  | 600     | `TimeBudget`       |
    | concurrent | requests and open streams at the same time       | 16      | `ConcurrentBudget` |

    `requests`, `sent` and `concurrent` refuse before anything is sent, the others also cut off
    an answer on its way. Requests at the same time each see what was left when they began.
    """

    requests: int = 1_000
    sent: int = 64 << 20
    received: int = 256 << 20
    seconds: float = 600.0
    concurrent: int = 16

    def __post_init__(self) -> None:
        for name in ("requests", "sent", "received", "seconds", "concurrent"):
            if getattr(self, name) <= 0:
                raise ValueError(
                    f"{name}={getattr(self, name)!r} leaves nothing; use a positive one"
                )


class Account:
    """What an exit has used. Belongs to one loop."""

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.requests = 0
        self.sent = 0
        self.received = 0
        self.seconds = 0.0
        self.concurrent = 0

    @property
    def seconds_left(self) -> float:
        """Seconds that a request that begins now may take."""
        return self.budget.seconds - self.seconds

    def begin(self, url: str, size: int) -> None:
        """Enter a request of that many bytes, to be followed by exactly one `end`."""
        limits = self.budget
        if self.concurrent >= limits.concurrent:
            raise _over(ConcurrentBudget, url, limits.concurrent, "requests at the same time")
        if self.requests >= limits.requests:
            raise _over(RequestBudget, url, limits.requests, "requests")
        if self.sent + size > limits.sent:
            raise _over(SentBudget, url, limits.sent, "bytes sent")
        self.check(url)
        self.concurrent += 1
        self.requests += 1
        self.sent += size

    def check(self, url: str) -> None:
        """Raise if an answer must not go on."""
        if self.received > self.budget.received:
            raise _over(ReceivedBudget, url, self.budget.received, "bytes received")
        if self.seconds_left <= 0:
            raise self.out_of_time(url)

    def out_of_time(self, url: str) -> TimeBudget:
        """The error for it, for whoever keeps the deadline."""
        return _over(TimeBudget, url, self.budget.seconds, "seconds in requests")

    def end(self, seconds: float) -> None:
        """The request is over, however it ended."""
        self.concurrent -= 1
        self.seconds += seconds


def _over(error: type[_Over], url: str, limit: float, what: str) -> _Over:
    return error(f"the egress budget of {limit:g} {what} is used up", url=url, limit=limit)
