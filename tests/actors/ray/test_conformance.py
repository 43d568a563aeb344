"""What every runtime must do, done on a cluster."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from actors.ray.runtime import RayRuntime
from facets.testing.conformance import RuntimeConformance
from facets.testing.conformance.kit import Cell, Player
from facets.testing.conformance.calls import Listener, Teller


@pytest.fixture(scope="module")
def root(ray: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("conformance") / "state"


class TestRayRuntime(RuntimeConformance):
    @pytest.fixture
    async def runtime(self, root: Path) -> AsyncIterator[RayRuntime]:
        async with RayRuntime(root, hosts=2) as runtime:
            yield runtime
            for cls in (Cell, Player, Listener, Teller):
                for name in runtime.list(cls):
                    await runtime.delete(cls, name)
