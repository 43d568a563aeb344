"""One store for all tests of views; each has an actor of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from storage.database import Database
from storage.store import Store


@pytest.fixture(scope="package")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    store = Store.open(tmp_path_factory.mktemp("views") / "state")
    yield store
    store.close()


@pytest.fixture
def database(store: Store, request: pytest.FixtureRequest) -> Iterator[Database]:
    database = store.root("Kind", request.node.nodeid)
    yield database
    database.rollback()
