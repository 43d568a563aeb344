"""Packages for isolates, of an index or of npm: locked by hash, never run on the host.

    locking      lock: requirements to a Lock        pins       Lock and Pin, values to be stored
    requirements what may be asked for               script     the block at the top of a script
    resolving    the search for versions             releases   which file of a release is usable
    index        what an index has                   pages      its answers, JSON or HTML
    target       the interpreter inside              fallbacks  packages with a Python twin of C
    wheel        one archive, checked                record     its own list of its files
    store        wheels and locks on this machine    bundle     the packages of one isolate
    wanted       what an isolate was given           kept       bundles in memory
    conflicts    why a search found nothing          errors     everything that goes wrong
    npm/         the same for JavaScript

Importing this package imports no other part of it; only resolving needs resolvelib, httpx, and
packaging or node-semver.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from facets.packages.errors import PackageError as PackageError

if TYPE_CHECKING:
    from facets.packages.index import Index as Index
    from facets.packages.locking import lock as lock
    from facets.packages.pins import Lock as Lock
    from facets.packages.pins import Pin as Pin

__all__ = ["Index", "Lock", "PackageError", "Pin", "lock"]
_LAZY = {"Index": "index", "Lock": "pins", "Pin": "pins", "lock": "locking"}


def __getattr__(name: str) -> Any:
    module = _LAZY.get(name)
    if module is None:
        raise AttributeError(f"module 'facets.packages' has no attribute {name!r}")
    return getattr(import_module(f"facets.packages.{module}"), name)
