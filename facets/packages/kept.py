"""Bundles in memory, for the next isolate that has the same packages."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock as Mutex
from typing import Generic, Protocol, TypeVar

from facets.packages.pins import Lock

KEPT = 128 << 20
"""Bytes of bundles of one language that are kept."""


class Bundled(Protocol):
    """The packages of a lock."""

    lock: Lock
    size: int


B = TypeVar("B", bound=Bundled)


class Kept(Generic[B]):
    """Bundles, the least recently used dropped first. Safe to use from any thread."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._mutex = Mutex()
        self._bundles: OrderedDict[str, B] = OrderedDict()

    def get(self, lock: Lock) -> B | None:
        """The bundle of this lock, if it is there."""
        with self._mutex:
            found = self._bundles.get(lock.hash)
            if found is not None:
                self._bundles.move_to_end(lock.hash)
            return found

    def put(self, bundle: B) -> None:
        """Keep this, and drop what was not used for longest if it is too much."""
        with self._mutex:
            self._bundles[bundle.lock.hash] = bundle
            while sum(one.size for one in self._bundles.values()) > self._most:
                self._bundles.popitem(last=False)
