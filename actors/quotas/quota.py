"""The limits on an actor and all below it together."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

CPU_WINDOW = 60.0
"""Seconds after which processor time that was used is forgiven."""


@dataclass(frozen=True, slots=True)
class Quota:
    """What an actor and its whole subtree may use together; None is no limit.

    A facet may have one of its own, and what it uses counts for every quota above it as well: no
    part can exceed the whole. See `actors.quotas.errors` for what each raises; `on_quota` of the
    actor that gave the quota is told too.

    `meters` are units that only you can count, each with the most that may be spent of it in
    the life of the actor: `self.meters.spend("tokens", 120)`. What is spent is durable, and
    survives a `restore`; deleting the actor forgets it, though not for those above.
    """

    bytes: int | None = None
    """Of all databases. Looked at when a step that makes one larger is committed, and when a
    clone, an import, a restore or a move brings some below an actor that has it. Files of an actor
    with such a quota stay in its database, however large, and so they count."""
    databases: int | None = None
    """Actors that have ever written, the owner included: files on the disk."""
    open_databases: int | None = None
    """Databases that are open at the same time: 192 KB and 3 descriptors each. The one that was not
    used for longest is closed for the next, and opens again when its actor needs it."""
    concurrent: int | None = None
    """Calls in progress; a call that is made by one of them is one more. One that began before
    there was such a limit is not counted."""
    rate: float | None = None
    """Calls in a second; a second's worth of them, and always one, may come at once."""
    cpu: float | None = None
    """Seconds of processor time of sandboxes in a minute: what is used is forgiven steadily, so
    that it is all there again after `CPU_WINDOW`. When nothing is left, isolates that compute are
    killed, and calls to others refused. In memory; a new process begins with all."""
    meters: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "meters", dict(self.meters))
        limits = {name: getattr(self, name) for name in LIMITS}
        for name, limit in {**limits, **self.meters}.items():
            if limit is not None and not (_is_number(limit) and limit >= 0):
                raise ValueError(f"a quota of {name}={limit!r} is not a number from 0 on")
        if self.rate == 0:
            raise ValueError("a quota of rate=0 would never let anything pass")

    def __hash__(self) -> int:
        return hash(tuple([getattr(self, name) for name in LIMITS]))


LIMITS = ("bytes", "databases", "open_databases", "concurrent", "rate", "cpu")


def _is_number(value: object) -> bool:
    return type(value) in (int, float) and not math.isnan(value)  # type: ignore[arg-type]
