"""What the search reads: pages, metadata and wheels, from the store before the index."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, final

from facets.packages import limits, wheel
from facets.packages.errors import HashMismatch
from facets.packages.index import Connection, Index
from facets.packages.pages import File
from facets.packages.store import Store

if TYPE_CHECKING:
    from facets.packages.releases import Release


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
    def _connection(self) -> Connection:
        if self._open is None:
            self._open = (self._index or Index()).open()
        return self._open

    def files(self, name: str) -> list[File]:
        """What the index has of a package."""
        return self._connection.files(name)

    def metadata(self, file: File, release: Release) -> bytes:
        """What a wheel says about itself, without the wheel if the index offers that."""
        if not file.metadata:
            content = self.wheel(file)
            return wheel.read(content, file.filename, release.stripped).metadata
        content = self._connection.get(file.url + ".metadata", limits.METADATA)
        if file.metadata_sha256:
            _check(content, file.metadata_sha256, file.filename + ".metadata")
        return content

    def wheel(self, file: File) -> bytes:
        """The wheel itself, checked if it is known what it must be; it is kept in the store."""
        found = self._store.wheel(file.sha256) if file.sha256 else None
        if found is not None:
            return found
        content = self._connection.get(file.url, limits.ARCHIVE)
        if file.sha256:
            _check(content, file.sha256, file.filename)
        self._store.put_wheel(content)
        return content


def _check(content: bytes, expected: str, filename: str) -> None:
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        raise HashMismatch(
            f"{filename} has another content than it must have: SHA-256 {found}, not {expected}",
            filename=filename,
            expected=expected,
            found=found,
        )
