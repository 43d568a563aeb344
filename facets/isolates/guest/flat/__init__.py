"""Makes one core module of the many that the builder links a guest from.

A component of componentize-py has a module for each library (libc, libpython, the runtime), tied
together by two thousand imports, most of them through a table. Every mint would bind all of them
again and fill the table one entry after the other. Merged, calls between libraries are direct,
the addresses that the linker kept in variables are constants, and the table is filled as it is
used; what is left to bind are the functions of the host.

    binary      numbers, names and sections of the format
    module      a core module, taken apart
    code        instructions, and which of them hold an index
    merge       several modules as one
    component   a component, taken apart
    around      the component around the merged module

Nothing is guessed: what these do not know is a ValueError, and the build fails.
"""

from __future__ import annotations

from pathlib import Path

from .around import flattened


def flatten(path: Path) -> None:
    """Rewrite the component at `path` in place."""
    path.write_bytes(flattened(path.read_bytes()))
