"""Manifests: from what, and from where in the log, a restore begins.

`manifest/HOST/NUMBER` is JSON, created once and never changed; the one with the highest number
counts. Every takeover adds one, so that the next number is no longer free for an incarnation
that is gone: what it still tries to publish fails.
"""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from storage.errors import ObjectMissing, ObjectStoreFailed, ReplicaCorrupt
from storage.objects.store import ObjectStore
from storage.replica import names
from storage.replica.entries import NEVER, Stamp
from storage.replica.lease import Lease
from storage.replica.names import BEGIN, Tail

FORMAT = 1


class Snapshot(msgspec.Struct, frozen=True, array_like=True):
    """A whole database as of a sequence, uploaded by the incarnation `token`."""

    uid: int
    generation: int
    sequence: int
    token: int

    def key(self, host: str) -> str:
        """Where it is."""
        return names.snapshot_key(host, self.token, self.uid, self.generation, self.sequence)


class Manifest(msgspec.Struct, frozen=True):
    """One manifest. `tail` is what it covers: the log is needed only from there on."""

    format: int
    number: int
    token: int
    """Who made it."""
    tail: Tail
    snapshots: tuple[Snapshot, ...]
    """One for every database that existed at `tail.sequence`, as of then or later."""
    made: Stamp = NEVER
    """When the record `tail.sequence` was made, or later, but before the next one."""


def newest_manifest(store: ObjectStore, host: str) -> Manifest | None:
    """The manifest that counts; None for a host without one. Blocks."""
    while keys := store.list(names.manifests(host)):
        try:
            data = store.get(keys[-1])
        except ObjectMissing:
            continue  # superseded twice while we looked
        return _decode(keys[-1], data)
    return None


def publish(store: ObjectStore, lease: Lease, manifest: Manifest) -> None:
    """Add a manifest behind the newest. Blocks.

    `LeaseLost` if a newer incarnation has added one. `ObjectStoreFailed` if its number was taken
    by an earlier attempt of this incarnation: read the newest and begin again.
    """
    lease.check()
    if not _create(store, lease.host, manifest):
        _check_token(lease, newest_manifest(store, lease.host))
        key = names.manifest_key(lease.host, manifest.number)
        said = f"{key} was taken while it was made"
        raise ObjectStoreFailed(said, hint="repeat the call", url="", key=key, cause="raced")


def fence(store: ObjectStore, lease: Lease) -> Manifest:
    """Repeat the newest manifest under this token, or begin with an empty one. Blocks.

    From then on no older incarnation can publish, nor delete anything that this one needs.
    `LeaseLost` if a newer incarnation has done so.
    """
    while True:
        base = newest_manifest(store, lease.host)
        _check_token(lease, base)
        base = base or Manifest(FORMAT, 0, lease.token, BEGIN, ())
        manifest = replace(base, number=base.number + 1, token=lease.token)
        if _create(store, lease.host, manifest):
            return manifest


def _create(store: ObjectStore, host: str, manifest: Manifest) -> bool:
    """Whether it is there now, and the newest."""
    key = names.manifest_key(host, manifest.number)
    won = store.create(key, msgspec.json.encode(manifest))
    # A number far behind may be free again, deleted while we slept. Then a later one is there:
    # the newest is never deleted.
    return won and not store.list(names.manifests(host), key)


def _check_token(lease: Lease, newest: Manifest | None) -> None:
    if newest is not None and newest.token > lease.token:
        raise lease.lose(f"token {newest.token} has published a manifest")


def newest_number(store: ObjectStore, host: str) -> int:
    """The number of that manifest; 0 without one. Nothing is deleted while it stays the same."""
    keys = store.list(names.manifests(host))
    return names.number_of(keys[-1]) if keys else 0


def _decode(key: str, data: bytes) -> Manifest:
    number = names.number_of(key)
    try:
        found = msgspec.json.decode(data, type=Manifest)
    except msgspec.DecodeError as error:
        raise ReplicaCorrupt(f"{key} is damaged: {error}", key=key) from error
    if found.format != FORMAT or found.number != number:
        said = f"{key} is damaged: it says format {found.format}, number {found.number}"
        raise ReplicaCorrupt(said, key=key)
    return found
