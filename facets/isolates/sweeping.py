"""The one rule of every cache on disk: over its size, what was not used for longest goes.

    wheels         packages/wheels/*.whl       WHEELS
    tarballs       packages/tarballs/*.tgz     TARBALLS
    locks          packages/locks/*.json       LOCKS
    images         images/*.wasm               IMAGES
    native code    *.native                    NATIVE; that of raw WebAssembly, raw-*.native, has
                                               its own, so that no tool drives out an image

A file was used when it was written or when `use` was told so: the file's time says it. Whoever adds
one sweeps; nothing runs in the background. Any number of processes sweep at once: what another
process removed is gone, which is all that was wanted, and whoever has a file open or mapped keeps
it. Who finds one missing makes it or fetches it again.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from stat import S_ISREG

GIB = 1 << 30
WHEELS = TARBALLS = 1 * GIB
LOCKS = GIB >> 6
IMAGES = 2 * GIB
NATIVE = 4 * GIB
RAW = 1 * GIB
ABANDONED = 86_400.0
"""Seconds after which a file that was being written is of a process that died over it."""


def use(path: Path) -> None:
    """This file is needed now: it goes last."""
    # A cache that nobody can write to, as it is in a container's image, is read all the same.
    with suppress(OSError):
        os.utime(path)


def forget(path: Path) -> None:
    """Remove one file, if nobody else did."""
    path.unlink(missing_ok=True)


def sweep(
    newest: Path,
    files: Iterable[Path],
    most: int,
    remove: Callable[[Path], None] = forget,
) -> None:
    """Remove the least recently used of `files` until at most `most` bytes are left of them.

    `newest` stays, which was just added. What writers left behind that died is removed as well.
    """
    found = []
    for path in files:
        with suppress(FileNotFoundError):  # another process was faster
            status = path.stat()
            if S_ISREG(status.st_mode):
                found.append((status.st_mtime_ns, path, status.st_size))
    size = sum(each for _, _, each in found)
    for _, path, each in sorted(found):
        if size <= most:
            break
        if path != newest:
            remove(path)
            size -= each
    _tidy(newest)


def _tidy(newest: Path) -> None:
    """Remove what `folder.replace` began and did not end, of files of this kind."""
    now = time.time()  # times of files are told by the same clock
    for path in newest.parent.glob(f".*{newest.suffix}*.????????"):
        with suppress(FileNotFoundError):
            status = path.stat()
            if S_ISREG(status.st_mode) and now - status.st_mtime > ABANDONED:
                forget(path)
