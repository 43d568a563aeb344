"""Fixtures that every test may use."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from actors import LocalRuntime
from actors.testing import VirtualClock
from facets.isolates.guest import build
from tests.s3 import bucket as bucket
from tests.s3 import s3_environment as s3_environment
from tests.s3 import s3_server as s3_server


def pytest_configure() -> None:
    """What isolates run is made of the guest's sources in the tree, which a merge may have changed:
    an old guest would fail in ways that nobody understands. Nothing happens if it is current."""
    build.build()


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
async def runtime(state: Path, clock: VirtualClock) -> AsyncIterator[LocalRuntime]:
    async with LocalRuntime(state, clock=clock) as runtime:
        yield runtime
