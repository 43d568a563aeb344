"""Native code on disk: a cache per user whose files are never trusted blindly.

    $FACETS_CACHE_DIR, or $XDG_CACHE_HOME/facets, or ~/.cache/facets
        NAME-KEY.native           what Wasmtime maps
        NAME-KEY.native.sha256    its hash, checked before each use
        NAME-KEY.lock             held while it is compiled

KEY covers the WebAssembly, Wasmtime's version, the engine's configuration and the processor's
features. A file that belongs to someone else, that others may write, or whose hash differs is
never used: it is machine code that runs in this process. A crash while storing leaves nothing
behind that would be taken for an image. What is too much goes, as `sweeping` says.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

from facets.isolates import sweeping
from facets.isolates.folder import is_ours, replace

RAW = "raw-"
"""What names begin with of the native code of tools that are raw WebAssembly."""
Progress = Callable[[str, float], None]
"""Called with a phase ("wait", "compile", "store", "load", "ready") and its seconds so far."""


def key(identity: str, config: str) -> str:
    """The KEY of this content for this engine, on this machine."""
    parts = (identity, version("wasmtime"), config, platform.machine(), _processor())
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def _processor() -> str:
    """The features of this processor: a cache on a shared home serves many machines."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    kept = ("flags", "Features", "model name", "CPU part")
    return "\n".join(sorted({line for line in lines if line.startswith(kept)}))


def is_sound(target: Path) -> bool:
    """Whether there is an image here that may be mapped and run."""
    stamp = target.with_suffix(".native.sha256")
    try:
        if not (is_ours(target) and is_ours(stamp)):
            return False
        with target.open("rb") as file:
            sound = hashlib.file_digest(file, "sha256").hexdigest() == stamp.read_text()
    except FileNotFoundError:
        return False
    if sound:
        sweeping.use(target)
    return sound


def store(target: Path, native: bytes, on_progress: Progress) -> None:
    """Write the image, then its hash: an image without a hash is not used. Others may go for it."""
    on_progress("store", 0.0)
    replace(target.with_suffix(".native.sha256"), b"")
    replace(target, native)
    replace(target.with_suffix(".native.sha256"), hashlib.sha256(native).hexdigest().encode())
    raw = target.name.startswith(RAW)
    files = [one for one in target.parent.glob("*.native") if one.name.startswith(RAW) == raw]
    sweeping.sweep(target, files, sweeping.RAW if raw else sweeping.NATIVE, remove)


def remove(target: Path) -> None:
    """Forget an image; whoever has it mapped keeps it. Its lock stays: it may be held."""
    target.unlink(missing_ok=True)
    target.with_suffix(".native.sha256").unlink(missing_ok=True)


@contextmanager
def reported(on_progress: Progress) -> Iterator[None]:
    """Tell every 0.1 s for how long something is being compiled."""
    began = time.monotonic()
    done = threading.Event()

    def report() -> None:
        while not done.wait(0.1):
            on_progress("compile", time.monotonic() - began)

    on_progress("compile", 0.0)
    reporter = threading.Thread(target=report, name="facets-compile-progress", daemon=True)
    reporter.start()
    try:
        yield
    finally:
        done.set()
        reporter.join()


class locked:  # noqa: N801 - used as a function
    """Hold the lock file of an image."""

    def __init__(self, target: Path, on_progress: Progress) -> None:
        self._path = target.with_suffix(".lock")
        self._on_progress = on_progress

    def __enter__(self) -> None:
        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        began = time.monotonic()
        while True:
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                self._on_progress("wait", time.monotonic() - began)
                time.sleep(0.1)

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)
