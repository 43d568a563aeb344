"""Keeps the log short: snapshots take the place of its older slots, which are then deleted.

Safe at every cut, because of the order: upload the snapshots, wait until the log has everything
that is in them, publish the manifest that names them, and only then delete. What may be deleted
is derived from the newest manifest, so what a crash left behind is found again.

Never deleted: claims, and the seal of each incarnation. They are small, and a host that slept
for a year must still meet them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator

from storage.errors import ReplicaCorrupt
from storage.objects.store import ObjectStore
from storage.replica import names, snapshot
from storage.replica.entries import DELETE, NEVER, Stamp, entries, stamp_of
from storage.replica.lease import Clock, Lease, boottime
from storage.replica.log import LogWriter
from storage.replica.manifest import FORMAT, Manifest, Snapshot, fence, newest_manifest, publish
from storage.replica.names import Tail, position_of, slot_key
from storage.replica.reader import LogReader
from storage.replica.snapshot import Image

PUBLISHED = 64
"""Manifests whose age is remembered."""
GRACE = 600.0
"""Seconds for which a reader may still use what a newer manifest no longer needs."""


def seed(
    store: ObjectStore,
    lease: Lease,
    tail: Tail,
    sequence: int,
    uids: Iterable[int],
    image: Callable[[int], Image],
    stamp: Stamp = NEVER,
) -> Tail:
    """Begin the replica, or go on with it, at a record that the log does not lead up to. Blocks.

    For a host whose journal no longer has the records behind `tail`, which `take_over` gave:
    one that had no replica so far, or ran ahead of it. `uids` are all databases that it has, the
    catalogue included, at rest, as of `sequence`, which was made at `stamp` or before. Gives the
    tail for the `LogWriter`; a crash
    leaves all as it was. `ValueError` for a sequence that the log has passed.
    """
    if sequence < tail.sequence:
        raise ValueError(f"the log is at {tail.sequence} already, and {sequence} is before it")
    base = fence(store, lease)
    made = tuple(_seeded(store, lease, uid, image(uid)) for uid in uids)
    tail = Tail(sequence, tail.position)
    publish(store, lease, Manifest(FORMAT, base.number + 1, lease.token, tail, made, stamp))
    return tail


def _seeded(store: ObjectStore, lease: Lease, uid: int, image: Image) -> Snapshot:
    lease.keep()
    made = _upload(store, lease, uid, image)
    lease.keep()
    return made


def _upload(store: ObjectStore, lease: Lease, uid: int, image: Image) -> Snapshot:
    if image.data is None:
        raise ValueError(f"there is no image of {uid} to upload")
    made = Snapshot(uid, image.generation, image.sequence, lease.token)
    lease.check()
    data = snapshot.encode(uid, image.generation, image.sequence, image.data)
    store.put(made.key(lease.host), data)
    return made


class Compactor:
    """Snapshots and deletions of the incarnation that holds `lease` and writes `log`.

    Thread-safe; `compact` and `collect` wait for each other. Every call blocks, `compact` for as
    long as reading and uploading all changed databases takes.
    """

    def __init__(
        self,
        store: ObjectStore,
        lease: Lease,
        log: LogWriter,
        *,
        grace: float = GRACE,
        clock: Clock = boottime,
    ) -> None:
        self._store = store
        self._lease = lease
        self._log = log
        self._grace = grace
        self._clock = clock
        self._pinned: dict[str, Snapshot] = {}
        """Uploaded, and not in a manifest yet."""
        self._garbage: dict[str, float] = {}
        """What may go, and since when this incarnation knows."""
        self._published: list[tuple[float, int]] = []
        """When a manifest was, and the last record that it covers."""
        self._lock = threading.Lock()

    @property
    def has_published(self) -> bool:
        """Whether this incarnation made a manifest."""
        return bool(self._published)

    @property
    def covered(self) -> int:
        """Up to which record no reader begins any more; 0 if this incarnation knows of none."""
        since = self._clock() - self._grace
        return max((upto for at, upto in self._published if at <= since), default=0)

    def add(self, uid: int, image: Image) -> None:
        """Upload a database that a BIND is about to name; append that record afterwards.

        It is kept until a manifest holds this generation or a later one. It waits for no
        compaction, which may be waiting for the very thread that calls this.
        """
        self._upload(uid, image)

    def compact(self, image: Callable[[int], Image]) -> Manifest:
        """Publish a manifest that covers what is acknowledged now. Blocks; see `LogWriter.wait`.

        `image(uid)` is asked for every database with a record since the last manifest, and gives
        it as of that record or later. It may be ahead of the log: then this call waits for the
        log, so do not make it on the thread that appends. `LeaseLost` if a newer incarnation has
        taken over; `ObjectStoreFailed` leaves the old manifest standing; `ValueError` for an
        image that is older than the log.
        """
        with self._lock:
            self._lease.check()
            with self._lease.first_suspect():
                base = self._newest()
                tail = self._log.tail
                last, gone, made = self._changes(base.tail, tail.sequence)
            kept = {
                one.uid: one
                for one in base.snapshots
                if one.uid not in last and one.uid not in gone
            }
            upto = self._renew(kept, last, image)
            # A restore must not find in an image what no log has: other databases of the same
            # record would lack it.
            self._log.wait(upto)
            found = tuple(kept[uid] for uid in sorted(kept))
            manifest = Manifest(
                FORMAT, base.number + 1, self._lease.token, tail, found, made or base.made
            )
            publish(self._store, self._lease, manifest)
            self._published = [*self._published[-PUBLISHED:], (self._clock(), tail.sequence)]
            self._unpin(kept, gone)
            return manifest

    def collect(self) -> int:
        """Delete what the newest manifest has made superfluous for `grace` seconds; how many.

        Call it now and then. An incarnation begins to count when it first sees a thing.
        """
        with self._lock:
            now = self._clock()
            with self._lease.first_suspect():
                found = set(self._superfluous(self._newest()))
            self._garbage = {key: self._garbage.get(key, now) for key in found}
            due = [key for key, since in self._garbage.items() if now - since >= self._grace]
            for key in sorted(due):
                self._lease.check()
                self._store.delete(key)
                del self._garbage[key]
            return len(due)

    # -- what has changed ---------------------------------------------------------------

    def _newest(self) -> Manifest:
        newest = newest_manifest(self._store, self._lease.host)
        if newest is None:
            key = names.manifests(self._lease.host)
            raise ReplicaCorrupt(f"{key} has no manifest, though a takeover makes one", key=key)
        if newest.token > self._lease.token:
            raise self._lease.lose(f"token {newest.token} has published a manifest")
        return newest

    def _changes(self, start: Tail, upto: int) -> tuple[dict[int, int], set[int], Stamp | None]:
        """By uid the newest record up to there, read from the log itself; the deleted ones; when
        the newest of all was made."""
        last: dict[int, int] = {}
        gone: set[int] = set()
        made = None
        for sequence, data in LogReader(self._store, self._lease.host).records(start):
            if sequence > upto:
                break
            made = stamp_of(data)
            for entry in entries(data):
                last[entry.uid] = sequence
                if entry.kind == DELETE:
                    gone.add(entry.uid)
                else:  # a restore brings back what was deleted
                    gone.discard(entry.uid)
        return {uid: sequence for uid, sequence in last.items() if uid not in gone}, gone, made

    def _renew(
        self, kept: dict[int, Snapshot], last: dict[int, int], image: Callable[[int], Image]
    ) -> int:
        """Upload what has changed; the newest sequence that any of it has."""
        upto = 0
        for uid, sequence in last.items():
            made = image(uid)
            if made.sequence < sequence:
                raise ValueError(
                    f"the image of {uid} is as of {made.sequence}, the log at {sequence}"
                )
            upto = max(upto, made.sequence)
            if made.data is not None:
                kept[uid] = self._upload(uid, made)
        return upto

    def _upload(self, uid: int, image: Image) -> Snapshot:
        made = Snapshot(uid, image.generation, image.sequence, self._lease.token)
        self._pinned[made.key(self._lease.host)] = made
        return _upload(self._store, self._lease, uid, image)

    def _unpin(self, kept: dict[int, Snapshot], gone: set[int]) -> None:
        for key, one in list(self._pinned.items()):
            now = kept.get(one.uid)
            if one.uid in gone or (now is not None and now.generation >= one.generation):
                del self._pinned[key]

    # -- what is superfluous ------------------------------------------------------------

    def _superfluous(self, manifest: Manifest) -> Iterator[str]:
        host = self._lease.host
        yield from self._slots(manifest.tail)
        newest = names.manifest_key(host, manifest.number)
        yield from (key for key in self._store.list(names.manifests(host)) if key < newest)
        if manifest.tail.position.token != self._lease.token:
            # Of an older incarnation, repeated: the log behind it may bind snapshots that no
            # manifest has.
            return
        there = self._store.list(names.snapshots(host))
        # Only now: what is pinned later was not there yet.
        needed = {one.key(host) for one in manifest.snapshots} | self._pinned.keys()
        for key in there:
            # One of a newer token is not ours to judge, and then the lease is lost anyway.
            if key not in needed and names.snapshot_of(key)[0] <= self._lease.token:
                yield key

    def _slots(self, tail: Tail) -> Iterator[str]:
        host = self._lease.host
        end = slot_key(host, tail.position)
        older: dict[int, list[str]] = {}
        for key in self._store.list(names.log(host)):
            if key >= end:
                break
            older.setdefault(position_of(key).token, []).append(key)
        for token, keys in older.items():
            if token == tail.position.token:
                yield from keys
            elif len(keys) > 1:
                yield from self._unsealed(keys)

    def _unsealed(self, keys: list[str]) -> Iterator[str]:
        """All but the seal of an incarnation: the last one, but for slots that were too late."""
        reader = LogReader(self._store, self._lease.host)
        for at in range(len(keys) - 1, -1, -1):
            if reader.read(position_of(keys[at])).is_seal:
                yield from keys[:at] + keys[at + 1 :]
                return
