"""How far the replica of a host reaches, when only the replica is left."""

from __future__ import annotations

from dataclasses import dataclass

from storage.objects.store import ObjectStore
from storage.replica.entries import stamp_of
from storage.replica.lease import last_heartbeat
from storage.replica.manifest import newest_manifest
from storage.replica.names import BEGIN, Tail
from storage.replica.reader import LogReader


@dataclass(frozen=True)
class Reach:
    """What one look at a replica tells."""

    complete: float
    """The replica has every write from before this moment, in seconds since 1970; 0 if none."""
    seen: float
    """When the host gave its last sign of life there; 0 if it never did."""

    @property
    def seconds(self) -> float:
        """How long before its last sign of life the host made writes that are not there."""
        return max(0.0, self.seen - self.complete)


def reach(store: ObjectStore, host: str) -> Reach:
    """Look at the replica of a host that serves no more. Blocks.

    Records are uploaded in their order, so the time of the newest one is a bound, and so is what
    the host said last: since when records had waited. What it wrote behind its last sign of life
    is in neither; while it reaches the store it gives one every third of its lease.
    """
    beat = last_heartbeat(store, host)
    said = beat.time / 1e6 - beat.lag if beat is not None and beat.time else 0.0
    seen = beat.time / 1e6 if beat is not None else 0.0
    return Reach(max(said, _newest_record(store, host)), seen)


def _newest_record(store: ObjectStore, host: str) -> float:
    manifest = newest_manifest(store, host)
    start = manifest.tail if manifest is not None else BEGIN
    reader = LogReader(store, host)
    end: Tail = reader.tail(start)
    if end.position != start.position and end.position.slot > 1:
        slot = reader.read(end.position._replace(slot=end.position.slot - 1))
        *_, (_, data) = slot.records()
        return stamp_of(data).time / 1e6
    return manifest.made.time / 1e6 if manifest is not None else 0.0
