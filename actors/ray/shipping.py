"""Classes on their way to a host, and kept there.

A class of an installed package goes by reference; one of a script, a notebook or a test by value,
through cloudpickle. A host keeps each durably under its hash, so that its actors can wake when
the program that sent it is gone.
"""

from __future__ import annotations

import hashlib
import sys
import sysconfig
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import cloudpickle  # type: ignore[import-untyped]  # it has no stubs

from actors.ray.wire import load
from storage.errors import ObjectMissing

if TYPE_CHECKING:
    from actors.actor import Actor
    from storage.objects.store import ObjectStore

_PREFIX = "classes/"


@dataclass(frozen=True)
class Shipment:
    """One class, ready to be sent."""

    kind: str
    digest: str
    payload: bytes


_packed: WeakKeyDictionary[type, Shipment] = WeakKeyDictionary()


def pack(cls: type[Actor]) -> Shipment:
    """The class as bytes; the same bytes for as long as it lives."""
    found = _packed.get(cls)
    if found is None:
        module = sys.modules.get(cls.__module__)
        if module is not None and not _installed(cls.__module__):
            # Otherwise its name is sent, which the host cannot import.
            cloudpickle.register_pickle_by_value(module)
        payload = cloudpickle.dumps(cls, protocol=5)
        digest = hashlib.sha256(payload).hexdigest()
        found = _packed[cls] = Shipment(cls.kind, digest, payload)
    return found


@cache
def _installed(module: str) -> bool:
    """Whether every host can import it: it lies where packages are installed."""
    if module == "__main__":
        return False
    file = getattr(sys.modules[module], "__file__", None)
    if file is None:
        return True
    folders = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    own = Path(__file__).parents[2]
    path = Path(file)
    ours = module.partition(".")[0] in ("storage", "actors", "facets") and path.is_relative_to(own)
    return ours or any(path.is_relative_to(folder) for folder in folders)


class ClassStore:
    """The classes that a host keeps."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._loaded: dict[str, type[Actor]] = {}

    def add(self, shipment: Shipment) -> type[Actor]:
        """The class of a shipment, durable from now on."""
        cls = self._loaded.get(shipment.digest)
        if cls is None:
            key = _key(shipment.kind)
            try:
                known = self._store.get(key)
            except ObjectMissing:
                known = b""
            if known != shipment.payload:
                self._store.put(key, shipment.payload)
            cls = self._loaded[shipment.digest] = load(shipment.payload)
        return cls

    def find(self, kind: str) -> type[Actor] | None:
        """The newest class of a kind that any host was sent."""
        try:
            return self._load(_key(kind))
        except ObjectMissing:
            return None

    def kept(self) -> list[type[Actor]]:
        """Every class that any host was sent, the newest of each kind."""
        return [self._load(key) for key in self._store.list(_PREFIX)]

    def _load(self, key: str) -> type[Actor]:
        payload = self._store.get(key)
        digest = hashlib.sha256(payload).hexdigest()
        if digest not in self._loaded:
            self._loaded[digest] = load(payload)
        return self._loaded[digest]


def _key(kind: str) -> str:
    return _PREFIX + hashlib.sha256(kind.encode()).hexdigest()[:32]
