"""Every guest language, by the same tool written in each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from facets.isolates import Code, Limits, image
from facets.isolates.session import Session
from tests.isolates.fake import Owner

TOOLS = Path(__file__).parent / "tools"
ENDINGS = {"python": ".py", "javascript": ".js", "typescript": ".ts"}


@dataclass
class Guest:
    """One language, the tool in it, and what was opened."""

    language: str
    owner: Owner
    opened: list[Session]
    image: str = ""
    """The image it runs in; "" is the usual one of its language."""

    def source(self, name: str) -> str:
        """A tool of the suite, in this language."""
        return (TOOLS / f"{name}{ENDINGS[self.language]}").read_text()

    def line(self, text: str) -> str:
        """Where the tool says this, as its tracebacks say it."""
        lines = self.source("tool").split("\n")
        number = next(at for at, line in enumerate(lines, 1) if text in line)
        return f'"main.py", line {number}' if self.language == "python" else (
            f"main{ENDINGS[self.language]}:{number}"
        )  # fmt: skip

    async def open(self, source: Any = None, target: str = "Tool", **options: Any) -> Session:
        """A session of this source, or of the tool, with its migrations applied."""
        code = Code.of(source or self.source("tool"), language=self.language)
        code = replace(code, image=self.image)
        limits = Limits(**self.room | self.slower(options.pop("limits", {})))
        options = {"actor": True, "services": self.owner} | options
        session = await Session.open(code, target=target, limits=limits, **options)
        self.opened.append(session)
        for migration in session.migrations:
            self.owner.db.execute(migration.replace("create table", "create table if not exists"))
        return session

    @property
    def room(self) -> dict[str, Any]:
        """What it needs more than others."""
        return {"memory": 128 << 20} if self.image else {}

    def slower(self, limits: dict[str, Any]) -> dict[str, Any]:
        """The limits, with time to load in: a busy machine needs ten times the usual."""
        least = 2.5 if self.image else 0.05
        return {k: max(v, least) if k in ("cpu", "wall") else v for k, v in limits.items()}

    def pick(self, **by_language: Any) -> Any:
        """What is said for this language; TypeScript takes JavaScript's if it has none."""
        return by_language.get(self.language, by_language.get("javascript"))


@pytest.fixture(params=[*ENDINGS, "science"])
async def language(
    request: pytest.FixtureRequest, guest: image.Image, owner: Owner
) -> AsyncIterator[Guest]:
    """The guest of one language; sessions are closed at the end."""
    if request.param == "science":
        request.getfixturevalue("science")
        made = Guest("python", owner, [], image="science")
    else:
        made = Guest(request.param, owner, [])
    yield made
    for session in made.opened:
        session.close()


async def until(true: Callable[[], object]) -> None:
    """Give the loop turns until something is so."""
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0)
