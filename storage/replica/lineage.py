"""What a directory was last in its replica: `replica.json`.

A directory that lags behind when another one takes over, and writes, must not go on as if
nothing had happened, even if it has as many records: they are others. So it notes the newest
token that it had, durably and before anything is written under it.

A replica has no history. A directory that was filled from one notes the bookmark of that moment,
too: nothing leads back further, though no history says so.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from storage.disk import Disk
from storage.errors import StateFormat
from storage.history.bookmark import START, Bookmark, Mark

NAME = "replica.json"
FORMAT = 1


class Lineage(msgspec.Struct, frozen=True):
    """Content of the file."""

    format: int
    host: str
    token: int
    begins: str = ""
    """The bookmark that its histories begin with; empty if it was never filled."""
    filled: int = 0
    """When that was, in microseconds since 1970."""


def newest_token(root: Path, host: str) -> int:
    """The newest token that this directory had as `host`; 0 if it never was in a replica."""
    found = _read(root)
    return found.token if found is not None and found.host == host else 0


def begins(root: Path) -> Mark:
    """What the histories of this directory begin with; `START` if nothing was before them."""
    found = _read(root)
    if found is None or not found.begins:
        return START
    return Mark(Bookmark.parse(found.begins), found.filled)


def note(disk: Disk, root: Path, host: str, token: int, begun: Mark | None = None) -> None:
    """From now on the directory is that incarnation; `begun` where it was filled just now.
    Durable on return."""
    at = begins(root) if begun is None else begun
    text = "" if at == START else str(at.bookmark)
    new = root / (NAME + ".new")
    content = msgspec.json.encode(Lineage(FORMAT, host, token, text, at.time))
    disk.write_file(new, content, sync=True)
    disk.rename(new, root / NAME)
    disk.sync_directory(root)


def _read(root: Path) -> Lineage | None:
    path = root / NAME
    if not path.exists():
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=Lineage)
    except msgspec.DecodeError as error:
        raise StateFormat(f"{path} is damaged: {error}", path=str(path), found="") from error
