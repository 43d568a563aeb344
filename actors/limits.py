"""What the sandboxes and the timers of one host may take."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class IsolateLimits:
    """Limits on all isolates of one actor and of one process. What one may use is `Limits`.

    | limit            | default | scope                                   | when it is crossed |
    |------------------|---------|-----------------------------------------|--------------------|
    | `actor_count`    | 5,000   | live isolates that one actor owns       | the next is refused, `IsolateCap` |
    | `actor_memory`   | 320 GiB | what they may grow to: the sum of their `Limits.memory` | the same |
    | `process_count`  | 10,000  | live isolates of the process            | the same |
    | `process_memory` | 640 GiB | what they may grow to                   | the same |
    | `log_count`      | 10,000  | invocations in an actor's log           | the oldest go; 0 keeps no log |
    | `log_age`        | 7 days  | the same                                | the oldest go |

    An isolate takes up its place from when it is minted until it ends, and frees it at once. What
    one really holds is about a megabyte; `Limits.memory` is what it may come to hold. The counts
    of a process are of all its runtimes together, each of which refuses by its own limits.
    """  # noqa: E501 - one row, one line

    actor_count: int = 5_000
    actor_memory: int = 320 << 30
    process_count: int = 10_000
    process_memory: int = 640 << 30
    log_count: int = 10_000
    log_age: float = 7 * 86_400.0

    def __post_init__(self) -> None:
        for one in fields(self):
            least = 0 if one.name == "log_count" else 1
            if getattr(self, one.name) < least:
                raise ValueError(f"{one.name}={getattr(self, one.name)!r} is less than {least}")


@dataclass(frozen=True, slots=True)
class TimerLimits:
    """Limits on the timers of each actor, and on how the host delivers them.

    | limit        | default  | scope                                | when it is crossed |
    |--------------|----------|--------------------------------------|--------------------|
    | `count`      | 10,000   | timers of one actor                  | the next is refused, `TimerLimit` |
    | `size`       | 64 KiB   | the arguments of one                 | the same |
    | `interval`   | 1 s      | distance of the ticks of `every`     | the same for a shorter one |
    | `dead`       | 1,000    | dead timers kept of one actor        | the oldest go |
    | `seconds`    | 900 s    | one delivery                         | cancelled and counted as failed, `DeadlineExceeded` |
    | `concurrent` | 256      | deliveries under way in the host     | the others wait, tree by tree in turn |
    | `tree`       | 16       | deliveries under way in one tree     | its others wait |
    """  # noqa: E501 - one row, one line

    count: int = 10_000
    size: int = 64 << 10
    interval: float = 1.0
    dead: int = 1_000
    seconds: float = 900.0
    concurrent: int = 256
    tree: int = 16

    def __post_init__(self) -> None:
        for one in fields(self):
            if not getattr(self, one.name) > 0:
                raise ValueError(f"{one.name}={getattr(self, one.name)!r} is not more than 0")
