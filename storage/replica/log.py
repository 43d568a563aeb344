"""The log of a host in an object store: an acknowledgement is a create that won.

Slots are created in order and never replaced. Creates may overlap, but only the unbroken prefix
counts. Whoever takes over sets a seal at the first free slot (`storage.replica.takeover`); from
then on the old incarnation's next create fails, however long it slept and whatever its clock
says, and slots that it made above the seal are void.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

from storage.errors import LeaseLapsed, LeaseLost, ObjectStoreFailed
from storage.objects.store import ObjectStore
from storage.replica.lease import Lease
from storage.replica.names import Position, Tail, slot_key
from storage.replica.slot import LogRecord, encode_records


@dataclass(eq=False)
class StagedSlot:
    """Records that have a slot, and may or may not be in it yet."""

    position: Position
    key: str
    first: int
    last: int
    data: bytes
    won: bool = False
    error: BaseException | None = None
    """Why the newest attempt failed."""


class LogWriter:
    """Appends to the log of the incarnation that holds `lease`. Thread-safe.

    `tail` is where `take_over` found the end of the log; the first record to append follows it.
    """

    def __init__(self, store: ObjectStore, lease: Lease, tail: Tail) -> None:
        self._store = store
        self._lease = lease
        self._tail = tail
        self._next = tail
        """What the next slot to be staged follows, and its place."""
        self._staged: dict[int, StagedSlot] = {}
        """Slots behind the tail, by number."""
        self._lost: LeaseLost | None = None
        self._ended = False
        self._change = threading.Condition()

    @property
    def tail(self) -> Tail:
        """The newest acknowledged record, and the first slot behind it."""
        return self._tail

    @property
    def acknowledged(self) -> int:
        """Sequence up to which every record is in the log for good."""
        return self._tail.sequence

    def append(self, records: Sequence[LogRecord]) -> None:
        """Add these records, with all before them, for good. Blocks.

        On return they are acknowledged: every later incarnation has them. `LeaseLost` says
        that they never will be by this one, though they may have arrived.
        `ObjectStoreFailed` and `LeaseLapsed` leave them undecided; the same call again carries
        on. To have several on their way at once, `stage` them in order and `send` each from its
        own thread.
        `ValueError` for records that do not follow the ones before.
        """
        self.send(self.stage(records))

    def stage(self, records: Sequence[LogRecord]) -> StagedSlot:
        """Give these records the next slot. No I/O. Repeated, it gives the slot they have."""
        with self._change:
            if self._lost is not None:
                raise self._lost
            for one in self._staged.values():
                if records and (one.first, one.last) == (records[0][0], records[-1][0]):
                    return one
            _check_order(records, self._next.sequence)
            return self._stage(records)

    def send(self, staged: StagedSlot) -> None:
        """Put a staged slot into the store, and wait for all before it. Blocks; as `append`."""
        if not staged.won:
            self._put(staged)
        self.wait(staged.last)

    def _put(self, staged: StagedSlot) -> None:
        staged.error = None
        try:
            self._lease.check()
            won = self._store.create(staged.key, staged.data)
        except LeaseLost as error:
            if isinstance(error, LeaseLapsed):
                self._failed(staged, error)  # undecided, as long as it may be resumed
            else:
                self._lose(error)
            raise
        except BaseException as error:  # whatever it is, those that wait behind must hear of it
            self._failed(staged, error)
            raise
        if not won:
            why = f"{staged.key} was taken: a newer incarnation has sealed this one's log"
            raise self._lose(self._lease.lose(why))
        self._settle(staged)

    def wait(self, sequence: int) -> None:
        """Until this record is acknowledged. Blocks; another thread must be sending it.

        `LeaseLost` if that will not happen, `ObjectStoreFailed` if the newest attempt at a slot
        that it needs has failed.
        """
        with self._change:
            while self._tail.sequence < sequence:
                if self._lost is not None:
                    raise self._lost
                self._raise_failure(sequence)
                if self._ended:
                    why = "this incarnation is being closed"
                    raise ObjectStoreFailed(why, url="", key="", cause=why)
                self._change.wait()

    def end(self) -> None:
        """Nobody will send any more: let those go that wait for it, with `ObjectStoreFailed`."""
        with self._change:
            self._ended = True
            self._change.notify_all()

    # -- under the lock -----------------------------------------------------------------

    def _stage(self, records: Sequence[LogRecord]) -> StagedSlot:
        position = self._next.position
        won = self._tail.position.slot - 1
        data = encode_records(self._lease.host, position, self._lease.nonce, won, records)
        key = slot_key(self._lease.host, position)
        staged = StagedSlot(position, key, records[0][0], records[-1][0], data)
        self._staged[position.slot] = staged
        self._next = _behind(staged)
        return staged

    def _settle(self, staged: StagedSlot) -> None:
        with self._change:
            staged.won = True
            while (first := self._staged.get(self._tail.position.slot)) is not None and first.won:
                del self._staged[first.position.slot]
                self._tail = _behind(first)
            self._change.notify_all()

    def _failed(self, staged: StagedSlot, error: BaseException) -> None:
        with self._change:
            staged.error = error
            self._change.notify_all()

    def _lose(self, error: LeaseLost) -> LeaseLost:
        with self._change:
            self._lost = error
            self._change.notify_all()
        return error

    def _raise_failure(self, sequence: int) -> None:
        for one in self._staged.values():
            if one.error is not None and one.first <= sequence:
                raise ObjectStoreFailed(
                    f"{one.key} is not in the log yet: {one.error}",
                    url=getattr(one.error, "url", ""),
                    key=one.key,
                    cause=str(one.error),
                ) from one.error


def _behind(staged: StagedSlot) -> Tail:
    return Tail(staged.last, staged.position._replace(slot=staged.position.slot + 1))


def _check_order(records: Sequence[LogRecord], last: int) -> None:
    if not records:
        raise ValueError("a slot holds at least one record")
    for expected, (sequence, _) in enumerate(records, last + 1):
        if sequence != expected:
            raise ValueError(f"record {sequence} cannot follow record {expected - 1}")
