"""What the search and bundles read: the registry's pages, and tarballs, from the store first."""

from __future__ import annotations

import base64
import hashlib
from typing import final

from facets.packages import limits
from facets.packages.errors import HashMismatch
from facets.packages.index import Connection, Index
from facets.packages.npm import npmrc
from facets.packages.npm.registry import ACCEPT, Releases, address, digest, parse
from facets.packages.store import Store


def default() -> Index:
    """The registry that npm uses here."""
    found = npmrc.read()
    return Index(found.registry, cafile=found.cafile)


@final
class Fetcher:
    """Reads for one search or one bundle, on one thread. Nothing is asked before it is needed."""

    def __init__(self, index: Index | None, store: Store) -> None:
        self._index = index
        self._store = store
        self._open: Connection | None = None

    def __enter__(self) -> Fetcher:
        return self

    def __exit__(self, *_: object) -> None:
        if self._open is not None:
            self._open.__exit__(None, None, None)

    @property
    def _registry(self) -> Index:
        if self._index is None:
            self._index = default()
        return self._index

    @property
    def _connection(self) -> Connection:
        if self._open is None:
            self._open = self._registry.open()
        return self._open

    def releases(self, name: str) -> Releases:
        """What the registry has of a package."""
        url = address(self._registry.url, name)
        return parse(self._connection.get(url, limits.PAGE, ACCEPT), url)

    def tarball(self, url: str, integrity: str) -> bytes:
        """The tarball, which is what it must be; it is kept in the store."""
        expected = digest(integrity)
        found = self._store.tarball(expected)
        if found is not None:
            return found
        content = self._connection.get(url, limits.ARCHIVE)
        _check(content, integrity, url.rpartition("/")[2])
        self._store.put_tarball(content)
        return content


def _check(content: bytes, expected: str, filename: str) -> None:
    found = "sha512-" + base64.b64encode(hashlib.sha512(content).digest()).decode()
    if found != expected:
        raise HashMismatch(
            f"{filename} has another content than it must have: {found}, not {expected}",
            filename=filename,
            expected=expected,
            found=found,
        )
