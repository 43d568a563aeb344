"""Wheels and locks on this machine, in the user's cache folder.

    packages/wheels/SHA256.whl     content, known by its hash and checked each time it is read
    packages/locks/KEY.json        what a set of requirements was resolved to

Any number of processes use it at once: a file appears whole or not at all, and those that write
the same one write the same content, or, of a lock, one that is as good.
"""

from __future__ import annotations

import hashlib
from typing import final

from facets.isolates.folder import cache_folder, is_ours, replace
from facets.packages.errors import BadLock
from facets.packages.pins import Lock


@final
class Store:
    """What was fetched and resolved before. Safe to use from any thread."""

    def __init__(self) -> None:
        self._wheels = cache_folder("packages/wheels")
        self._locks = cache_folder("packages/locks")

    def wheel(self, sha256: str) -> bytes | None:
        """The content with this hash; a file with another content is removed."""
        path = self._wheels / f"{sha256}.whl"
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        if hashlib.sha256(content).hexdigest() == sha256:
            return content
        path.unlink(missing_ok=True)
        return None

    def put_wheel(self, content: bytes) -> str:
        """Keep this; its hash."""
        sha256 = hashlib.sha256(content).hexdigest()
        replace(self._wheels / f"{sha256}.whl", content)
        return sha256

    def lock(self, key: str) -> Lock | None:
        """What these requirements were resolved to; a lock that does not parse is none."""
        path = self._locks / f"{key}.json"
        try:
            return Lock.parse(path.read_text()) if is_ours(path) else None
        except (FileNotFoundError, UnicodeDecodeError, BadLock):
            return None

    def put_lock(self, key: str, lock: Lock) -> None:
        """Keep what these requirements were resolved to."""
        replace(self._locks / f"{key}.json", lock.dump().encode())
