"""From bytes to native code: in a process of its own, and only once for each content.

    raw-KEY.native      in the cache that `native` describes
    raw-XX.lock         held while something whose KEY begins with XX is compiled

A failure leaves nothing in the cache: the next load of the same bytes tries again.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from tempfile import TemporaryFile

from facets.isolates import native
from facets.isolates.errors import LoadError
from facets.isolates.folder import cache_folder
from facets.isolates.wasm import compiler, engine

MOST = 16 << 20
"""Bytes of WebAssembly that are compiled."""
PATIENCE = 120.0
"""Seconds that a compilation may take."""
AT_ONCE = 2
"""Compilations of one process at the same time."""
_START = (
    "import sys, json; sys.path[:] = json.loads(sys.argv[1]); from {} import main; sys.exit(main())"
)


@cache
def pool() -> ThreadPoolExecutor:
    """The threads that wait for compilers."""
    return ThreadPoolExecutor(AT_ONCE, thread_name_prefix="facets-compile")


def native_file(wasm: bytes) -> Path:
    """Where the native code of `wasm` is; compiled if it is not there yet, or not sound.

    Blocks, up to minutes. LoadError if it is not a module, imports what there is not, or takes
    too much to compile.
    """
    if len(wasm) > MOST:
        raise LoadError(
            f"the module has {len(wasm)} bytes; at most {MOST} are compiled",
            hint="strip its debug information and names",
            type="TooLarge",
        )
    target = _target(wasm)
    if not native.is_sound(target):
        with native.locked(target.with_name(f"{target.name[:6]}.native"), _quiet):
            if not native.is_sound(target):
                native.store(target, _compile(wasm), _quiet)
    return target


def forget(wasm: bytes) -> None:
    """Compile it again when it is asked for next."""
    native.remove(_target(wasm))


def _target(wasm: bytes) -> Path:
    key = native.key(hashlib.sha256(wasm).hexdigest(), engine.CONFIG)
    return cache_folder() / f"{native.RAW}{key}.native"


def _compile(wasm: bytes) -> bytes:
    program = _START.format(compiler.__name__)
    with TemporaryFile() as out:
        try:
            done = subprocess.run(  # noqa: S603 - our own interpreter and program
                [sys.executable, "-I", "-c", program, json.dumps(sys.path)],
                input=wasm,
                stdout=out,
                stderr=subprocess.PIPE,
                timeout=PATIENCE,
                env={},
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise _too_slow() from None
        if done.returncode:
            raise _why(done.returncode, done.stderr.decode("utf-8", "replace"))
        out.seek(0)
        return out.read()


def _why(status: int, said: str) -> LoadError:
    if status == compiler.REFUSED:
        return LoadError(f"the module does not load: {said.strip()}"[:2000], type="CompileError")
    if status in (-24, -9):  # SIGXCPU, and SIGKILL a second later
        return _too_slow()
    return LoadError(
        "the module could not be compiled: its compiler ended before it was done",
        hint="it may have needed more memory than it gets; split large functions",
        type="CompileLimit",
        status=status,
        said=said[-2000:],
    )


def _too_slow() -> LoadError:
    return LoadError(
        f"compiling the module takes more than {compiler.SECONDS} s of processor time",
        hint="split large functions",
        type="CompileLimit",
    )


def _quiet(_phase: str, _seconds: float) -> None:
    pass
