"""Wheels and locks on this machine, in the user's cache folder.

    packages/wheels/SHA256.whl     content, known by its hash and checked each time it is read
    packages/tarballs/SHA512.tgz   the same, of npm
    packages/locks/KEY.json        what a set of requirements was resolved to

Any number of processes use it at once: a file appears whole or not at all, and those that write
the same one write the same content, or, of a lock, one that is as good. What is too much goes, as
`isolates.sweeping` says.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import final

from facets.isolates import sweeping
from facets.isolates.folder import cache_folder, is_ours, replace
from facets.packages.errors import BadLock
from facets.packages.pins import Lock


@final
class Store:
    """What was fetched and resolved before. Safe to use from any thread."""

    def __init__(self) -> None:
        self._wheels = cache_folder("packages/wheels")
        self._tarballs = cache_folder("packages/tarballs")
        self._locks = cache_folder("packages/locks")

    def wheel(self, sha256: str) -> bytes | None:
        """The content with this hash; a file with another content is removed."""
        return _checked(self._wheels / f"{sha256}.whl", "sha256", sha256)

    def put_wheel(self, content: bytes) -> None:
        """Keep this."""
        target = self._wheels / f"{hashlib.sha256(content).hexdigest()}.whl"
        _keep(target, content, sweeping.WHEELS)

    def tarball(self, sha512: str) -> bytes | None:
        """The content with this hash; a file with another content is removed."""
        return _checked(self._tarballs / f"{sha512}.tgz", "sha512", sha512)

    def put_tarball(self, content: bytes) -> None:
        """Keep this."""
        target = self._tarballs / f"{hashlib.sha512(content).hexdigest()}.tgz"
        _keep(target, content, sweeping.TARBALLS)

    def lock(self, key: str) -> Lock | None:
        """What these requirements were resolved to; a lock that does not parse is none."""
        path = self._locks / f"{key}.json"
        try:
            found = Lock.parse(path.read_text()) if is_ours(path) else None
        except (FileNotFoundError, UnicodeDecodeError, BadLock):
            return None
        sweeping.use(path)
        return found

    def put_lock(self, key: str, lock: Lock) -> None:
        """Keep what these requirements were resolved to."""
        _keep(self._locks / f"{key}.json", lock.dump().encode(), sweeping.LOCKS)


def _checked(path: Path, algorithm: str, expected: str) -> bytes | None:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    if hashlib.new(algorithm, content).hexdigest() == expected:
        sweeping.use(path)
        return content
    path.unlink(missing_ok=True)
    return None


def _keep(target: Path, content: bytes, most: int) -> None:
    replace(target, content)
    sweeping.sweep(target, target.parent.glob(f"*{target.suffix}"), most)
