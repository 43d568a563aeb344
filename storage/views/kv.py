"""Keys with one prefix."""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from storage.errors import NotStorable
from storage.views.view import Mode, View

if TYPE_CHECKING:
    from storage.database import Database


class KvView(View):
    """The keys of an actor's `kv` that begin with a prefix, under what follows it."""

    __slots__ = ("prefix",)

    READS = ("get", "contains", "list", "get_many")
    WRITES = ("set", "delete", "update", "delete_many")

    def __init__(self, database: Database, prefix: str, mode: Mode) -> None:
        super().__init__(database, mode)
        self.prefix = prefix

    def get(self, key: str, default: Any = None) -> Any:
        """The value under a key; `default` if there is none."""
        with self.database.confined(reads=True):
            return self.database.kv.get(self._key(key), default)

    def contains(self, key: str) -> bool:
        """Whether there is such a key."""
        return self._key(key) in self.database.kv

    def list(
        self,
        prefix: str = "",
        *,
        start: str | None = None,
        end: str | None = None,
        limit: int | None = None,
        reverse: bool = False,
    ) -> builtins.list[tuple[str, Any]]:
        """Pairs in the order of their keys, from `start` to before `end`, at most `limit`."""
        bounds = {
            "start": None if start is None else self._key(start),
            "end": None if end is None else self._key(end),
        }
        with self.database.confined(reads=True):
            found = self.database.kv.list(self._key(prefix), **bounds, limit=limit, reverse=reverse)
        return [(key[len(self.prefix) :], value) for key, value in found]

    def get_many(self, keys: builtins.list[str]) -> dict[str, Any]:
        """The values of those keys that are there."""
        with self.database.confined(reads=True):
            found = self.database.kv.get_many([self._key(key) for key in keys])
        return {key[len(self.prefix) :]: value for key, value in found.items()}

    def set(self, key: str, value: Any) -> None:
        """Keep a value under a key."""
        self.update({key: value})

    def update(self, values: Mapping[str, Any]) -> None:
        """Set several keys, or none if one cannot be kept."""
        self._writes()
        pairs = {self._key(key): value for key, value in dict(values).items()}
        with self.database.confined(reads=False):
            self.database.kv.update(pairs)

    def delete(self, key: str) -> None:
        """Delete a key; KeyError if there is none."""
        if not self.delete_many([key]):
            raise KeyError(key)

    def delete_many(self, keys: builtins.list[str]) -> int:
        """Delete those keys that are there; how many were."""
        self._writes()
        return self.database.kv.delete_many([self._key(key) for key in keys])

    def _key(self, key: object) -> str:
        if not isinstance(key, str):
            raise NotStorable(f"a key is text, not {type(key).__name__}", key=repr(key)[:100])
        return self.prefix + key

    def __repr__(self) -> str:
        return f"<keys {self.prefix}*>"
