"""The replica of an open store: its records go to an object store, many in one upload.

Threads: `push` belongs to the store's own; uploads, renewals of the lease and compaction each
have one. Only what is durable on the local disk is uploaded, so a replica is never ahead of it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from storage.errors import LeaseLost, ObjectStoreFailed, StorageError
from storage.objects.store import ObjectStore
from storage.replica.compactor import Compactor
from storage.replica.lease import Lease
from storage.replica.log import LogWriter
from storage.replica.names import Tail
from storage.replica.snapshot import Image

PATIENCE = 30.0
"""Seconds between attempts at most, while the store fails."""
COMPACT = 64 << 20
"""Bytes of log after which snapshots take its place."""
LOOK = 1.0
"""Seconds between looks at whether they are due."""

ReadImage = Callable[[int], Image]


@dataclass(frozen=True, slots=True)
class ReplicaStats:
    """A moment of a replica."""

    acknowledged: int
    """Sequence up to which everything is there."""
    queued: int
    """Bytes that are not."""
    token: int
    failing: str
    """Why the newest attempt failed; empty if it did not."""


class Shipper:
    """Uploads what it is given, in order, until it is closed or the lease is lost.

    `notify` is called on its threads after every change of `acknowledged` or `lost`.
    """

    def __init__(self, store: ObjectStore, lease: Lease, tail: Tail, image: ReadImage) -> None:
        self.lease = lease
        self.lost: StorageError | None = None
        """Why nothing more will be acknowledged, if so."""
        self.notify: Callable[[], None] = _nobody
        self._log = LogWriter(store, lease, tail)
        self._compactor = Compactor(store, lease, self._log)
        self._image = image
        self._queue: list[tuple[int, bytes]] = []
        self.queued = 0
        """Bytes that are not acknowledged."""
        self._failing = ""
        self._since = 0
        """Bytes of log since the last compaction."""
        self._change = threading.Condition()
        self._closing = threading.Event()
        self._threads = [
            threading.Thread(target=work, name=f"facets-{name}", daemon=True)
            for name, work in (
                ("upload", self._upload),
                ("lease", self._renew),
                ("compact", self._compact),
            )
        ]
        for thread in self._threads:
            thread.start()

    @property
    def acknowledged(self) -> int:
        """Sequence up to which every record is in the replica for good."""
        return self._log.acknowledged

    def stats(self) -> ReplicaStats:
        """The present moment."""
        return ReplicaStats(self.acknowledged, self.queued, self.lease.token, self._failing)

    def push(self, records: Sequence[tuple[int, bytes]]) -> None:
        """Have these records uploaded; returns at once. They follow those before."""
        with self._change:
            self._queue += records
            self.queued += sum(len(data) for _, data in records)
            self._change.notify_all()

    def add(self, uid: int, image: Image) -> None:
        """Upload a file that a BIND is about to name. Blocks."""
        self._compactor.add(uid, image)

    def close(self) -> None:
        """Upload what is queued, give the lease back, end the threads. Blocks.

        While the store fails it does not wait: the next opening goes on from there.
        """
        with self._change:
            while self._queue and self.lost is None and not self._failing:
                self._change.wait(0.1)
        self._closing.set()
        self._log.end()
        with self._change:
            self._change.notify_all()
        for thread in self._threads:
            thread.join()
        if self.lost is None:
            try:
                self.lease.release()
            except ObjectStoreFailed:
                return  # it runs out by itself

    # -- threads ------------------------------------------------------------------------

    def _upload(self) -> None:
        while (records := self._next()) is not None:
            if not self._attempt(lambda records=records: self._log.append(records)):  # type: ignore[misc]
                return
            with self._change:
                self._queue = self._queue[len(records) :]
                size = sum(len(data) for _, data in records)
                self.queued -= size
                self._since += size
                self._change.notify_all()
            self.notify()

    def _next(self) -> list[tuple[int, bytes]] | None:
        with self._change:
            while not self._queue and not self._closing.is_set():
                self._change.wait()
            return list(self._queue) or None

    def _attempt(self, work: Callable[[], object], patience: float = PATIENCE) -> bool:
        """Try until it is done, at least every `patience` seconds; False if it never will be, or
        the replica is being closed."""
        pause = 0.1
        while True:
            try:
                work()
            except LeaseLost as error:
                self._lose(error)
                return False
            except (ObjectStoreFailed, OSError) as error:
                self._failing = str(error)
                if self._closing.wait(pause):
                    return False
                pause = min(pause * 2, patience)
            except StorageError as error:  # damage: nobody may go on writing over it
                self._lose(error)
                return False
            else:
                self._failing = ""
                return True

    def _renew(self) -> None:
        while not self._closing.wait(self.lease.ttl / 3):
            # Often: what is left of the lease is shorter than the patience for uploads.
            if not self._attempt(self.lease.renew, self.lease.ttl / 10):
                return

    def _compact(self) -> None:
        while not self._closing.wait(LOOK):
            if self._since > COMPACT:
                self._since = 0
                if not self._attempt(lambda: self._compactor.compact(self._image)):
                    return
                if not self._attempt(self._compactor.collect):
                    return

    def _lose(self, error: StorageError) -> None:
        self.lost = error
        with self._change:
            self._change.notify_all()
        self.notify()


def _nobody() -> None:
    """Before anybody listens."""
