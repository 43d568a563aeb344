"""What a host tells Ray's metrics, every few seconds, and never on the way of a call.

Names begin with `facets_`; the tags are `runtime` and `host`, and no others, so that there are as
many series as there are hosts. Ray serves them where it serves its own, one port for each node.
"""

from __future__ import annotations

import asyncio
from dataclasses import fields
from typing import TYPE_CHECKING

from actors.laps import Laps
from actors.readings import Counts, Readings, read

if TYPE_CHECKING:
    from actors.host import Host

EVERY = 5.0
"""Seconds between two looks at the meters."""
SHARE = 1e-3
"""Of the time, for counting rows: every look while there are few, once a minute for a million."""
TAGS = ("runtime", "host")
SUMS = {
    "turns": "how often code of actors was entered",
    "errors": "methods and tasks that raised",
    "commits": "records of the journal",
    "syncs": "syncs of the journal",
    "timers_delivered": "deliveries of timers that were done",
    "timers_failed": "deliveries of timers that failed",
}
"""Counters, by the reading that each follows."""
LEVELS = {
    "actors": "actors with state, facets included",
    "awake": "actors that run, facets included",
    "facets": "facets that run",
    "calls": "calls in progress, or waiting to begin",
    "mailbox": "the most calls that one actor has",
    "undurable": "records that are not on the disk yet",
    "journal": "bytes of records that are not in synced files yet",
    "congested": "1 while new calls wait for room in the journal",
    "open_databases": "open connections",
    "timer_actors": "actors with timers",
    "timers_queued": "actors that are due and wait for their turn",
    "timers_running": "actors whose timers are being delivered",
    "timers_waiting": "due actors whose class nobody has registered",
    "timer_late": "seconds by which the newest delivery of a timer began too late",
    "sandboxes": "isolates that live",
    "disk_free": "bytes on the volume of the state",
}
"""Gauges, by reading."""
REPLICA = {
    "replica_lag": "seconds for which the oldest record has waited for the replica",
    "replica_queued": "bytes that the replica does not have",
    "replica_held": "1 while the lease holds",
    "replica_behind": "1 if the replica stays behind until the next opening",
}
"""Gauges of a host with a replica."""
SPANS = {
    "sync": "seconds of a sync",
    "gate_wait": "seconds until a batch of replies may leave",
    "timer_delay": "seconds by which deliveries of timers begin too late",
}
"""Histograms, of a sample where there are many."""
_BOUNDS = [0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0]


class Metrics:
    """Of one host, on its loop."""

    def __init__(self, host: Host, runtime: str, name: str) -> None:
        from ray.util.metrics import Counter, Gauge, Histogram

        self._host = host
        self._loop = asyncio.get_running_loop()
        tags = dict(zip(TAGS, (runtime, name), strict=True))
        self._sums = {
            one: Counter(f"facets_{one}", what, TAGS).set_default_tags(tags)
            for one, what in SUMS.items()
        }
        self._levels = {
            one: Gauge(f"facets_{one}", what, TAGS).set_default_tags(tags)
            for one, what in (LEVELS | REPLICA).items()
        }
        self._spans = {
            one: Histogram(f"facets_{one}_seconds", what, _BOUNDS, TAGS).set_default_tags(tags)
            for one, what in SPANS.items()
        }
        self._before = dict.fromkeys(SUMS, 0)
        self._counts = Counts(0, 0)
        self._count_at = 0.0

    def begin(self) -> None:
        """Tell now, and again and again until the host has closed."""
        if self._host.refused is None:
            self.tell()
            self._loop.call_later(EVERY, self.begin)

    def tell(self) -> None:
        """Look at the meters, and tell Ray."""
        began = self._loop.time()
        if began >= self._count_at:
            self._counts = Counts.of(self._host)
            self._count_at = began + (self._loop.time() - began) / SHARE
        shown = read(self._host, self._counts)
        for name, before in self._before.items():
            now = getattr(shown, name)
            if now > before:
                self._sums[name].inc(now - before)
                self._before[name] = now
        for name in LEVELS:
            self._levels[name].set(float(getattr(shown, name)))
        self._tell_replica(shown)
        self._tell_spans("sync", self._host.gate.syncs)
        self._tell_spans("gate_wait", self._host.gate.waits)
        self._tell_spans("timer_delay", self._host.timers.late)

    def _tell_replica(self, shown: Readings) -> None:
        replica = shown.replica
        if replica is not None:
            for one in fields(replica):
                level = self._levels.get(f"replica_{one.name}")
                if level is not None:
                    level.set(float(getattr(replica, one.name)))

    def _tell_spans(self, name: str, laps: Laps) -> None:
        for seconds in laps.take():
            self._spans[name].observe(seconds)
