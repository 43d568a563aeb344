"""The folder on this machine for what can be made or fetched again."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import NamedTemporaryFile

from facets.isolates.errors import IsolateError


def cache_folder(name: str = "") -> Path:
    """$FACETS_CACHE_DIR, $XDG_CACHE_HOME/facets or ~/.cache/facets, or a folder in it.

    Made if missing, for nobody else to read; refused if others may write to it.
    """
    own = os.environ.get("FACETS_CACHE_DIR")
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(own) if own else Path(base) / "facets"
    for one in (folder, folder / name) if name else (folder,):
        one.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not is_ours(one):
            raise IsolateError(
                f"{one} can be written by others, or belongs to someone else",
                hint="code is loaded from it: fix its mode, or set FACETS_CACHE_DIR",
                path=str(one),
            )
    return folder / name if name else folder


def is_ours(path: Path) -> bool:
    """Whether only this user may write to it."""
    status = path.stat()
    return status.st_uid == os.geteuid() and not status.st_mode & 0o022


def replace(target: Path, content: bytes) -> None:
    """Put a file in place as a whole: whoever reads it finds this one or the one before."""
    with NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}.", delete=False) as file:
        try:
            file.write(content)
            file.close()
            Path(file.name).replace(target)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise
