"""The science interpreter, where its package is installed: the first run compiles for minutes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from textwrap import dedent
from typing import Any

import pytest

from facets.isolates import Code, Limits
from facets.isolates.science import image
from facets.isolates.session import Session
from tests.isolates.fake import Owner

Open = Callable[..., Awaitable[Session]]


@pytest.fixture
def owner() -> Owner:
    return Owner()


@pytest.fixture
async def start(science: image.ScienceImage, owner: Owner) -> AsyncIterator[Open]:
    """`await start(source, target="Tool", ...)` opens a session and applies its migrations."""
    opened: list[Session] = []

    async def start(source: str, target: str = "Tool", **options: Any) -> Session:
        limits = Limits(**{"memory": 256 << 20, "wall": 90.0, **options.pop("limits", {})})
        options.setdefault("actor", True)
        code = Code.of(dedent(source), image="science")
        session = await Session.open(code, target=target, limits=limits, services=owner, **options)
        opened.append(session)
        for migration in session.migrations:
            owner.db.execute(migration)
        return session

    yield start
    for session in opened:
        session.close()
