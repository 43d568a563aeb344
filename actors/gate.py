"""The output gate at the edge of the process.

Nothing leaves before every commit it may depend on is durable. Between actors of one host
there is no wait: they share one journal whose order is the order of commits. What leaves
carries one integer, the newest commit it may depend on.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from actors.laps import Laps
from actors.writer import Writer
from storage.errors import JournalFailed, StorageError

if TYPE_CHECKING:
    from storage import Store

FAIR = 0.002
"""Seconds after which a caller that syncs inline again and again lets the loop turn."""
SLOW = 0.001
"""Seconds of an average sync from which on the loop does not wait for one itself."""


class _Crowd(asyncio.Future[None]):
    """Many callers wait for one sync. A caller that is cancelled leaves when it is done, a
    sync later: a future of its own for each caller would cost more than its share of the sync."""

    since = 0.0
    """When the first of them came."""

    def cancel(self, msg: object = None) -> bool:
        """Nobody can call it off."""
        del msg
        return False


class Gate:
    """Waits for durability on behalf of callers outside.

    A lone caller has its sync inline, without a future: 30 us less than a hand-over. It is no
    longer alone when another task comes within the same turn of the loop; then the rest of the
    turn collects behind one future and shares one sync. While the disk is slow, syncs run on a
    thread of their own, and the next crowd forms meanwhile.
    """

    def __init__(self, store: Store, on_failure: Callable[[StorageError], None]) -> None:
        self._store = store
        self._on_failure = on_failure
        self._loop = asyncio.get_running_loop()
        self._writer = Writer(store.write)
        self._crowd: _Crowd | None = None
        self._flying: _Crowd | None = None
        """Those whose batch is with the writer."""
        self._flying_last = 0
        self._flying_since = 0.0
        self._room: list[asyncio.Future[None]] = []
        self._remote: list[asyncio.Future[None]] = []
        self._over: BaseException | None = None
        """Why nobody may wait here any more."""
        self._alone: asyncio.Task[object] | None = None
        self._since = 0.0
        self._average = 0.0
        """Seconds that a sync takes."""
        self.syncs = Laps()
        self.waits = Laps()
        """Of the first caller of each batch, and of those that are alone."""

    async def passed(self, sequence: int, remote: int = 0) -> None:
        """Return once commit `sequence` is durable on the disk, and `remote` in the replica.

        `JournalFailed` if the disk, `LeaseLost` or `ReplicaBehind` if the replica will never
        have it.
        """
        if sequence > self._store.durable:
            await self._on_disk(sequence)
        if not self._store.in_replica(remote):
            await self._in_replica(remote)

    async def _in_replica(self, sequence: int) -> None:
        while not self._store.in_replica(sequence):
            if self._over is not None:
                raise self._over
            waiter = self._loop.create_future()
            self._remote.append(waiter)
            await waiter

    def replica_moved(self) -> None:
        """The replica has more, or is lost. On any thread."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._replica_moved)

    def _replica_moved(self) -> None:
        waiting, self._remote = self._remote, []
        for one in waiting:
            if not one.done():
                one.set_result(None)
        self.make_room()
        if self._store.replica_lost is not None:
            self._on_failure(self._store.replica_lost)

    async def _on_disk(self, sequence: int) -> None:
        task = asyncio.current_task()
        if self._alone is None:
            self._alone = task
            self._since = time.perf_counter()
            self._loop.call_soon(self._turned)
        fast = self._flying is None and self._average < SLOW
        if self._alone is task and self._crowd is None and fast:
            began = time.perf_counter()
            self.sync()
            ended = time.perf_counter()
            self.waits.add(ended - began)
            if ended - self._since > FAIR:
                await asyncio.sleep(0)
            return
        await self._joined(sequence)

    def _joined(self, sequence: int) -> asyncio.Future[None]:
        """The future of the batch that makes `sequence` durable."""
        if self._flying is not None and sequence <= self._flying_last:
            return self._flying
        if self._crowd is None:
            self._crowd = _Crowd(loop=self._loop)
            self._crowd.since = time.perf_counter()
            if self._flying is None:
                self._loop.call_soon(self._send)
        return self._crowd

    def _turned(self) -> None:
        self._alone = None

    def sync(self) -> None:
        """Make every commit durable now, on this thread."""
        began = time.perf_counter()
        self._account(self._store.sync, began)

    def _account(self, work: Callable[[], None], began: float) -> None:
        """Do what ends a sync, and what can be done since."""
        try:
            work()
            self._took(time.perf_counter() - began)
        except JournalFailed as failure:
            self._on_failure(failure)
            raise

    def _took(self, seconds: float) -> None:
        self._average += (seconds - self._average) / 8
        self.syncs.add(seconds)
        try:
            if self._store.due:
                self.tend()
        finally:
            self.make_room()

    def tend(self) -> None:
        """Begin a round of checkpoints; `JournalFailed` if what is committed cannot be synced."""
        try:
            self._store.tend()
        except JournalFailed:
            raise
        except (StorageError, OSError) as error:
            # Not the caller's, whose commit is durable.
            said = {"message": "a round of checkpoints could not begin", "exception": error}
            self._loop.call_exception_handler(said)

    # -- crowds ---------------------------------------------------------------------------

    def _send(self) -> None:
        """The crowd's turn: sync inline on a fast disk, otherwise hand it to the writer."""
        crowd, self._crowd = self._crowd, None
        if crowd is None or self._flying is not None:
            self._crowd = crowd
            return
        try:
            batch = None if self._average < SLOW else self._store.take()
        except JournalFailed:
            batch = None  # to be raised to those that wait
        if batch is None:
            self._resolve(crowd, self.sync)
            return
        self._flying, self._flying_last = crowd, batch.last
        self._flying_since = time.perf_counter()
        self._writer.submit(batch, self._written)

    def _written(self) -> None:
        """Called by the writer, on its own thread."""
        self._loop.call_soon_threadsafe(self._landed)

    def _landed(self) -> None:
        crowd, self._flying = self._flying, None
        assert crowd is not None  # noqa: S101 - one batch at a time
        self._resolve(crowd, self._settle)
        if self._crowd is not None:
            self._send()

    def _settle(self) -> None:
        self._account(self._store.settle, self._flying_since)

    def _resolve(self, crowd: _Crowd, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # whatever it is: nobody else would tell those that wait
            crowd.set_exception(error)
            crowd.exception()  # retrieved here: every waiter may have been cancelled
            if not isinstance(error, Exception):
                raise
        else:
            self.waits.add(time.perf_counter() - crowd.since)
            crowd.set_result(None)

    # -- room -----------------------------------------------------------------------------

    async def room(self) -> None:
        """Return when the journal may be written to; at once unless it is congested, and can be
        made less so."""
        while self._store.congested:
            if self._store.failed is not None:
                raise self._store.failed
            if self._store.replica_lost is not None:
                raise self._store.replica_lost
            if not self._store.makes_room:
                # What fills the journal is held, by a clone or a transaction that may be the
                # very one that waits here: holding it back would make no room.
                return
            waiter = self._loop.create_future()
            self._room.append(waiter)
            if self._store.durable < self._store.committed:
                self._joined(self._store.committed)
            await waiter

    def make_room(self) -> None:
        """Let those that wait for room look again."""
        waiting, self._room = self._room, []
        for one in waiting:
            if not one.done():
                one.set_result(None)

    async def close(self) -> None:
        """Let the batches on their way land, and end the writer."""
        while self._flying is not None or self._crowd is not None:
            if self._flying is None:
                self._send()
            else:
                await asyncio.wait([self._flying])
        self._replica_moved()
        self.make_room()
        self._writer.close()

    def end(self, reason: BaseException) -> None:
        """Raise `reason` to all that still wait for the replica."""
        self._over = reason
        self._replica_moved()
