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
from typing import TYPE_CHECKING, TypeVar

from facets.packages import bundle
from facets.packages.bundle import Bundle
from facets.packages.errors import PackagesUnavailable
from facets.packages.fallbacks import FALLBACKS
from facets.packages.fetching import Fetcher
from facets.packages.index import Index
from facets.packages.pins import Lock, Pin
from facets.packages.store import Store

if TYPE_CHECKING:
    from facets.packages.npm.bundle import NpmBundle

    AnyBundle = Bundle | NpmBundle

T = TypeVar("T")
_FOR_NPM = ("nodesemver", "resolvelib", "httpx")
NEEDED = {
    "python": ("packaging", "resolvelib", "httpx"),
    "javascript": _FOR_NPM,
    "typescript": _FOR_NPM,
}
"""Languages that have packages, and what resolves them."""
_known: dict[str, Lock] = {}
"""Locks that this process has seen, by their key."""
_busy: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)


async def lock(
    requirements: Iterable[str],
    *,
    language: str = "python",
    index: Index | None = None,
    refresh: bool = False,
) -> Lock:
    """What these requirements are, to the byte: names, versions and hashes of archives.

    The same requirements give the same lock for as long as this machine's cache lasts, without
    the network; `refresh` looks for newer versions and puts them in its place. Nothing of a
    package runs. Of Python, wheels of pure Python for the interpreter inside are taken, and those
    of `packages.fallbacks` without their compiled files; of npm, ES modules (see `packages.npm`).

    requirements: as in a requirements file, "humanize", "jinja2>=3", "name[extra]==1.2"; of npm
    as it takes them, "nanoid", "dayjs@1", "@scope/name@^1.2".
    language: "python", or "javascript" or "typescript" for packages of npm.
    index: where to look; by default where pip, or npm, does.

    Raises BadRequirement, NoSuchPackage, RequirementsConflict, NotPure, BadWheel, BadTarball,
    HashMismatch, PackagesTooLarge, IndexFailed, PackagesUnavailable.
    """
    wanted = normal(requirements, language)
    return await on_thread(lambda: _lock(wanted, language, index, refresh))


async def load(lock: Lock) -> AnyBundle:
    """The files of a lock; the archives that are not on this machine yet are fetched."""

    def read() -> AnyBundle:
        with _busy[lock.hash]:
            if lock.language == "javascript":
                from facets.packages.npm import bundle as modules
                from facets.packages.npm.fetching import Fetcher as NpmFetcher

                with NpmFetcher(None, Store()) as registry:
                    return modules.load(lock, registry)
            with Fetcher(None, Store()) as fetcher:
                return bundle.load(lock, fetcher)

    return await on_thread(read)


def normal(requirements: Iterable[str], language: str = "python") -> tuple[str, ...]:
    """The requirements in one spelling and order."""
    if isinstance(requirements, str):
        raise TypeError("requirements is a text; write ['name'], a list of texts")
    wanted = tuple(requirements)
    if language not in NEEDED:
        raise ValueError(f"there are no packages of {language!r}; there are {', '.join(NEEDED)}")
    if not wanted:
        return ()
    check_available(language)
    if language == "python":
        from facets.packages.requirements import normal as of_python

        return of_python(wanted)
    from facets.packages.npm.requirements import normal as of_npm

    return of_npm(wanted)


def check_available(language: str = "python") -> None:
    """Raise PackagesUnavailable if what reads requirements is not installed."""
    missing = [one for one in NEEDED[language] if find_spec(one) is None]
    if missing:
        raise PackagesUnavailable(f"packages need {', '.join(missing)}")


def known(key: str) -> Lock | None:
    """What these requirements were resolved to, if this process knows."""
    return _known.get(key)


async def on_thread(work: Callable[[], T]) -> T:
    """The result of work that blocks."""
    return await asyncio.wrap_future(_threads().submit(work))


def _lock(wanted: tuple[str, ...], language: str, index: Index | None, refresh: bool) -> Lock:
    if not wanted:
        return Lock()
    index = index or default(language)
    its = key(wanted, index, language)
    with _busy[its]:
        store = Store()
        found = None if refresh else _known.get(its) or store.lock(its)
        if found is None:
            found = _searched(wanted, language, index, store)
            store.put_lock(its, found)
        _known[its] = found
        return found


def _searched(wanted: tuple[str, ...], language: str, index: Index, store: Store) -> Lock:
    if language == "python":
        with Fetcher(index, store) as fetcher:
            return _resolved(wanted, fetcher)
    from facets.packages.npm.fetching import Fetcher as NpmFetcher
    from facets.packages.npm.locking import resolved

    with NpmFetcher(index, store) as registry:
        return resolved(wanted, registry)


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


def key(wanted: Sequence[str], index: Index, language: str = "python") -> str:
    """What a lock is kept by: requirements, index, interpreter, and what is taken from archives."""
    target: list[object] = ["cp314-wasi", sorted(FALLBACKS)] if language == "python" else ["npm"]
    content = [list(wanted), index.url, *target]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def default(language: str) -> Index:
    """Where packages of a language are looked for if nobody says where."""
    if language == "python":
        return Index()
    from facets.packages.npm.fetching import default as registry

    return registry()


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(2, thread_name_prefix="facets-packages")
