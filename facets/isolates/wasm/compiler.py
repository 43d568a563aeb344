"""Compiles one module: WebAssembly on stdin, native code on stdout. A program, run by `compiling`.

What is compiled is not trusted and may be made to be slow or large, so this happens in a process
that bounds itself first. It ends with 0, or says on stderr what is wrong with the module and ends
with `REFUSED`.
"""

from __future__ import annotations

import resource
import sys

SECONDS = 60
"""Processor time that a compilation may take."""
SPACE = 2 << 30
"""Address space that it may take."""
NATIVE = 512 << 20
"""Bytes of native code that may come out."""
REFUSED = 3


def bound() -> None:
    """From now on this process can take no more than this."""
    for what, most in (
        (resource.RLIMIT_CPU, SECONDS),
        (resource.RLIMIT_AS, SPACE),
        (resource.RLIMIT_FSIZE, NATIVE),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (most, most))


def main() -> int:
    """Compile what comes in."""
    bound()
    import wasmtime

    from facets.isolates.errors import LoadError
    from facets.isolates.wasm import modules

    try:
        native = modules.compile_module(sys.stdin.buffer.read())
    except (LoadError, wasmtime.WasmtimeError) as error:
        sys.stderr.write(error.message if isinstance(error, LoadError) else str(error))
        return REFUSED
    sys.stdout.buffer.write(native)
    sys.stdout.buffer.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
