"""Real isolates for tests: the guest is built and compiled once, sessions are closed at the end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from facets.isolates import Code, Limits, image
from facets.isolates.errors import GuestMissing
from facets.isolates.guest import build
from facets.isolates.science import image as science_image
from facets.isolates.session import Session
from tests.isolates.fake import Owner
from tests.isolates.intact import Host

Open = Callable[..., Awaitable[Session]]


@pytest.fixture(scope="session")
def guest() -> image.Image:
    """The guest as it is in the working tree."""
    # `python -m pip install` built it in the tree; a changed source needs the builder again.
    build.build()
    return image.load()


@pytest.fixture(scope="session")
def science() -> science_image.ScienceImage:
    try:
        return science_image.load()
    except GuestMissing as missing:
        pytest.skip(str(missing))


@pytest.fixture
def owner() -> Owner:
    return Owner()


@pytest.fixture
def opened() -> list[Session]:
    """The sessions of the test, closed at its end."""
    return []


@pytest.fixture
async def start(guest: image.Image, owner: Owner, opened: list[Session]) -> AsyncIterator[Open]:
    """`await start(source, target="Tool", ...)` opens a session and applies its migrations."""

    async def start(source: str | dict[str, str], target: str = "Tool", **options: Any) -> Session:
        code = Code.of(dedent(source) if isinstance(source, str) else source)
        limits = Limits(**options.pop("limits", {}))
        options.setdefault("actor", True)
        options.setdefault("services", owner)
        session = await Session.open(code, target=target, limits=limits, **options)
        opened.append(session)
        for migration in session.migrations:
            owner.db.execute(migration)
        return session

    yield start
    for session in opened:
        session.close()


@pytest.fixture
async def healthy(start: Open, opened: list[Session]) -> AsyncIterator[None]:
    """After the test, the host is intact, nothing is left, and another session works."""
    host = Host()
    yield
    attacked = list(opened)
    session = await start("async def add(a, b): return a + b", "add", actor=False)
    assert await session.call("", (1, 2)) == 3
    assert session.pending == 0
    for one in attacked:
        one.close()
    await host.check(attacked)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of native images."""
    monkeypatch.setenv("FACETS_CACHE_DIR", str(tmp_path))
    return tmp_path
