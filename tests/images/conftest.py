"""Images of the tests are built into a cache of their own, which the next run finds again."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from facets.images import names
from facets.isolates.image import Image
from tests.isolates.conftest import guest as guest


@pytest.fixture(scope="session")
def kept(request: pytest.FixtureRequest, guest: Image) -> Path:
    """Where images of this guest are; those of other guests go.

    The guest itself is loaded by then, from the cache that everything else uses.
    """
    assert request.config.cache is not None
    folder = request.config.cache.mkdir("facets-images")
    mine = folder / names.guest_hash()[:16]
    for other in folder.iterdir():
        if other != mine:
            shutil.rmtree(other)
    mine.mkdir(mode=0o700, exist_ok=True)
    return mine


@pytest.fixture
def own_cache(kept: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing of a test is in the user's cache."""
    monkeypatch.setenv("FACETS_CACHE_DIR", str(kept))
    names._found.clear()
    yield
    names._found.clear()
