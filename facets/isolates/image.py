"""The guest as native code, compiled once per user and machine.

    $FACETS_CACHE_DIR, or $XDG_CACHE_HOME/facets, or ~/.cache/facets
        python-KEY.native           what Wasmtime maps
        python-KEY.native.sha256    its hash, checked before each use
        python-KEY.lock             held while it is compiled

KEY covers the WebAssembly file, Wasmtime's version, the engine's configuration and the
processor's features. The image is machine code that runs in this process: a file that belongs
to someone else, that others may write, or whose hash differs is never used. A crash while
compiling leaves nothing behind that would be taken for an image.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import threading
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import wasmtime
from wasmtime.component import Component

from facets.isolates import capi, engine
from facets.isolates.codecache import CodeCache
from facets.isolates.errors import GuestMissing
from facets.isolates.folder import cache_folder as cache_folder
from facets.isolates.folder import is_ours, replace
from facets.isolates.pool import Pool

Progress = Callable[[str, float], None]
"""Called with a phase ("wait", "compile", "store", "load", "ready") and its seconds so far."""

EXPECTED = 15.0
"""About how many seconds a compilation takes, for a progress bar."""
WASM = Path(__file__).parent / "guest" / "python.wasm"
_loading = threading.Lock()
_images: dict[Path, Image] = {}


class Image:
    """A guest ready to be minted: engine, component, linker, and the addresses of its exports."""

    fuel = engine.FUEL
    slice = engine.SLICE

    def __init__(self, made: wasmtime.Engine, component: Component, identity: str) -> None:
        self.engine = made
        self.component = component
        self.identity = identity
        """Hash of the WebAssembly file."""
        self.linker = engine.make_linker(made, component)
        self.linker_at = capi.address(self.linker.ptr())
        self.component_at = capi.address(component.ptr())
        self.boot = capi.export_index(self.component_at, None, b"boot", 4)
        self.pump = capi.export_index(self.component_at, None, b"pump", 4)
        self.pool = Pool(self)
        self.code = CodeCache(self)


def loaded(wasm: Path = WASM) -> Image | None:
    """The image, if this process has it already."""
    return _images.get(wasm)


def load(wasm: Path = WASM, on_progress: Progress | None = None) -> Image:
    """The image of this guest; the first time on a machine it is compiled, which takes 10-20 s.

    Blocks; call it on a thread. Several processes that need it at once wait for one of them.
    """
    with _loading:
        found = _images.get(wasm)
        if found is None:
            found = _images[wasm] = _load(wasm, on_progress or _silent)
        return found


def _load(wasm: Path, on_progress: Progress) -> Image:
    try:
        content = wasm.read_bytes()
    except FileNotFoundError:
        raise GuestMissing(f"{wasm} is missing", path=str(wasm)) from None
    identity = hashlib.sha256(content).hexdigest()
    made = engine.make_engine()
    target = cache_folder() / f"{wasm.stem}-{_key(identity)}.native"
    component = _open(made, target, on_progress)
    if component is None:
        with _locked(target, on_progress):
            component = _open(made, target, on_progress)
            if component is None:
                component = _compile(made, content, on_progress)
                _store(target, bytes(component.serialize()), on_progress)
                component = _open(made, target, on_progress) or component
    image = Image(made, component, identity)
    on_progress("ready", 0.0)
    return image


def _key(identity: str) -> str:
    parts = (identity, version("wasmtime"), engine.CONFIG, platform.machine(), _processor())
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def _processor() -> str:
    """The features of this processor: a cache on a shared home serves many machines."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    kept = ("flags", "Features", "model name", "CPU part")
    return "\n".join(sorted({line for line in lines if line.startswith(kept)}))


def _open(made: wasmtime.Engine, target: Path, on_progress: Progress) -> Component | None:
    """The stored image, or None if there is none that may be used."""
    began = time.monotonic()
    stamp = target.with_suffix(".native.sha256")
    try:
        if not (is_ours(target) and is_ours(stamp)):
            return None
        on_progress("load", 0.0)
        with target.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != stamp.read_text():
                return None
        component = Component.deserialize_file(made, str(target))
    except (FileNotFoundError, wasmtime.WasmtimeError):
        return None
    on_progress("load", time.monotonic() - began)
    return component


def _compile(made: wasmtime.Engine, content: bytes, on_progress: Progress) -> Component:
    began = time.monotonic()
    done = threading.Event()

    def report() -> None:
        while not done.wait(0.1):
            on_progress("compile", time.monotonic() - began)

    on_progress("compile", 0.0)
    reporter = threading.Thread(target=report, name="facets-compile-progress", daemon=True)
    reporter.start()
    try:
        return Component(made, content)
    finally:
        done.set()
        reporter.join()


def _store(target: Path, native: bytes, on_progress: Progress) -> None:
    """Write the image, then its hash: an image without a hash is not used."""
    on_progress("store", 0.0)
    replace(target.with_suffix(".native.sha256"), b"")
    replace(target, native)
    replace(target.with_suffix(".native.sha256"), hashlib.sha256(native).hexdigest().encode())


class _locked:  # noqa: N801 - used as a function
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


def _silent(_phase: str, _seconds: float) -> None:
    pass
