"""Which disk has a host: one seat, taken anew by each process that serves from it.

    seats/HOST/<number, 10 digits>   in what all hosts share: who took it, made only if it is not
    HOST/seat.json                   in the host's directory: the newest seat that it took

A directory whose seat is older than the newest one is not the host's state any more: another disk
went on, or the operator has given it up. The directory notes a seat first, so a crash between the
two leaves it ahead, which is right. Of two that take the same number one wins, and the nonce tells
the other that it lost.
"""

from __future__ import annotations

import secrets
from pathlib import Path

import msgspec

from actors.ray.errors import DiskAway
from storage.disk import Disk
from storage.errors import ObjectMissing
from storage.objects.store import ObjectStore

_FILE = "seat.json"


class Seat(msgspec.Struct, frozen=True):
    """Who serves as a host, or did last."""

    host: str
    number: int
    node: str = ""
    """Ray's id of the node; empty if the host's disk was given up and nobody took the seat yet."""
    ip: str = ""
    pid: int = 0
    path: str = ""
    """Its directory there."""
    since: float = 0.0
    """When, in seconds since 1970."""
    nonce: str = msgspec.field(default_factory=lambda: secrets.token_hex(8))

    @property
    def vacant(self) -> bool:
        """Whether the host may begin on any disk, with what the replica has."""
        return not self.node


def newest(store: ObjectStore, host: str) -> Seat:
    """The newest seat of a host; a vacant one with number -1 if it never served."""
    for key in reversed(store.list(f"seats/{host}/")):
        try:
            return msgspec.json.decode(store.get(key), type=Seat)
        except ObjectMissing:
            continue  # an even newer one was taken meanwhile
    return Seat(host, -1)


def noted(directory: Path) -> Seat | None:
    """The newest seat that a directory took; None if it never was a host's."""
    try:
        return msgspec.json.decode((directory / _FILE).read_bytes(), type=Seat)
    except FileNotFoundError:
        return None


def holds(seat: Seat, own: Seat | None) -> bool:
    """Whether a directory that took `own` is the state of a host whose newest seat is `seat`."""
    if own is None:
        return False
    return own.number > seat.number or (own.number, own.nonce) == (seat.number, seat.nonce)


def away(seat: Seat) -> DiskAway:
    """The error for a host whose disk no node has."""
    return DiskAway(
        f"the state of {seat.host} is in {seat.path} of node {seat.ip}, which is not there",
        host=seat.host,
        node=seat.node,
        ip=seat.ip,
        path=seat.path,
        actor="",
        method="",
    )


def take(store: ObjectStore, seat: Seat, directory: Path) -> bool:
    """Note a seat in the directory and make it the newest, durably; False if another was faster."""
    disk, new = Disk(), directory / f"{_FILE}.new"
    disk.write_file(new, msgspec.json.encode(seat), sync=True)
    disk.rename(new, directory / _FILE)
    disk.sync_directory(directory)
    return announce(store, seat)


def announce(store: ObjectStore, seat: Seat) -> bool:
    """Make a seat the newest; False if another took the number."""
    key = f"seats/{seat.host}/"
    won = store.create(f"{key}{seat.number:010}", msgspec.json.encode(seat))
    for old in store.list(key)[:-2]:
        store.delete(old)
    return won


def vacate(store: ObjectStore, host: str) -> None:
    """Whoever was the host has left: its disk does not count any more."""
    seat = newest(store, host)
    if not seat.vacant:
        announce(store, Seat(host, seat.number + 1))
