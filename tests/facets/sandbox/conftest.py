"""A real sandbox; the tests are skipped where bubblewrap says that there can be none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from facets.errors import SandboxUnavailable
from facets.sandbox import Box, Sandbox, SandboxLimits

LIMITS = SandboxLimits(wall=30, cpu=20, memory=256 << 20, disk=16 << 20, file=8 << 20)


@pytest.fixture(scope="session")
def available() -> None:
    async def probe() -> None:
        async with Sandbox().open() as box:
            await box.exec(["true"])

    try:
        asyncio.run(probe())
    except SandboxUnavailable as error:
        pytest.skip(str(error))


@pytest.fixture
def sandbox(available: None) -> Sandbox:
    return Sandbox(limits=LIMITS)


@pytest.fixture
async def box(sandbox: Sandbox) -> AsyncIterator[Box]:
    async with sandbox.open() as box:
        yield box


@pytest.fixture
def limited(available: None) -> Callable[..., Sandbox]:
    def make(**changes: float) -> Sandbox:
        return Sandbox(limits=SandboxLimits(**changes))  # type: ignore[arg-type]

    return make
