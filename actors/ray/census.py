"""Which trees each bucket of a host has.

The catalogue may name a million actors, so it is read once, in parts, and later only what is new:
uids only rise. An actor that became a root, or got another name, keeps its uid; then it is read
again as a whole.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from actors.ray.directory import bucket

if TYPE_CHECKING:
    from actors.host import Host

Name = tuple[str, str]
"""Kind and name of a root."""
PART = 5000
"""Actors that are read at once."""
_ROOTS = "select uid, kind, name from actors where uid > ? and parent = 0 order by uid limit ?"


class Census:
    """Of one host, on its loop. Trees that were deleted since may still be in it."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._found: dict[int, list[Name]] = {}
        self._last = 0
        self._moves = host.moves

    async def take(self) -> None:
        """Read the catalogue, and let others run meanwhile."""
        while self._read():
            await asyncio.sleep(0)

    def trees(self, one: int) -> list[Name]:
        """The trees of a bucket, as of now."""
        if self._moves != self._host.moves:
            self._found, self._last, self._moves = {}, 0, self._host.moves
        while self._read():
            pass
        find = self._host.store.catalogue.find
        return [name for name in self._found.get(one, ()) if find(0, *name) is not None]

    def count(self, one: int) -> int:
        """About how many trees a bucket has."""
        return len(self._found.get(one, ()))

    def _read(self) -> bool:
        """Read the next part; whether there may be more."""
        rows = self._host.store.catalogue.read(_ROOTS, self._last, PART)
        for uid, kind, name in rows:
            self._found.setdefault(bucket(kind, name), []).append((kind, name))
            self._last = uid
        return len(rows) == PART
