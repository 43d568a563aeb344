"""A store in a directory of its own, and one database in it."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage import Database, Store
from tests.storage.scratch import scratch


@pytest.fixture(autouse=True)
def small_heap() -> Iterator[None]:
    """Tests that collect garbage hundreds of times look at their own objects only, and not at
    those of thousands of tests before."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def memory() -> Iterator[Path]:
    with scratch() as directory:
        yield Path(directory)


@pytest.fixture
def store(memory: Path) -> Iterator[Store]:
    store = Store.open(memory / "state")
    yield store
    store.close()


@pytest.fixture
def database(store: Store) -> Database:
    return store.root("Kind", "name")
