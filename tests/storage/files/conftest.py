"""A store with one actor's files, and the check that every test ends with."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from storage.database import Database
from storage.files import Files
from storage.files.resolver import register_resolver
from storage.limits import FileLimits
from storage.store import Store
from tests.storage.files.fake import Objects, check


class Clock:
    """Goes on by one second at each look."""

    def __init__(self) -> None:
        self.now = 1_000_000_000_000_000_000

    def __call__(self) -> int:
        self.now += 1_000_000_000
        return self.now


@pytest.fixture(scope="package")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """One for all: opening it syncs a dozen times. Each test has an actor of its own."""
    store = Store.open(tmp_path_factory.mktemp("files") / "state")
    yield store
    store.close()


@pytest.fixture
def database(store: Store, request: pytest.FixtureRequest) -> Iterator[Database]:
    database = store.root("Kind", request.node.nodeid)
    yield database
    database.rollback()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def fs(database: Database, clock: Clock) -> Iterator[Files]:
    """Everything in the database."""
    files = Files(database, clock=clock)
    yield files
    if files.stat("/").mtime_ns:
        check(database)


@pytest.fixture
def objects() -> Objects:
    return Objects()


@pytest.fixture
def spilling(database: Database, objects: Objects) -> Iterator[Files]:
    """At most 100 KB of a file in the database."""
    files = Files(database, objects, FileLimits(inline=100_000))
    yield files
    if files.stat("/").mtime_ns:
        check(database, objects)


@pytest.fixture
def resolved(store: Store) -> Iterator[dict[tuple[str, str], Files]]:
    """Files of actors by address, as a runtime finds them."""
    fsspec = pytest.importorskip("fsspec")
    from storage.files.spec import FacetsFileSystem

    known: dict[tuple[str, str], Files] = {}

    def resolve(kind: str, name: str) -> Files:
        if (kind, name) not in known:
            known[kind, name] = Files(store.root(kind, name))
        return known[kind, name]

    register_resolver(resolve)
    fsspec.register_implementation("facets", FacetsFileSystem, clobber=True)
    yield known
    register_resolver(None)
    for kind, name in known:
        store.root(kind, name).rollback()


def undo(database: Database, files: Files) -> None:
    """Roll the step back, as the runtime does."""
    database.rollback()
    files.forget()
