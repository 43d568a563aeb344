"""A ring to attack from: one isolate of any language for each attack, and what must hold after."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from facets.isolates import Code, Limits, image
from facets.isolates.errors import IsolateDead
from facets.isolates.session import Session
from tests.isolates.fake import Owner
from tests.isolates.intact import Host

Attack = tuple[str, type[BaseException], str]
"""The body of `run`, its error, and what that says."""
TOOLS = {
    "python": "import asyncio, os, sys, time\nfrom facets import Actor\n\nclass Tool(Actor):\n"
    "    async def ok(self): return 'ok'\n    async def run(self, *args):\n",
    "javascript": "import * as facets from 'facets';\nexport class Tool extends facets.Actor {\n"
    "  async ok() { return 'ok'; }\n  async run(...args) {\n",
}
TOOLS["typescript"] = TOOLS["javascript"]
ENDINGS = {"python": "", "javascript": "\n}\n}", "typescript": "\n}\n}"}
LIMITS = {"cpu": 0.3, "wall": 10.0}


def tool(language: str, body: str) -> str:
    """A tool whose method `run` this is."""
    lines = "".join(f"        {line}\n" for line in body.strip("\n").split("\n"))
    return TOOLS[language] + lines + ENDINGS[language]


@dataclass
class Ring:
    """Where attacks are made. Each says how it ended, in an error or a value."""

    owner: Owner
    opened: list[Session] = field(default_factory=list)
    languages: set[str] = field(default_factory=set)

    async def open(
        self, body: str, language: str = "python", services: Any = None, **limits: Any
    ) -> Session:
        """An isolate whose `run` this is."""
        self.languages.add(language)
        session = await Session.open(
            Code.of(tool(language, body), language=language),
            target="Tool",
            actor=True,
            limits=Limits(**LIMITS | limits),
            services=services or self.owner,
        )
        self.opened.append(session)
        return session

    async def attack(
        self,
        body: str,
        error: type[BaseException],
        says: str = "",
        *,
        language: str = "python",
        args: tuple[Any, ...] = (),
        **limits: Any,
    ) -> BaseException:
        """Run it: it must raise this, and kill its isolate exactly if that is a death."""
        session = await self.open(body, language, **limits)
        with pytest.raises(error, match=says or None) as caught:
            await session.call("run", args)
        found = caught.value
        if isinstance(found, IsolateDead) and not getattr(found, "survived", False):
            assert type(found) is error
            assert not session.alive
            assert [type(death) for death in self.owner.deaths] == [error]
            with pytest.raises(error):
                await session.call("ok")
        else:
            assert self.owner.deaths == []
            assert await session.call("ok") == "ok"
        return found

    async def run(self, body: str, *args: Any, language: str = "python", **limits: Any) -> Any:
        """What it returns; its isolate is well afterwards."""
        session = await self.open(body, language, **limits)
        result = await session.call("run", args)
        assert await session.call("ok") == "ok"
        assert self.owner.deaths == []
        return result


@pytest.fixture
async def ring(guest: image.Image, owner: Owner) -> AsyncIterator[Ring]:
    """A ring; after the attack the host is intact, nothing is left, the next isolate is clean."""
    host, ring = Host(), Ring(owner)
    yield ring
    next_one = Ring(Owner())
    for language in ring.languages or {"python"}:
        assert await next_one.run(CLEAN[language], language=language) == "clean"
    for session in [*ring.opened, *next_one.opened]:
        session.close()
    await host.check(ring.opened)


CLEAN = {
    "python": "import builtins, gc, json\n"
    "assert len([1]) == 1 and not hasattr(builtins, 'mark') and 'mark' not in os.environ\n"
    "assert list(self.kv) == [] and json.loads('[1]') == [1]\nreturn 'clean'",
    "javascript": "if (globalThis.mark || ({}).mark || [].mark || [1].map((x) => x)[0] !== 1)"
    " throw new Error('dirty'); return [...this.kv.list()].length ? 'dirty' : 'clean'",
}
CLEAN["typescript"] = CLEAN["javascript"]
