"""From requirements to a lock of npm packages."""

from __future__ import annotations

import re
from collections.abc import Sequence

from facets.packages.errors import IndexFailed, NotPure
from facets.packages.npm import bundle, imports
from facets.packages.npm.fetching import Fetcher
from facets.packages.npm.requirements import parse
from facets.packages.npm.resolving import Candidate, Found, resolve
from facets.packages.pins import Lock, Pin


def resolved(wanted: Sequence[str], fetcher: Fetcher) -> Lock:
    """What these requirements are, to the byte, if all of it can be loaded."""
    found = resolve(wanted, fetcher)
    lock = Lock(tuple([_pin(one) for one in found.chosen]), tuple(wanted))
    read = bundle.load(lock, fetcher)
    for name in sorted({parse(one).name for one in wanted}):
        missing = imports.missing(read, name)
        if missing is not None:
            raise _not_pure(name, missing, found)
    return lock


def _pin(one: Candidate) -> Pin:
    release = one.release
    if not release.integrity:
        raise IndexFailed(f"the registry does not say the SHA-512 of {one}", url=release.url)
    filename = f"{one.name.replace('@', '').replace('/', '-')}-{release.version}.tgz"
    filename = re.sub(r"[^A-Za-z0-9_.~+-]", "_", filename)
    return Pin(one.name, release.version, release.url, "", filename, integrity=release.integrity)


def _not_pure(asked: str, missing: imports.Missing, found: Found) -> NotPure:
    module = missing.module.removeprefix(bundle.ROOT)
    name = bundle.package(module)[0] if module else asked
    one = next(one for one in found.chosen if one.name == name)
    path = found.required_by[name]
    by = f", required by {path[-1]}" if path else ""
    why = f"{module}: {missing.why}" if module else "it has no main module that can be imported"
    return NotPure(
        f"{one} cannot run in an isolate{by}: {why}; older versions are not tried"[:1000],
        hint="ask for a package that is published as ES modules and needs nothing of Node, or "
        "bundle what is needed into the source",
        name=name,
        version=one.release.version,
        required_by=path,
        offered=(why[:400],),
    )
