"""A registry on loopback, an empty cache, and nothing known from other tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.packages.conftest import _forgetful as _forgetful
from tests.packages.conftest import _made
from tests.packages.npm.kit import Registry


@pytest.fixture
def registry() -> Iterator[Registry]:
    made = Registry()
    yield made
    made.close()


@pytest.fixture
def machine(registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that has nothing cached and whose npm uses the registry."""
    monkeypatch.setattr("facets.packages.store.cache_folder", lambda name: _made(tmp_path / name))
    monkeypatch.setenv("npm_config_registry", registry.root)
