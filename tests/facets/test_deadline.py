"""Deadlines and cancellation, from an actor through sandboxes in both languages."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

import facets
from actors.testing import VirtualClock
from facets import Actor, LocalRuntime
from facets.errors import DeadlineExceeded, IsolateDead

PYTHON = """
import asyncio
from facets import Actor

class Tool(Actor):
    async def work(self):
        self.kv["before"] = 1
        await asyncio.sleep(0)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.kv["lost"] = 1
            raise

    async def stubborn(self):
        while True:
            try:
                await asyncio.sleep(0)
            except asyncio.CancelledError:
                pass

    async def ask(self, below, method):
        return await getattr(below, method)()

    async def keys(self):
        return sorted(self.kv)
"""
JAVASCRIPT = """
import { Actor, sleep } from "facets";

export class Tool extends Actor {
  async work() {
    this.kv.set("before", 1);
    await sleep(0);
    await new Promise(() => {});
  }
  async stubborn() { for (;;) await null; }
  async ask(below, method) { return await below[method](); }
  async keys() { return [...this.kv.list()].map((pair) => pair[0]); }
}
"""
SOURCES = {"python": PYTHON, "javascript": JAVASCRIPT}


class Below(Actor):
    async def left(self) -> float | None:
        return facets.remaining()

    async def wait(self) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            STOPPED.append(self.name)

    async def write(self) -> None:
        async with self.facets.transaction():
            self.kv["first"] = 1
            DOORS["entered"].set()
            await DOORS["leave"].wait()
            self.kv["second"] = 1

    async def keys(self) -> list[str]:
        return sorted(self.kv)


STOPPED: list[str] = []
DOORS: dict[str, asyncio.Event] = {}


class Lead(Actor):
    def tool(self, language: str) -> Any:
        isolate = self.isolates.get(SOURCES[language], language=language)
        return self.facets.get("tool", isolate.actor("Tool"))

    @property
    def below(self) -> Below:
        return self.facets.get("below", Below)

    async def do(self, language: str, method: str, ask: str = "", seconds: float = 2) -> Any:
        tool = self.tool(language)
        args = (self.below, ask) if ask else ()
        with facets.deadline(seconds):
            return await getattr(tool, method)(*args)

    async def freely(self, language: str, method: str, ask: str = "") -> Any:
        args = (self.below, ask) if ask else ()
        return await getattr(self.tool(language), method)(*args)

    async def below_keys(self) -> list[str]:
        return await self.below.keys()


async def until(true: Callable[[], Any]) -> None:
    async with asyncio.timeout(30):
        while not true():
            await asyncio.sleep(0.001)


@pytest.fixture(params=list(SOURCES))
def language(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def lead(runtime: LocalRuntime, language: str) -> Lead:
    lead = runtime.get(Lead, "a")
    assert await lead.freely(language, "keys") == []
    STOPPED.clear()
    return lead


async def test_a_deadline_cancels_the_code_inside(
    runtime: LocalRuntime, clock: VirtualClock, lead: Lead, language: str
) -> None:
    late = asyncio.create_task(lead.do(language, "work"))
    await until(lambda: runtime.stats().calls == 2)
    clock.advance(2)
    with pytest.raises(DeadlineExceeded) as caught:
        await late

    assert caught.value.chain == "Lead:a.do -> Lead:a/tool.work"
    assert await lead.freely(language, "keys") == ["before"]  # the same sandbox, alive


async def test_code_that_goes_on_regardless_is_killed(
    runtime: LocalRuntime, clock: VirtualClock, lead: Lead, language: str
) -> None:
    late = asyncio.create_task(lead.do(language, "stubborn"))
    await until(lambda: runtime.stats().calls == 2)
    other = asyncio.create_task(lead.freely(language, "ask", "wait"))
    await until(lambda: runtime.stats().calls == 5)
    clock.advance(2)
    with pytest.raises(DeadlineExceeded):
        await late

    with pytest.raises(IsolateDead):
        await other
    await until(lambda: STOPPED == ["below"])
    assert await lead.freely(language, "keys") == []


async def test_it_goes_with_the_call_through_the_code_inside(lead: Lead, language: str) -> None:
    assert await lead.do(language, "ask", "left", 7) == 7
    assert await lead.freely(language, "ask", "left") is None


@pytest.mark.parametrize("why", ["deadline", "cancelled"])
async def test_what_the_code_inside_called_is_cancelled_too(
    runtime: LocalRuntime, clock: VirtualClock, lead: Lead, language: str, why: str
) -> None:
    late = asyncio.create_task(lead.do(language, "ask", "wait"))
    await until(lambda: runtime.stats().calls == 3)
    if why == "deadline":
        clock.advance(2)
    else:
        late.cancel()
    with pytest.raises(DeadlineExceeded if why == "deadline" else asyncio.CancelledError):
        await late

    await until(lambda: STOPPED == ["below"])
    await until(lambda: runtime.stats().calls == 0)


@pytest.mark.parametrize("why", ["deadline", "cancelled"])
async def test_a_transaction_that_the_code_inside_began_ends_first(
    runtime: LocalRuntime, clock: VirtualClock, lead: Lead, language: str, why: str
) -> None:
    DOORS.update(entered=asyncio.Event(), leave=asyncio.Event())
    late = asyncio.create_task(lead.do(language, "ask", "write"))
    await DOORS["entered"].wait()
    if why == "deadline":
        clock.advance(2)
    else:
        late.cancel()
    with pytest.raises(DeadlineExceeded if why == "deadline" else asyncio.CancelledError):
        await late

    DOORS["leave"].set()
    await until(lambda: runtime.stats().calls == 0)
    assert await lead.below_keys() == ["first", "second"]
