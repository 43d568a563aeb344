"""Which host owns which actors.

    directory/<version, 10 digits>   {"hosts": [names], "owners": hex, two digits for each bucket}

An actor belongs to one of 4,096 buckets by a hash of its kind and name, and with it all its
facets; a bucket belongs to one host. Versions are made only if they do not exist, so of two that
would change the directory at once one wins, and the other looks again. The newest is the truth.
Hashing says where a bucket goes when it has no owner, never where it is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from actors.ray.errors import DirectoryTaken
from storage.objects.store import ObjectStore

BUCKETS = 4096
_PREFIX = "directory/"


class _Version(msgspec.Struct):
    hosts: list[str]
    owners: str
    nonce: str


@dataclass(frozen=True)
class Directory:
    """One version of it."""

    version: int
    hosts: tuple[str, ...]
    owners: bytes
    """For each bucket, the index of its host."""

    def owner(self, kind: str, name: str) -> str:
        """The name of the host that owns an actor."""
        return self.hosts[self.owners[bucket(kind, name)]]


def bucket(kind: str, name: str) -> int:
    """The bucket of an actor; the same on every machine, for ever."""
    said = f"{len(kind)}:{kind}{name}".encode()
    return int.from_bytes(hashlib.blake2b(said, digest_size=8).digest()) % BUCKETS


def place(hosts: Sequence[str]) -> bytes:
    """An owner for each bucket, by rendezvous: a host more or less moves only its share."""
    return bytes(
        max(range(len(hosts)), key=lambda index: _weight(hosts[index], one))
        for one in range(BUCKETS)
    )


def _weight(host: str, one: int) -> bytes:
    return hashlib.blake2b(f"{one}:{host}".encode(), digest_size=8).digest()


def load(store: ObjectStore) -> Directory | None:
    """The newest version; None where there is none yet."""
    keys = store.list(_PREFIX)
    if not keys:
        return None
    said = msgspec.json.decode(store.get(keys[-1]), type=_Version)
    version = int(keys[-1].removeprefix(_PREFIX))
    return Directory(version, tuple(said.hosts), bytes.fromhex(said.owners))


def settle(store: ObjectStore, hosts: Sequence[str], nonce: str) -> Directory:
    """The directory for these hosts, made if there is none; `DirectoryTaken` by others."""
    found = load(store)
    while found is None:
        made = _Version(list(hosts), place(hosts).hex(), nonce)
        store.create(f"{_PREFIX}{1:010}", msgspec.json.encode(made))
        found = load(store)
    if found.hosts != tuple(hosts):
        raise DirectoryTaken(
            f"the state is spread over {len(found.hosts)} hosts, not {len(hosts)}",
            known=list(found.hosts),
            wanted=list(hosts),
        )
    return found
