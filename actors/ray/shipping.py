"""Classes on their way to the hosts, and kept there.

    classes/<kind>/<digest>                  a class, as it was sent
    deployed/<kind>/<version, 10 digits>     {"kind": ..., "digest": ..., "nonce": ...}

`<kind>` is a hash of the kind's name. A class of an installed package goes by reference; one of a
script, a notebook or a test by value, through cloudpickle. All are kept where every host sees them,
so that actors wake when the program that sent their class is gone. Which one they run is what the
newest version says. A version is made only if it does not exist, so of two that would deploy at
once one is first, and the other is the next or, if it was not asked to replace anything, sees what
is there.
"""

from __future__ import annotations

import hashlib
import secrets
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import cloudpickle  # type: ignore[import-untyped]  # it has no stubs
import msgspec

from actors.code import ClassCode
from actors.ray.digest import digest_of, installed
from actors.ray.errors import ClassBroken
from actors.ray.wire import load
from storage.errors import ObjectMissing

if TYPE_CHECKING:
    from actors.actor import Actor
    from storage.objects.store import ObjectStore


@dataclass(frozen=True)
class Shipment:
    """One class, ready to be sent."""

    kind: str
    label: str
    digest: str
    """Of what the class consists of; the payload of the same class may differ."""
    payload: bytes


@dataclass(frozen=True)
class Deployed:
    """Which class the actors of a kind run when they start."""

    kind: str
    version: int
    digest: str


class _Version(msgspec.Struct):
    kind: str
    digest: str
    nonce: str


_packed: WeakKeyDictionary[type, Shipment] = WeakKeyDictionary()


def pack(cls: type[Actor]) -> Shipment:
    """The class as bytes; the same bytes for as long as it lives."""
    found = _packed.get(cls)
    if found is None:
        module = sys.modules.get(cls.__module__)
        if module is not None and not installed(cls.__module__):
            # Otherwise its name is sent, which the host cannot import.
            cloudpickle.register_pickle_by_value(module)
        payload = cloudpickle.dumps(cls, protocol=5)
        label = ClassCode(cls).label
        found = _packed[cls] = Shipment(cls.kind, label, digest_of(cls), payload)
    return found


class ClassStore:
    """The classes of a runtime, in what all its hosts and drivers see. Every method blocks, and
    may be called from any thread."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def deployed(self, kind: str) -> Deployed | None:
        """What the actors of a kind run; None if no class of it was ever used."""
        keys = self._store.list(f"deployed/{_folder(kind)}/")
        return self._said(keys[-1]) if keys else None

    def all(self) -> list[Deployed]:
        """The same for every kind."""
        newest = {key.rpartition("/")[0]: key for key in self._store.list("deployed/")}
        return [self._said(key) for key in newest.values()]

    def settle(self, shipment: Shipment) -> Deployed:
        """What is deployed: this class, if there was none."""
        found = self.deployed(shipment.kind)
        while found is None:
            self._keep(shipment)
            self._make(shipment, 1)
            found = self.deployed(shipment.kind)
        if found.digest == shipment.digest:
            self._keep(shipment)  # it may be lost, where a cluster's own table ended with it
        return found

    def deploy(self, shipment: Shipment) -> Deployed:
        """Make this class the deployed one, if it is not."""
        self._keep(shipment)
        while True:
            found = self.deployed(shipment.kind)
            if found is not None and found.digest == shipment.digest:
                return found
            self._make(shipment, 1 if found is None else found.version + 1)

    def load(self, one: Deployed, host: str) -> type[Actor]:
        """The class itself, on a host; `ClassBroken` if it cannot be had there."""
        try:
            payload = self._store.get(_key(one.kind, one.digest))
        except ObjectMissing as error:
            raise _broken(one.kind, one.digest, host, "it is not kept any more") from error
        return unpack(one.kind, one.digest, payload, host)

    def _said(self, key: str) -> Deployed:
        said = msgspec.json.decode(self._store.get(key), type=_Version)
        return Deployed(said.kind, int(key.rpartition("/")[2]), said.digest)

    def _keep(self, shipment: Shipment) -> None:
        """It stays as it was first sent: the others of that digest are as good."""
        self._store.create(_key(shipment.kind, shipment.digest), shipment.payload)

    def _make(self, shipment: Shipment, version: int) -> None:
        """Nothing happens if there is one of that number."""
        said = _Version(shipment.kind, shipment.digest, secrets.token_hex(8))
        key = f"deployed/{_folder(shipment.kind)}/{version:010}"
        self._store.create(key, msgspec.json.encode(said))


def unpack(kind: str, digest: str, payload: bytes, host: str) -> type[Actor]:
    """The class of a payload; `ClassBroken` if it cannot be made on this host, or is another."""
    try:
        cls: Any = load(payload)
        there = digest_of(cls) if installed(cls.__module__) else digest
    except Exception as error:  # whatever importing its modules raises
        why = f"{type(error).__name__}: {error}"
        raise _broken(kind, digest, host, why) from error
    if there != digest:
        why = f"{ClassCode(cls).label} is installed there in another version"
        raise _broken(kind, digest, host, why)
    return cls  # type: ignore[no-any-return]


def _broken(kind: str, digest: str, host: str, why: str) -> ClassBroken:
    return ClassBroken(
        f"the class of {kind!r} cannot be used on {host}: {why}",
        kind=kind,
        digest=digest,
        host=host,
        why=why,
    )


def _folder(kind: str) -> str:
    return hashlib.sha256(kind.encode()).hexdigest()[:32]


def _key(kind: str, digest: str) -> str:
    return f"classes/{_folder(kind)}/{digest}"
