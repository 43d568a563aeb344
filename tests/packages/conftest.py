"""An index on loopback, an empty cache, and nothing known from other tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from facets.packages import bundle, locking
from facets.packages.npm import bundle as modules
from tests.packages.kit import Server


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


@pytest.fixture
def machine(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[pytest.MonkeyPatch]:
    """A machine that has nothing cached and whose pip uses the server."""
    monkeypatch.setattr("facets.packages.store.cache_folder", lambda name: _made(tmp_path / name))
    monkeypatch.setenv("PIP_INDEX_URL", server.url)
    yield monkeypatch
    forget()


def forget() -> None:
    """What a process knows that has just begun."""
    locking._known.clear()
    bundle._kept._bundles.clear()
    modules._kept._bundles.clear()


def _made(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    return path


@pytest.fixture(autouse=True)
def _forgetful() -> Iterator[None]:
    forget()
    yield
    forget()
