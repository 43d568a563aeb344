"""Directories in memory, for tests that open stores by the hundred.

Opening one syncs several files. No test here could tell a sync from none: that takes a
simulated loss of power, or a disk that fails.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

MEMORY = Path("/dev/shm")


def scratch() -> tempfile.TemporaryDirectory[str]:
    """A new empty directory, in memory where the machine has such a place."""
    return tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None)
