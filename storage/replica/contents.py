"""Large contents of one host in its replica, each under the incarnation that put it.

A host that sleeps between the decision to delete something and the request must not take away what
a newer incarnation has put meanwhile. So each puts and deletes under names of its own token, or of
older ones. What it deletes of those nobody needs who went on from its log: its log names it
nowhere behind the newest manifest, and a newer incarnation went on from there.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable

from storage.errors import ObjectMissing
from storage.objects.store import ObjectStore
from storage.replica.names import content_key, content_of, contents


class Contents:
    """An `ObjectStore` of one host's large contents. Thread-safe.

    Which incarnation put a content is listed when something is first not found.
    """

    def __init__(self, store: ObjectStore, host: str, token: int) -> None:
        """`token` is the incarnation that puts and deletes."""
        self._store = store
        self._host = host
        self._token = token
        self._known: dict[str, set[int]] = {}
        self._lock = threading.Lock()

    def get(self, key: str) -> bytes:
        """The object; `ObjectMissing` if there is none."""
        for _ in range(2):
            for token in sorted(self._tokens(key), reverse=True):
                try:
                    return self._store.get(content_key(self._host, token, key))
                except ObjectMissing:
                    self._forget(key, (token,))
            self._look()
        url = getattr(self._store, "url", "")
        raise ObjectMissing(f"the replica of {self._host} has no {key}", url=url, key=key)

    def put(self, key: str, data: bytes) -> None:
        """Make or replace the object."""
        self._store.put(content_key(self._host, self._token, key), data)
        self._learn([(self._token, key)])

    def create(self, key: str, data: bytes) -> bool:
        """Make the object only if this incarnation has none."""
        won = self._store.create(content_key(self._host, self._token, key), data)
        self._learn([(self._token, key)])
        return won

    def list(self, prefix: str, after: str = "") -> list[str]:
        """Keys that begin with `prefix` and sort behind `after`, in order, each once."""
        found = self._look()
        return sorted(key for key in found if key.startswith(prefix) and key > after)

    def delete(self, key: str) -> None:
        """Remove the object, but for what newer incarnations have put."""
        tokens = [token for token in self._tokens(key) if token <= self._token]
        self._forget(key, tokens)
        for token in tokens:
            self._store.delete(content_key(self._host, token, key))

    def _look(self) -> set[str]:
        keys = self._store.list(contents(self._host))
        found = [content_of(self._host, key) for key in keys]
        self._learn(found)
        return {key for _, key in found}

    def _tokens(self, key: str) -> set[int]:
        with self._lock:
            return set(self._known.get(key, ()))

    def _learn(self, found: Iterable[tuple[int, str]]) -> None:
        with self._lock:
            for token, key in found:
                self._known.setdefault(key, set()).add(token)

    def _forget(self, key: str, tokens: Iterable[int]) -> None:
        with self._lock:
            self._known.get(key, set()).difference_update(tokens)
