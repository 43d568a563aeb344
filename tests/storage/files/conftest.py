"""A store with one actor's files, and the check that every test ends with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.database import Database
from storage.files import Files
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


@pytest.fixture
def store(state: Path) -> Iterator[Store]:
    store = Store.open(state)
    yield store
    store.close()


@pytest.fixture
def database(store: Store) -> Database:
    return store.root("Kind", "name")


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


def undo(database: Database, files: Files) -> None:
    """Roll the step back, as the runtime does."""
    database.rollback()
    files.forget()
