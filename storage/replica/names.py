"""Keys of the replica of one host, and places in its log.

    leases/HOST/TOKEN                             a claim; stays for ever
    heartbeats/HOST/TOKEN                         overwritten while that incarnation lives
    log/HOST/TOKEN/SLOT                           records, or the seal that ends an incarnation
    manifest/HOST/NUMBER                          what to begin a restore with; the last one counts
    snap/HOST/TOKEN/UID-GENERATION-SEQUENCE       a whole database, uploaded by that incarnation
    objects/HOST/TOKEN/KEY                        a large content, put by that incarnation

Numbers in keys are padded, so that the order of keys is the order of numbers. A token is the
number of an incarnation of the host: each start claims the next one.
"""

from __future__ import annotations

from typing import NamedTuple

from storage.errors import ReplicaCorrupt


class Position(NamedTuple):
    """One slot of the log."""

    token: int
    slot: int


class Tail(NamedTuple):
    """A cut through the history: a record, and the first slot that holds nothing up to it."""

    sequence: int
    position: Position


BEGIN = Tail(0, Position(1, 1))
"""Before everything."""


def claims(host: str) -> str:
    """Prefix of a host's claims."""
    return f"leases/{host}/"


def claim_key(host: str, token: int) -> str:
    """A claim."""
    return f"leases/{host}/{token:010}"


def heartbeat_key(host: str, token: int) -> str:
    """The heartbeat of one incarnation."""
    return f"heartbeats/{host}/{token:010}"


def log(host: str) -> str:
    """Prefix of a host's log."""
    return f"log/{host}/"


def slot_key(host: str, position: Position) -> str:
    """A slot of the log."""
    return f"log/{host}/{position.token:010}/{position.slot:012}"


def manifests(host: str) -> str:
    """Prefix of a host's manifests."""
    return f"manifest/{host}/"


def manifest_key(host: str, number: int) -> str:
    """A manifest."""
    return f"manifest/{host}/{number:010}"


def snapshots(host: str) -> str:
    """Prefix of a host's snapshots."""
    return f"snap/{host}/"


def snapshot_key(host: str, token: int, uid: int, generation: int, sequence: int) -> str:
    """A snapshot."""
    return f"snap/{host}/{token:010}/{uid}-{generation}-{sequence}"


def contents(host: str) -> str:
    """Prefix of a host's large contents."""
    return f"objects/{host}/"


def content_key(host: str, token: int, key: str) -> str:
    """A large content."""
    return f"objects/{host}/{token:010}/{key}"


def content_of(host: str, key: str) -> tuple[int, str]:
    """The token and the key of a large content."""
    token, _, rest = key[len(contents(host)) :].partition("/")
    return _numbers(key, [token])[0], rest


def number_of(key: str) -> int:
    """The number that a claim or manifest ends in."""
    return _numbers(key, key.rpartition("/")[2:])[0]


def position_of(key: str) -> Position:
    """The place of a slot."""
    return Position(*_numbers(key, key.split("/")[-2:]))


def snapshot_of(key: str) -> tuple[int, int, int, int]:
    """Token, uid, generation and sequence of a snapshot."""
    token, _, name = key.rpartition("/")
    parts = [token.rpartition("/")[2], *name.split("-")]
    if len(parts) != 4:
        raise _foreign(key)
    first, uid, generation, sequence = _numbers(key, parts)
    return first, uid, generation, sequence


def _numbers(key: str, parts: list[str] | tuple[str, ...]) -> list[int]:
    if not all(part.isdecimal() for part in parts):
        raise _foreign(key)
    return [int(part) for part in parts]


def _foreign(key: str) -> ReplicaCorrupt:
    return ReplicaCorrupt(f"{key} is not an object of a replica", key=key)
