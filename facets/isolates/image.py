"""The guest as native code, compiled once per user and machine.

It is kept in the cache that `native` describes, as python-KEY.native.
"""

from __future__ import annotations

import hashlib
import threading
import time
from pathlib import Path

import wasmtime
from wasmtime.component import Component

from facets.isolates import capi, engine, native
from facets.isolates.codecache import CodeCache
from facets.isolates.errors import GuestMissing
from facets.isolates.native import Progress
from facets.isolates.native import cache_folder as cache_folder
from facets.isolates.pool import Pool

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
    target = cache_folder() / f"{wasm.stem}-{native.key(identity, engine.CONFIG)}.native"
    component = _open(made, target, on_progress)
    if component is None:
        with native.locked(target, on_progress):
            component = _open(made, target, on_progress)
            if component is None:
                component = _compile(made, content, on_progress)
                native.store(target, bytes(component.serialize()), on_progress)
                component = _open(made, target, on_progress) or component
    image = Image(made, component, identity)
    on_progress("ready", 0.0)
    return image


def _open(made: wasmtime.Engine, target: Path, on_progress: Progress) -> Component | None:
    """The stored image, or None if there is none that may be used."""
    began = time.monotonic()
    if not native.is_sound(target):
        return None
    on_progress("load", 0.0)
    try:
        component = Component.deserialize_file(made, str(target))
    except wasmtime.WasmtimeError:
        return None
    on_progress("load", time.monotonic() - began)
    return component


def _compile(made: wasmtime.Engine, content: bytes, on_progress: Progress) -> Component:
    with native.reported(on_progress):
        return Component(made, content)


def _silent(_phase: str, _seconds: float) -> None:
    pass
