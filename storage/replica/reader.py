"""Reading the log of a host: its records in order, over all its incarnations.

What counts of an incarnation is the unbroken run of slots up to its seal, or, while it is the
newest, up to the first slot that is not there. Anybody may read at any time; a reader that
should see the end of the log, and not just some later beginning of it, takes over first.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from storage.errors import ObjectMissing, ReplicaCorrupt
from storage.objects.store import ObjectStore
from storage.replica.names import BEGIN, Position, Tail, log, position_of, slot_key
from storage.replica.slot import LogRecord, Slot, decode


@dataclass(frozen=True, slots=True)
class Incarnation:
    """What counts of one incarnation's log."""

    first: Position
    end: Position
    """The seal, or the first free slot."""
    is_sealed: bool


class LogReader:
    """Reads the log of one host. It holds no state: every call looks anew. Thread-safe."""

    def __init__(self, store: ObjectStore, host: str) -> None:
        self._store = store
        self._host = host

    def records(self, start: Tail = BEGIN) -> Iterator[LogRecord]:
        """The records behind `start`, in order and without a gap. Blocks.

        It gives every record that was acknowledged before the call, and perhaps later ones.
        `ReplicaCorrupt` where one is missing or damaged. Both hold while the manifest that
        `start` came from is the newest: behind a newer one the log is deleted.
        """
        for slot in self.slots(start):
            for sequence, data in slot.records():
                if sequence > start.sequence:
                    yield sequence, data

    def slots(self, start: Tail = BEGIN) -> Iterator[Slot]:
        """The slots that hold those records."""
        last = start.sequence
        for incarnation in self.incarnations(start.position):
            for number in range(incarnation.first.slot, incarnation.end.slot):
                slot = self.read(incarnation.first._replace(slot=number))
                self._check_follows(slot, last)
                last = max(last, slot.last)
                yield slot

    def tail(self, start: Tail = BEGIN) -> Tail:
        """The end of the log, seen without reading all of it. Blocks."""
        for one in reversed(self.incarnations(start.position)):
            if one.end.slot > one.first.slot:
                slot = self.read(one.end._replace(slot=one.end.slot - 1))
                return Tail(max(slot.last, start.sequence), one.end)
        return start

    def incarnations(self, start: Position = BEGIN.position) -> list[Incarnation]:
        """Incarnations with slots behind `start`, in order; all but the last one are sealed."""
        found = self._incarnations(start)
        if not all(one.is_sealed for one in found[:-1]):
            # A takeover went through while we listed. A seal is older than any slot of a newer
            # incarnation, so it is there by now.
            found = self._incarnations(start)
        for one in found[:-1]:
            if not one.is_sealed:
                key = slot_key(self._host, one.end)
                said = f"{key} is missing, and newer incarnations have written behind it"
                raise ReplicaCorrupt(said, key=key)
        return found

    def incarnation(self, first: Position) -> Incarnation:
        """What counts of this incarnation from this slot on."""
        slots = self._present(first).get(first.token, [])
        return self._measure(first, slots)

    def read(self, position: Position) -> Slot:
        """One slot; `ReplicaCorrupt` if it is not there or not intact."""
        key = slot_key(self._host, position)
        try:
            data = self._store.get(key)
        except ObjectMissing as error:
            raise ReplicaCorrupt(f"{key} has gone", key=key) from error
        return decode(self._host, position, data)

    # -- looking ------------------------------------------------------------------------

    def _incarnations(self, start: Position) -> list[Incarnation]:
        found = []
        for token, slots in sorted(self._present(start).items()):
            first = start if token == start.token else Position(token, 1)
            found.append(self._measure(first, slots))
        return found

    def _present(self, start: Position) -> dict[int, list[int]]:
        """Slots that are there, from `start` on, by token."""
        before = slot_key(self._host, start._replace(slot=start.slot - 1))
        present: dict[int, list[int]] = {}
        for key in self._store.list(log(self._host), before):
            token, slot = position_of(key)
            present.setdefault(token, []).append(slot)
        return present

    def _measure(self, first: Position, slots: list[int]) -> Incarnation:
        free = first.slot
        for slot in slots:
            if slot != free:
                break
            free += 1
        if not slots:
            return Incarnation(first, first, is_sealed=False)
        # The last slot, which may be a seal, says how far the run had been won when it was made:
        # up to there is no other seal and may be no hole. What overlapped with it is left.
        newest = self.read(first._replace(slot=slots[-1]))
        if newest.won >= free:
            key = slot_key(self._host, first._replace(slot=free))
            raise ReplicaCorrupt(f"{key} is missing, and it was acknowledged", key=key)
        for number in range(max(first.slot, newest.won + 1), free):
            if self.read(first._replace(slot=number)).is_seal:
                return Incarnation(first, first._replace(slot=number), is_sealed=True)
        return Incarnation(first, first._replace(slot=free), is_sealed=False)

    def _check_follows(self, slot: Slot, last: int) -> None:
        numbers = [sequence for sequence, _ in slot.records()]
        if numbers != list(range(slot.first, slot.last + 1)) or slot.first > last + 1:
            key = slot_key(self._host, slot.position)
            said = f"{key} has records {slot.first} to {slot.last}, and {last + 1} should be next"
            raise ReplicaCorrupt(said, key=key)
