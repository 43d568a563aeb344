"""What a directory was last in its replica: `replica.json`.

A directory that lags behind when another one takes over, and writes, must not go on as if
nothing had happened, even if it has as many records: they are others. So it notes the newest
token that it had, durably and before anything is written under it.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from storage.disk import Disk
from storage.errors import StateFormat

NAME = "replica.json"
FORMAT = 1


class Lineage(msgspec.Struct, frozen=True):
    """Content of the file."""

    format: int
    host: str
    token: int


def newest_token(root: Path, host: str) -> int:
    """The newest token that this directory had as `host`; 0 if it never was in a replica."""
    path = root / NAME
    if not path.exists():
        return 0
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Lineage)
    except msgspec.DecodeError as error:
        raise StateFormat(f"{path} is damaged: {error}", path=str(path), found="") from error
    return found.token if found.host == host else 0


def note(disk: Disk, root: Path, host: str, token: int) -> None:
    """From now on the directory is that incarnation; durable on return."""
    new = root / (NAME + ".new")
    disk.write_file(new, msgspec.json.encode(Lineage(FORMAT, host, token)), sync=True)
    disk.rename(new, root / NAME)
    disk.sync_directory(root)
