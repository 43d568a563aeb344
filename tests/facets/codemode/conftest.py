"""An actor with code mode, whose tools note what they did."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from facets import Actor, Limits
from facets.codemode import Allow, Ask, CodeMode, Deny, FunctionConnector
from facets.testing import MemoryRuntime

RULES = (
    Deny("bank.close"),
    Allow("bank.pay", when=lambda given: given["amount"] < 100),
    Ask("bank.pay"),
    Allow(),
)


class World:
    """What happened outside, whatever the process remembers."""

    def __init__(self) -> None:
        self.did: list[Any] = []
        self.hold: asyncio.Event | None = None


WORLD = World()


class Lead(Actor):
    migrations = ["create table notes(text text not null)"]
    rules: Any = RULES

    async def on_start(self) -> None:
        self.code = CodeMode(
            self,
            [
                FunctionConnector("numbers", [double, slowly, fail]),
                FunctionConnector("bank", [pay, close], reverts={"pay": refund}),
                FunctionConnector("notes", [self.note, self.notes], local=True),
            ],
            rules=self.rules,
            limits=Limits(wall=120.0, cpu=0.5),
        )

    async def do(self, story: str) -> Any:
        return await STORIES[story](self.code)

    async def note(self, text: str) -> int:
        """Write a note into the actor's own database."""
        self.sql("insert into notes values (?)", text)
        if text.startswith("waits"):
            await asyncio.sleep(0)
        if text.endswith("bad"):
            raise ValueError(text)
        return int(self.sql("select count(*) from notes").value())

    async def notes(self) -> list[str]:
        """All notes."""
        return [row.text for row in self.sql("select text from notes")]


async def double(n: int) -> int:
    """Twice a number."""
    WORLD.did.append(("double", n))
    return 2 * n


async def slowly(n: int) -> int:
    """A number, later: the higher it is the sooner."""
    for _ in range(5 * (10 - n)):
        await asyncio.sleep(0)
    if WORLD.hold is not None:
        WORLD.did.append(("held", n))
        await WORLD.hold.wait()
    WORLD.did.append(("slowly", n))
    return n


def fail(text: str) -> None:
    """Always fails."""
    WORLD.did.append(("fail", text))
    raise LookupError(text)


async def pay(who: str, amount: int) -> str:
    """Pay somebody an amount."""
    WORLD.did.append(("pay", who, amount))
    return f"paid {who} {amount}"


async def refund(arguments: dict[str, Any], result: str) -> None:
    if arguments["who"] == "broken":
        raise ValueError("the bank says no")
    WORLD.did.append(("refund", arguments["who"], result))


async def close() -> None:
    """Close the account for ever."""
    WORLD.did.append(("close",))


Story = Callable[[CodeMode], Awaitable[Any]]
STORIES: dict[str, Story] = {}


async def run(runtime: MemoryRuntime, story: Story, name: str = "a") -> Any:
    STORIES[story.__name__] = story
    return await runtime.get(Lead, name).do(story.__name__)


@pytest.fixture
async def runtime() -> AsyncIterator[MemoryRuntime]:
    async with MemoryRuntime() as runtime:
        yield runtime


@pytest.fixture
def world() -> World:
    WORLD.__init__()  # type: ignore[misc]
    return WORLD
