"""What the meters of a host show: for operators, read from time to time, never on the way of a
call. Sums only rise while the process lives, and begin at 0 with it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from actors.activation import Activation
    from actors.host import Host
    from storage.replica.shipper import ReplicaStats

sandboxes: list[Callable[[], int]] = []
"""Asked how many sandboxes live in this process; the layer above has them."""


class Ended:
    """What incarnations that are over did, so that sums go on."""

    __slots__ = ("errors", "turns")

    def __init__(self) -> None:
        self.turns = 0
        self.errors = 0

    def add(self, activation: Activation) -> None:
        """One more is over."""
        self.turns += activation.begun
        self.errors += activation.errors


@dataclass(frozen=True)
class Readings:
    """One moment of a host."""

    actors: int
    """With state, facets included."""
    awake: int
    """Running, facets included."""
    facets: int
    """Of those, the facets."""
    calls: int
    """In progress, or waiting to begin."""
    mailbox: int
    """Of those, the most that one actor has."""
    turns: int
    """Sum: how often code of actors was entered."""
    errors: int
    """Sum: methods and tasks that raised."""
    commits: int
    """Sum: records of the journal."""
    undurable: int
    """Records that are not on the disk yet."""
    journal: int
    """Bytes of records that are not in synced files yet."""
    congested: bool
    """Whether new calls wait until the journal has room."""
    syncs: int
    """Sum."""
    sync_seconds: float
    """Sum: what they took."""
    gate_waits: int
    """Sum: batches of replies that waited until their commits were durable."""
    gate_seconds: float
    """Sum: how long the first of each batch waited."""
    open_databases: int
    timer_actors: int
    """Actors with timers."""
    timers_queued: int
    timers_running: int
    timers_delivered: int
    """Sum."""
    timers_failed: int
    """Sum."""
    timers_waiting: int
    """Due actors whose class nobody registered, and due facets of which nobody says the code."""
    timer_late: float
    """Seconds by which the newest delivery began too late."""
    sandboxes: int
    """Isolates that live in this process."""
    disk_free: int
    """Bytes on the volume of the state."""
    replica: ReplicaStats | None


@dataclass(frozen=True)
class Counts:
    """What is counted row by row: 10 to 60 ms for a million."""

    actors: int
    timers: int

    @classmethod
    def of(cls, host: Host) -> Counts:
        """The present ones."""
        return cls(host.store.catalogue.count(), host.store.catalogue.count_due())


def read(host: Host, counts: Counts | None = None) -> Readings:
    """All of them. A microsecond for each actor that is awake, and what `counts` take if they are
    not given."""
    counts = counts or Counts.of(host)
    awake, store, gate = list(host.awake), host.store, host.gate
    timers, space = host.timers.stats(counts.timers), os.statvfs(store.directory)
    calls = [one.begun - one.ended for one in awake]
    return Readings(
        actors=counts.actors,
        awake=len(awake),
        facets=sum(one.node.parent is not None for one in awake),
        calls=sum(calls),
        mailbox=max(calls, default=0),
        turns=host.over.turns + sum(one.begun for one in awake),
        errors=host.over.errors + sum(one.errors for one in awake),
        commits=store.committed - host.first,
        undurable=store.committed - store.durable,
        journal=store.journal_size,
        congested=store.congested,
        syncs=gate.syncs.count,
        sync_seconds=gate.syncs.seconds,
        gate_waits=gate.waits.count,
        gate_seconds=gate.waits.seconds,
        open_databases=len(store.connections),
        timer_actors=counts.timers,
        timers_queued=timers.queued,
        timers_running=timers.running,
        timers_delivered=timers.delivered,
        timers_failed=timers.failed,
        timers_waiting=sum(timers.unregistered.values()) + len(timers.strangers),
        timer_late=host.timers.late.newest,
        sandboxes=sum(count() for count in sandboxes),
        disk_free=space.f_bavail * space.f_frsize,
        replica=None if store.replica is None else store.replica.stats(),
    )
