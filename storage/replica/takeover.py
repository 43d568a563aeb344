"""Takeover: make what older incarnations wrote final, and find its end.

The order matters. The claim comes first, so that there is a newest token. Then the manifest is
fenced, so that nothing of the log is deleted while we look for its end. Then every older
incarnation gets a seal, also one that never wrote: it may be asleep between its claim and its
first write. Only behind the last seal is the end of the log the end. Each step may be repeated,
by this incarnation or by the next one.
"""

from __future__ import annotations

from storage.objects.store import ObjectStore
from storage.replica.lease import Lease, tokens
from storage.replica.manifest import fence
from storage.replica.names import Position, Tail, slot_key
from storage.replica.reader import LogReader
from storage.replica.slot import encode_seal


def take_over(store: ObjectStore, lease: Lease) -> Tail:
    """Seal the log of all older incarnations, and give its end. Blocks.

    On return no older incarnation can acknowledge anything, whatever it is doing; all that any
    of them acknowledged is at or before the tail. Make a `LogWriter` from it, after recovery.
    `LeaseLost` if a newer incarnation has claimed; `ReplicaCorrupt` if acknowledged slots are
    missing; `ObjectStoreFailed` leaves it to be repeated.
    """
    with lease.first_suspect():
        start = fence(store, lease).tail
        for token in tokens(store, lease.host):
            if start.position.token <= token < lease.token:
                first = start.position if token == start.position.token else Position(token, 1)
                _seal(store, lease, first)
        last = LogReader(store, lease.host).tail(start).sequence
    lease.resume()  # and learn whether somebody newer is at the same: then none of this counts
    return Tail(last, Position(lease.token, 1))


def _seal(store: ObjectStore, lease: Lease, first: Position) -> None:
    reader = LogReader(store, lease.host)
    found = reader.incarnation(first)
    position = found.end
    while not found.is_sealed:
        seal = encode_seal(lease.host, position, lease.nonce, lease.token)
        if store.create(slot_key(lease.host, position), seal) or reader.read(position).is_seal:
            return
        position = position._replace(slot=position.slot + 1)  # its put was faster: it counts
