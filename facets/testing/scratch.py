"""Directories in memory."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
import weakref
from functools import cache
from pathlib import Path

_SHARED = Path("/dev/shm")  # noqa: S108 - private directories are made in it
"""Where files are memory and a sync costs nothing, on Linux."""
_PREFIX, _ALIVE = "facets-", "alive"
_YOUNG = 60.0
"""Seconds within which a directory may not be locked yet by who made it."""


class Scratch:
    """A private directory in memory, or for temporary files where there is no shared memory.

    It goes with this object, or when its process ends. What a killed process leaves is removed
    by the next one that makes a directory: it is not locked any more.
    """

    def __init__(self) -> None:
        above = _SHARED if _SHARED.is_dir() else Path(tempfile.gettempdir())
        _sweep(above)
        self.path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=above))
        alive = os.open(self.path / _ALIVE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(alive, fcntl.LOCK_EX)
        weakref.finalize(self, _remove, self.path, alive)


def _remove(path: Path, alive: int) -> None:
    shutil.rmtree(path, ignore_errors=True)
    os.close(alive)


@cache
def _sweep(above: Path) -> None:
    """Once in a process: remove what nobody holds."""
    for path in above.glob(f"{_PREFIX}*/{_ALIVE}"):
        with contextlib.suppress(OSError):  # another's, or somebody was faster
            if time.time() - path.stat().st_mtime > _YOUNG:
                _remove_unheld(path)


def _remove_unheld(path: Path) -> None:
    alive = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.flock(alive, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(alive)
    else:
        _remove(path.parent, alive)
