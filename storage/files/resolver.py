"""Which actor's files a `facets://KIND/NAME/path` address means."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from storage.errors import StorageError
from storage.files.chunks import Buffer
from storage.files.files import Entry
from storage.files.nodes import Stat


class FilesLike(Protocol):
    """What a file system for other libraries needs of an actor's files, wherever those are."""

    def stat(self, path: str) -> Stat:
        """What is under the path."""

    def scandir(self, path: str) -> list[Entry]:
        """Entries of a directory."""

    def read(self, path: str, offset: int = 0, size: int | None = None) -> bytes:
        """Bytes of a file."""

    def write(self, path: str, data: Buffer) -> int:
        """Make or replace a file."""

    def append(self, path: str, data: Buffer) -> int:
        """Put bytes at the end of a file."""

    def mkdir(
        self, path: str, mode: int = 0o755, *, parents: bool = False, exist_ok: bool = False
    ) -> None:
        """Make a directory."""

    def utime(self, path: str, mtime_ns: int | None = None) -> None:
        """Set the time of the newest change."""

    def unlink(self, path: str) -> None:
        """Remove a file."""

    def rmdir(self, path: str) -> None:
        """Remove an empty directory."""

    def remove_tree(self, path: str) -> None:
        """Remove a directory with all below it."""

    def rename(self, source: str, target: str) -> None:
        """Move an entry."""

    def copy(self, source: str, target: str) -> None:
        """Copy a file."""


Resolver = Callable[[str, str], FilesLike]
"""From the kind and the name of an actor to its files. Raises if there is no such actor."""

_resolver: Resolver | None = None


def register_resolver(resolver: Resolver | None) -> None:
    """Let `facets://` addresses of this process go through `resolver`; None takes it away."""
    global _resolver
    _resolver = resolver


def resolve(kind: str, name: str) -> FilesLike:
    """The files of an actor, by the resolver of this process."""
    if _resolver is None:
        raise StorageError(
            f"no runtime is open that could find the files of {kind}/{name}",
            hint="open a runtime in this process before a facets:// address",
        )
    return _resolver(kind, name)
