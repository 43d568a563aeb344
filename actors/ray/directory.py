"""Which host owns which actors.

    directory/<version, 10 digits>   {"id": text, "hosts": [names], "tokens": {host: token},
                                      "owners": hex, four digits for each bucket, "nonce": text}

An actor belongs to one of 4,096 buckets by a hash of its kind and name, and with it all its
facets; a bucket belongs to one host. The newest version is the truth: a version is made only if
it does not exist, so of two that would change the directory at once one wins, and the other looks
again. Hashing says where a bucket should go, never where it is.

A version also names the incarnation of each host: its token begins with the version that named it
first, so that newer ones sort behind older ones. Who changes what a host owns builds upon a version
that names this incarnation, and a newer one of that host has made a later version before it serves
anything. So whoever was before can move nothing more, whatever it believes and however late.

The last 50 versions are kept. One that is made upon a version long gone takes a number that is
free again, and counts for nothing: hence whoever made one follows the newest, not its own.
"""

from __future__ import annotations

import hashlib
import secrets
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

import msgspec

from actors.ray.errors import DirectoryTaken
from storage.errors import ObjectMissing
from storage.objects.store import ObjectStore

BUCKETS = 4096
KEPT = 50
"""Versions that are not deleted."""
_PREFIX = "directory/"
_OWNERS = struct.Struct(f">{BUCKETS}H")


class _Version(msgspec.Struct):
    id: str
    hosts: list[str]
    tokens: dict[str, str]
    owners: str
    nonce: str


@dataclass(frozen=True)
class Directory:
    """One version of it."""

    version: int
    hosts: tuple[str, ...]
    owners: tuple[int, ...]
    """For each bucket, the index of its host."""
    tokens: Mapping[str, str] = field(default_factory=dict)
    """The newest incarnation of each host that ever ran; of one that left, the one that did."""
    id: str = ""
    """The same in all versions, and in no other directory."""

    def owner(self, kind: str, name: str) -> str:
        """The name of the host that owns an actor."""
        return self.owner_of(bucket(kind, name))

    def owner_of(self, one: int) -> str:
        """The name of the host that owns a bucket."""
        return self.hosts[self.owners[one]]

    def owned(self, host: str) -> list[int]:
        """The buckets of a host, which may not be one of these."""
        if host not in self.hosts:
            return []
        index = self.hosts.index(host)
        return [one for one, owner in enumerate(self.owners) if owner == index]

    # -- what may come next -------------------------------------------------------------

    def entered(self, host: str, nonce: str) -> Directory:
        """With a new incarnation of a host."""
        tokens = {**self.tokens, host: f"{self.version + 1:010}-{nonce}"}
        return replace(self, tokens=tokens)

    def moved(self, buckets: Sequence[int], host: str) -> Directory:
        """With these buckets owned by a host."""
        owners, index = list(self.owners), self.hosts.index(host)
        for one in buckets:
            owners[one] = index
        return replace(self, owners=tuple(owners))

    def joined(self, hosts: Sequence[str]) -> Directory:
        """With more hosts, which own nothing yet."""
        return replace(self, hosts=(*self.hosts, *hosts))

    def left(self, host: str) -> Directory:
        """Without a host, which owns nothing any more."""
        hosts = tuple(one for one in self.hosts if one != host)
        owners = tuple(hosts.index(self.hosts[owner]) for owner in self.owners)
        return replace(self, hosts=hosts, owners=owners)


@lru_cache(1 << 16)
def bucket(kind: str, name: str) -> int:
    """The bucket of an actor; the same on every machine, for ever."""
    said = f"{len(kind)}:{kind}{name}".encode()
    return int.from_bytes(hashlib.blake2b(said, digest_size=8).digest()) % BUCKETS


def place(hosts: Sequence[str]) -> tuple[int, ...]:
    """An owner for each bucket, by rendezvous: a host more or less moves only its share."""
    return tuple(
        max(range(len(hosts)), key=lambda index: _weight(hosts[index], one))
        for one in range(BUCKETS)
    )


def _weight(host: str, one: int) -> bytes:
    return hashlib.blake2b(f"{one}:{host}".encode(), digest_size=8).digest()


def load(store: ObjectStore) -> Directory | None:
    """The newest version; None where there is none yet."""
    while keys := store.list(_PREFIX):
        try:
            said = msgspec.json.decode(store.get(keys[-1]), type=_Version)
        except ObjectMissing:
            continue  # so many were made meanwhile
        version = int(keys[-1].removeprefix(_PREFIX))
        owners = _OWNERS.unpack(bytes.fromhex(said.owners))
        return Directory(version, tuple(said.hosts), owners, said.tokens, said.id)
    return None


def newest(store: ObjectStore) -> Directory:
    """The newest version of a directory that there is."""
    found = load(store)
    assert found is not None  # noqa: S101 - `settle` comes first
    return found


def settle(store: ObjectStore, hosts: Sequence[str]) -> Directory:
    """The directory, made for these hosts if there is none; `DirectoryTaken` if it has more hosts,
    or fewer."""
    found = load(store)
    while found is None:
        _create(store, Directory(1, tuple(hosts), place(hosts), id=secrets.token_hex(8)))
        found = load(store)
    if len(found.hosts) != len(hosts):
        raise DirectoryTaken(
            f"the state is spread over {len(found.hosts)} hosts, not {len(hosts)}",
            hint=f"open it with hosts={len(found.hosts)}, and then runtime.scale({len(hosts)})",
            known=list(found.hosts),
            wanted=list(hosts),
        )
    return found


def amend(store: ObjectStore, change: Callable[[Directory], Directory | None]) -> Directory:
    """Make the next version, as `change` makes it of the newest, and again if another was faster.

    The newest version then: whether the change counts is to be seen in that. `change` returns None
    if there is nothing to do, or raises. Blocks.
    """
    while True:
        found = newest(store)
        made = change(found)
        if made is None:
            return found
        if _create(store, replace(made, version=found.version + 1)):
            _tidy(store)
            return newest(store)


def _create(store: ObjectStore, made: Directory) -> bool:
    owners = _OWNERS.pack(*made.owners).hex()
    said = _Version(made.id, list(made.hosts), dict(made.tokens), owners, secrets.token_hex(8))
    return store.create(f"{_PREFIX}{made.version:010}", msgspec.json.encode(said))


def _tidy(store: ObjectStore) -> None:
    for key in store.list(_PREFIX)[:-KEPT]:
        store.delete(key)
