"""The two WebAssembly modules in the wheel of `quickjs-rs`: an engine and a type stripper.

Only its files are used. Nothing of the package is imported: its Python layer has an engine of
its own, with traps as signals and the host's standard output inside.
"""

from __future__ import annotations

import hashlib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from facets.isolates.errors import GuestMissing

WHEEL = "quickjs-rs"
VERSION = "0.2.6"
ENGINE = "_guest.wasm"
STRIPPER = "_transform.wasm"
PINNED = {
    ENGINE: "647ab11ae29cc6d39a6d17d3aa1e7a6a0b5fb9c44b4864475a18bc644f926050",
    STRIPPER: "c4710d5258585122a70f0b3ee3bc19d085742e6f94f48aa0b8057630ebaca745",
}
"""SHA-256 of what was read, tested and measured; other files are refused."""
_HINT = f'pip install "facets-runtime[js]" brings {WHEEL} {VERSION}'


def content(name: str) -> bytes:
    """The file; GuestMissing if the wheel is not installed, or is not the one that is pinned."""
    try:
        path = Path(str(distribution(WHEEL).locate_file(f"quickjs_rs/{name}")))
        found = path.read_bytes()
    except (PackageNotFoundError, FileNotFoundError):
        raise GuestMissing(f"{WHEEL} is not installed", hint=_HINT, path=name) from None
    if hashlib.sha256(found).hexdigest() != PINNED[name]:
        raise GuestMissing(f"{path} is not that of {WHEEL} {VERSION}", hint=_HINT, path=str(path))
    return found
