"""The guest as native code, compiled once per user and machine.

It is kept in the cache that `native` describes, as python-KEY.native.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
import time
from pathlib import Path
from typing import Protocol

import wasmtime
from wasmtime.component import Component

from facets.isolates import capi, engine, native
from facets.isolates.codecache import CodeCache
from facets.isolates.errors import GuestMissing
from facets.isolates.folder import cache_folder as cache_folder
from facets.isolates.guest import memory
from facets.isolates.instance import Instance
from facets.isolates.limits import MINIMUM_MEMORY
from facets.isolates.native import Progress
from facets.isolates.pool import Pool

EXPECTED = 15.0
"""About how many seconds a compilation takes, for a progress bar."""
ROOM = 2 << 20
"""Bytes that loading code takes at least, besides what a guest begins with."""
WASM = Path(__file__).parent / "guest" / "python.wasm"
_loading = threading.Lock()


class Source(Protocol):
    """A guest that is not a file. The same object stands for the same guest."""

    stem: str
    """What its images are called."""

    def identity(self) -> str:
        """A hash of everything it is made of; cheap. GuestMissing if a part is not there."""

    def content(self) -> bytes:
        """The component."""


Key = Path | Source
_images: dict[Key, Image] = {}


class Image:
    """A guest ready to be minted: engine, component, linker, and the addresses of its exports."""

    fuel = engine.FUEL
    slice = engine.SLICE

    def __init__(
        self, made: wasmtime.Engine, component: Component, identity: str, memory: int
    ) -> None:
        self.smallest = memory
        """Bytes that an instance needs at least."""
        self.engine = made
        self.component = component
        self.identity = identity
        """Hash of the WebAssembly file, or of what the guest is made of."""
        self.linker = engine.make_linker(made, component)
        self.linker_at = capi.address(self.linker.ptr())
        self.component_at = capi.address(component.ptr())
        self.boot = capi.export_index(self.component_at, None, b"boot", 4)
        self.pump = capi.export_index(self.component_at, None, b"pump", 4)
        self.measure = capi.export_index(self.component_at, None, b"memory", 6)
        self.pool: Pool[Instance] = Pool(self)
        self.code = CodeCache(self)

    def mint(self, memory: int, output: int) -> Instance:
        """A new instance."""
        return Instance(self, memory, output)


def loaded(wasm: Key = WASM) -> Image | None:
    """The image, if this process has it already."""
    return _images.get(wasm)


def of_identity(identity: str) -> Image | None:
    """The image with this hash, if this process has it."""
    return next((one for one in _images.values() if one.identity == identity), None)


def load(wasm: Key = WASM, on_progress: Progress | None = None) -> Image:
    """The image of this guest; the first time on a machine it is compiled, which takes 10-20 s.

    Blocks; call it on a thread. Several processes that need it at once wait for one of them.
    """
    with _loading:
        found = _images.get(wasm)
        if found is None:
            found = _images[wasm] = _load(wasm, on_progress or _silent)
        return found


async def ready(wasm: Key = WASM) -> Image:
    """The image of this guest, loaded on a thread if this process does not have it."""
    found = loaded(wasm)
    return await asyncio.to_thread(load, wasm) if found is None else found


class _File:
    """A WebAssembly file as a source."""

    def __init__(self, path: Path) -> None:
        self.stem = path.stem
        try:
            self._content = path.read_bytes()
        except FileNotFoundError:
            raise GuestMissing(f"{path} is missing", path=str(path)) from None

    def identity(self) -> str:
        return hashlib.sha256(self._content).hexdigest()

    def content(self) -> bytes:
        return self._content


def _load(wasm: Key, on_progress: Progress) -> Image:
    source = _File(wasm) if isinstance(wasm, Path) else wasm
    identity = source.identity()
    made = engine.make_engine()
    target = cache_folder() / f"{source.stem}-{native.key(identity, engine.CONFIG)}.native"
    component = _open(made, target, on_progress)
    if component is None:
        with native.locked(target, on_progress):
            component = _open(made, target, on_progress)
            if component is None:
                component = _compile(made, source, on_progress)
                native.store(target, bytes(component.serialize()), on_progress)
                component = _open(made, target, on_progress) or component
    content = source.content() if isinstance(source, _File) else b""
    needs = max(MINIMUM_MEMORY, memory.initial(content) + ROOM)
    image = Image(made, component, identity, needs)
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


def _compile(made: wasmtime.Engine, source: Source, on_progress: Progress) -> Component:
    with native.reported(on_progress):
        return Component(made, source.content())


def _silent(_phase: str, _seconds: float) -> None:
    pass
