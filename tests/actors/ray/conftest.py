"""One Ray for each module; every test has hosts and a directory of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from actors.ray.runtime import RayRuntime


@pytest.fixture(scope="module")
def ray() -> Iterator[Any]:
    """A local Ray, ended after the last test."""
    import ray

    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False, namespace="facets")
    yield ray
    ray.shutdown()


@pytest.fixture
async def runtime(ray: Any, tmp_path: Path) -> AsyncIterator[RayRuntime]:
    """Two hosts."""
    runtime = RayRuntime(tmp_path / "state", hosts=2)
    async with runtime:
        yield runtime
        await runtime.down()
