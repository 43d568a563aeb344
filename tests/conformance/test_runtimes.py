"""What every runtime must do, done by ours."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from actors import LocalRuntime
from facets.testing import MemoryRuntime, VirtualClock
from facets.testing.conformance import RuntimeConformance


class TestLocalRuntime(RuntimeConformance):
    @pytest.fixture
    async def runtime(self, state: Path) -> AsyncIterator[LocalRuntime]:
        async with LocalRuntime(state, clock=VirtualClock()) as runtime:
            yield runtime


class TestMemoryRuntime(RuntimeConformance):
    @pytest.fixture
    async def runtime(self) -> AsyncIterator[MemoryRuntime]:
        async with MemoryRuntime() as runtime:
            yield runtime
