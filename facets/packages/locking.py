"""From requirements to a lock, and from a lock to files: the two that an isolate waits for.

Both run on threads of their own. If the caller is cancelled, the work goes on to its end, and
the next one finds it done.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib.util import find_spec
from typing import TypeVar

from facets.packages import bundle
from facets.packages.bundle import Bundle
from facets.packages.errors import PackagesUnavailable
from facets.packages.fallbacks import FALLBACKS
from facets.packages.fetching import Fetcher
from facets.packages.index import Index
from facets.packages.pins import Lock, Pin
from facets.packages.store import Store

T = TypeVar("T")
_known: dict[str, Lock] = {}
"""Locks that this process has seen, by their key."""
_busy: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)


async def lock(
    requirements: Iterable[str], *, index: Index | None = None, refresh: bool = False
) -> Lock:
    """What these requirements are, to the byte: names, versions and hashes of wheels.

    The same requirements give the same lock for as long as this machine's cache lasts, without
    the network; `refresh` looks for newer versions and puts them in its place. Nothing of a
    package runs. Taken are wheels of pure Python for the interpreter inside, and those of
    `packages.fallbacks` without their compiled files.

    requirements: as in a requirements file, "humanize", "jinja2>=3", "name[extra]==1.2".
    index: where to look; by default where pip does.

    Raises BadRequirement, NoSuchPackage, RequirementsConflict, NotPure, BadWheel, HashMismatch,
    PackagesTooLarge, IndexFailed, PackagesUnavailable.
    """
    wanted = normal(requirements)
    return await on_thread(lambda: _lock(wanted, index or Index(), refresh))


async def load(lock: Lock) -> Bundle:
    """The files of a lock; the wheels that are not on this machine yet are fetched."""

    def read() -> Bundle:
        with _busy[lock.hash], Fetcher(None, Store()) as fetcher:
            return bundle.load(lock, fetcher)

    return await on_thread(read)


def normal(requirements: Iterable[str]) -> tuple[str, ...]:
    """The requirements in one spelling and order."""
    if isinstance(requirements, str):
        raise TypeError("requirements is a text; write ['name'], a list of texts")
    wanted = tuple(requirements)
    if not wanted:
        return ()
    check_available()
    from facets.packages.requirements import normal

    return normal(wanted)


def check_available() -> None:
    """Raise PackagesUnavailable if what reads requirements is not installed."""
    missing = [one for one in ("packaging", "resolvelib", "httpx") if find_spec(one) is None]
    if missing:
        raise PackagesUnavailable(f"packages need {', '.join(missing)}")


def known(key: str) -> Lock | None:
    """What these requirements were resolved to, if this process knows."""
    return _known.get(key)


async def on_thread(work: Callable[[], T]) -> T:
    """The result of work that blocks."""
    return await asyncio.wrap_future(_threads().submit(work))


def _lock(wanted: tuple[str, ...], index: Index, refresh: bool) -> Lock:
    if not wanted:
        return Lock()
    its = key(wanted, index)
    with _busy[its]:
        store = Store()
        found = None if refresh else _known.get(its) or store.lock(its)
        if found is None:
            with Fetcher(index, store) as fetcher:
                found = _resolved(wanted, fetcher)
            store.put_lock(its, found)
        _known[its] = found
        return found


def _resolved(wanted: tuple[str, ...], fetcher: Fetcher) -> Lock:
    from facets.packages.resolving import resolve

    pins = []
    for one in resolve(wanted, fetcher):
        file = one.release.file
        if file is None:
            raise ValueError(f"{one} has no file")  # `resolve` refuses it
        sha256 = file.sha256 or hashlib.sha256(fetcher.wheel(file)).hexdigest()
        stripped = one.release.stripped
        pins.append(Pin(one.name, str(one.version), file.url, sha256, file.filename, stripped))
    return Lock(tuple(pins), wanted)


def key(wanted: Sequence[str], index: Index) -> str:
    """What a lock is kept by: requirements, index, interpreter, and what is taken from wheels."""
    content = [list(wanted), index.url, "cp314-wasi", sorted(FALLBACKS)]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(2, thread_name_prefix="facets-packages")
