"""The replica of an open store: its records go to an object store, many in one upload.

Threads: `push` belongs to the store's own; uploads, renewals of the lease and compaction each
have one. Only what is durable on the local disk is uploaded, so a replica is never ahead of it.

While the store is away the lease may lapse. A host that is fenced by it is over then. One whose
fence is the lock on its disk goes on, uploads nothing, and takes the lease up again when the store
is back, or learns that another has taken over. What waits is bounded: over `BACKLOG` it is
dropped, and the replica stays behind until the next opening brings it up to date.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from storage.errors import (
    LeaseLapsed,
    LeaseLost,
    ObjectStoreFailed,
    ReplicaBehind,
    StorageError,
)
from storage.objects.store import ObjectStore
from storage.replica.compactor import Compactor
from storage.replica.lease import Lease
from storage.replica.log import LogWriter
from storage.replica.names import Tail
from storage.replica.snapshot import Image

PATIENCE = 2.0
"""Seconds between attempts at most, while the store fails."""
BACKLOG = 64 << 20
"""Bytes that may wait for the replica: over it nobody writes more, or, while the store fails and
the disk is the fence, the replica stays behind."""
RENEWER = "facets-lease"
"""Name of the thread that goes on whatever becomes of the log."""
COMPACT = 64 << 20
"""Bytes of log after which snapshots take its place."""
LOOK = 1.0
"""Seconds between looks at whether they are due."""

ReadImage = Callable[[int], Image]
Fence = Literal["lease", "disk"]
"""What keeps two incarnations of a host from serving at once: the lease, or the lock on the only
disk that the host has."""


@dataclass(frozen=True, slots=True)
class ReplicaStats:
    """A moment of a replica."""

    acknowledged: int
    """Sequence up to which everything is there."""
    queued: int
    """Bytes that are not."""
    lag: float
    """Seconds for which the oldest of them has waited."""
    token: int
    held: bool
    """Whether the lease holds."""
    behind: bool
    """Whether it will stay as it is until the next opening."""
    failing: str
    """Why the newest attempt failed; empty if it did not."""


class Shipper:
    """Uploads what it is given, in order, until it is closed or the lease is lost.

    `notify` is called on its threads after every change of `acknowledged` or `lost`.
    """

    def __init__(
        self,
        store: ObjectStore,
        lease: Lease,
        tail: Tail,
        image: ReadImage,
        fence: Fence = "lease",
    ) -> None:
        self.store = store
        self.lease = lease
        self.behind: ReplicaBehind | None = None
        """Why nothing more is uploaded until the next opening, if so."""
        self._fence = fence
        self._lost: StorageError | None = None
        self.notify: Callable[[], None] = _nobody
        self._log = LogWriter(store, lease, tail)
        self._compactor = Compactor(store, lease, self._log)
        self._image = image
        self._queue: list[tuple[int, bytes]] = []
        self.queued = 0
        """Bytes that are not acknowledged."""
        self._pushed: deque[tuple[int, float]] = deque()
        """The last sequence of each push, and when it was."""
        self._gave_up = 0.0
        """When the oldest record came that will not be uploaded; 0 if all will."""
        self._failing: dict[str, str] = {}
        """By thread, why its newest attempt failed."""
        self._since = 0
        """Bytes of log since the last compaction."""
        self._wanted = False
        """Somebody waits for a compaction."""
        self._change = threading.Condition()
        self._closing = threading.Event()
        lease.lag = self.lag
        self._threads = [
            threading.Thread(target=work, name=name, daemon=True)
            for name, work in (
                ("facets-upload", self._upload),
                (RENEWER, self._renew),
                ("facets-compact", self._compact),
            )
        ]
        for thread in self._threads:
            thread.start()

    @property
    def acknowledged(self) -> int:
        """Sequence up to which every record is in the replica for good."""
        return self._log.acknowledged

    @property
    def lost(self) -> StorageError | None:
        """Why nothing more will be acknowledged, and nobody may be answered, if so. No I/O."""
        if self._lost is None and self._fence == "lease" and not self._closing.is_set():
            try:
                self.lease.check()
            except LeaseLost as error:
                self._lose(error)
        return self._lost

    @property
    def held(self) -> bool:
        """Whether the lease holds now. No I/O."""
        try:
            self.lease.check()
        except LeaseLost:
            return False
        return True

    @property
    def congested(self) -> bool:
        """Whether so much waits that nobody should write more."""
        return self.queued > BACKLOG

    @property
    def needs(self) -> int:
        """The oldest record that a restore may end at; asked for, it is soon a later one."""
        covered = self._compactor.covered
        fresh = self._since or not self._compactor.has_published
        if fresh and covered < self.acknowledged:
            self._wanted = True
        return covered + 1

    def stats(self) -> ReplicaStats:
        """The present moment."""
        lag = self.lag()
        with self._change:
            failing = next((why for why in list(self._failing.values()) if why), "")
        return ReplicaStats(
            self.acknowledged,
            self.queued,
            lag,
            self.lease.token,
            self.held,
            self.behind is not None,
            failing,
        )

    def lag(self) -> float:
        """Seconds for which the oldest record that the replica lacks has waited; 0 if none does."""
        with self._change:
            oldest = self._gave_up or (self._pushed[0][1] if self._pushed else 0.0)
        return time.monotonic() - oldest if oldest else 0.0

    def push(self, records: Sequence[tuple[int, bytes]]) -> None:
        """Have these records uploaded; returns at once. They follow those before."""
        with self._change:
            if not records or self.behind is not None:
                return
            self._queue += records
            self.queued += sum(len(data) for _, data in records)
            self._pushed.append((records[-1][0], time.monotonic()))
            if self.congested and self._fence == "disk" and any(self._failing.values()):
                self._stay_behind()
            self._change.notify_all()

    def add(self, uid: int, image: Image) -> None:
        """Upload a file that a BIND is about to name. Blocks."""
        self._compactor.add(uid, image)

    def close(self) -> None:
        """Upload what is queued, give the lease back, end the threads. Blocks.

        While the store fails it does not wait: the next opening goes on from there.
        """
        with self._change:
            while self._queue and self._lost is None and not any(self._failing.values()):
                self._change.wait(0.1)
        self._closing.set()
        self._log.end()
        with self._change:
            self._change.notify_all()
        for thread in self._threads:
            thread.join()
        if self._lost is None:
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
                if self.behind is not None:
                    return
                self._queue = self._queue[len(records) :]
                size = sum(len(data) for _, data in records)
                self.queued -= size
                self._since += size
                while self._pushed and self._pushed[0][0] <= records[-1][0]:
                    self._pushed.popleft()
                self._change.notify_all()
            self.notify()

    def _next(self) -> list[tuple[int, bytes]] | None:
        with self._change:
            while not self._queue and not self._closing.is_set() and self.behind is None:
                self._change.wait()
            return list(self._queue) or None

    def _attempt(self, work: Callable[[], object], patience: float = PATIENCE) -> bool:
        """Try until it is done, at least every `patience` seconds; False if it never will be, or
        the replica is being closed, or stays behind."""
        me = threading.current_thread().name
        pause = min(0.1, patience)
        while True:
            try:
                work()
            except (LeaseLapsed, ObjectStoreFailed, OSError) as error:
                if isinstance(error, LeaseLapsed) and self._fence == "lease":
                    self._lose(error)
                    return False
                self._failing[me] = str(error)
            except StorageError as error:  # lost, or damage: nobody may go on writing over it
                self._lose(error)
                return False
            else:
                self._failing[me] = ""
                return True
            if self._closing.wait(pause) or (self.behind is not None and me != RENEWER):
                return False
            pause = min(pause * 2, patience)

    def _renew(self) -> None:
        while not self._closing.wait(self.lease.ttl / 3):
            # Often: what is left of the lease is shorter than the patience for uploads.
            if not self._attempt(self._hold, self.lease.ttl / 10):
                return

    def _hold(self) -> None:
        try:
            self.lease.renew()
        except LeaseLapsed:
            if self._fence == "lease":
                raise
            self.lease.resume()
            self.notify()  # who waits for the lease may go on

    def _compact(self) -> None:
        while not self._closing.wait(LOOK):
            if self._since > COMPACT or self._wanted:
                self._since, self._wanted = 0, False
                if not self._attempt(lambda: self._compactor.compact(self._image)):
                    return
                if not self._attempt(self._compactor.collect):
                    return

    def _lose(self, error: StorageError) -> None:
        self._lost = self._lost or error
        with self._change:
            self._change.notify_all()
        self.notify()

    def _stay_behind(self) -> None:
        """Under the lock: give up what waits, and everything after it."""
        host, there = self.lease.host, self.acknowledged
        said = f"the replica of {host} ends at record {there}: what waited for it was too much"
        self.behind = ReplicaBehind(said, host=host, acknowledged=there)
        self._queue, self.queued = [], 0
        self._gave_up = self._pushed[0][1]
        self._pushed.clear()
        self._log.end()
        self.notify()


def _nobody() -> None:
    """Before anybody listens."""
