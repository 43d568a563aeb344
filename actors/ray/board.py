"""What all hosts of a cluster see, where they share neither a disk nor an object store.

The objects are in Ray's own key-value table, which one process of the cluster keeps and which ends
with it. So each host also keeps, on its own disk, what it wrote and what it read, before it acts
upon it; `recall` brings that back into the table of a new cluster. An object that was replaced is
kept with the time of that, and the newest one is brought back.
"""

from __future__ import annotations

import time
from typing import Any

from storage.errors import ObjectMissing
from storage.objects.keys import check_key, check_prefix
from storage.objects.store import ObjectStore

_STAMP = 8
"""Bytes before an object: when it was written, in nanoseconds since 1970."""


class Board:
    """An `ObjectStore` in the table of the Ray cluster that this process is connected to.

    `mirror` is where this process keeps what it saw, durably; without it an object lives as long
    as the cluster. Thread-safe.
    """

    def __init__(self, runtime: str, mirror: ObjectStore | None = None) -> None:
        self.url = f"ray://facets/{runtime}"
        self._space = f"facets-{runtime}"
        self._mirror = mirror
        self._kept: dict[str, bytes] = {}
        """Stamps of what the mirror is known to have."""
        self._seen: set[str] = set()
        """Keys among them that were in the table, too."""

    def get(self, key: str) -> bytes:
        """The object; `ObjectMissing` if there is none."""
        found = self._found(check_key(key))
        if found is None:
            raise ObjectMissing(f"{self.url} has no {key}", url=self.url, key=key)
        self._keep(key, found)
        self._seen.add(key)
        return found[_STAMP:]

    def put(self, key: str, data: bytes) -> None:
        """Make or replace the object."""
        stamped = _stamped(data)
        self._keep(check_key(key), stamped)
        _table()._internal_kv_put(key, stamped, overwrite=True, namespace=self._space)

    def create(self, key: str, data: bytes) -> bool:
        """Make the object only if there is none: whether it holds these very bytes on return."""
        stamped = _stamped(data)
        _table()._internal_kv_put(check_key(key), stamped, overwrite=False, namespace=self._space)
        return self.get(key) == data

    def list(self, prefix: str, after: str = "") -> list[str]:
        """Keys that begin with `prefix` and sort behind `after`, in order."""
        check_prefix(prefix)
        seen = [key for key in list(self._seen) if key.startswith(prefix)]
        keys = _table()._internal_kv_list(prefix, namespace=self._space)
        found = {key.decode() for key in keys}
        for key in seen:
            if key not in found:  # somebody else has deleted it
                self._drop(key)
        return sorted(key for key in found if key > after)

    def delete(self, key: str) -> None:
        """Remove the object if it is there; other hosts drop it when they list the next time."""
        _table()._internal_kv_del(check_key(key), namespace=self._space)
        self._drop(key)

    def recall(self) -> None:
        """Bring what the mirror has, and the table has not or has older, into the table."""
        if self._mirror is None:
            return
        for key in self._mirror.list(""):
            kept, found = self._mirror.get(key), self._found(key)
            if found is None or found[:_STAMP] < kept[:_STAMP]:
                _table()._internal_kv_put(key, kept, overwrite=True, namespace=self._space)

    def _found(self, key: str) -> bytes | None:
        found: bytes | None = _table()._internal_kv_get(key, namespace=self._space)
        return found

    def _drop(self, key: str) -> None:
        self._seen.discard(key)
        self._kept.pop(key, None)
        if self._mirror is not None:
            self._mirror.delete(key)

    def _keep(self, key: str, stamped: bytes) -> None:
        if self._mirror is not None and self._kept.get(key) != stamped[:_STAMP]:
            self._mirror.put(key, stamped)
            self._kept[key] = stamped[:_STAMP]


def _stamped(data: bytes) -> bytes:
    return time.time_ns().to_bytes(_STAMP) + data


def _table() -> Any:
    from ray.experimental import internal_kv

    return internal_kv
