"""Random lives of sockets against a model: what an actor knows is what there is."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from actors.sockets.events import Closed, Opened, Said
from actors.sockets.servers import SERVERS
from facets.testing import MemoryRuntime
from tests.facets.serve.rooms import Room

KEYS = st.sampled_from(["a", "b", "c"])
STEPS = st.one_of(
    st.tuples(st.just("open"), KEYS),
    st.tuples(st.just("say"), KEYS),
    st.tuples(st.just("fail"), KEYS),
    st.tuples(st.just("close"), KEYS),
    st.tuples(st.just("lose"), KEYS),
    st.tuples(st.just("crash"), st.just("")),
    st.tuples(st.just("sleep"), st.just("")),
)


class Book:
    """A server that holds what the model says."""

    def __init__(self) -> None:
        self.open: set[str] = set()

    def opened(self, key: str) -> None:
        """It is in the book already."""

    def holds(self, key: str) -> bool:
        return key in self.open

    def send(self, key: str, data: Any) -> bool:
        return key in self.open

    def close(self, key: str, code: int, reason: str) -> bool:
        return key in self.open


class Life:
    def __init__(self, runtime: MemoryRuntime) -> None:
        self.runtime = runtime
        self.server = SERVERS["book"] = Book()
        self.said: dict[str, int] = {}
        """How many messages of each open socket were heard."""
        self.numbers = 0

    async def tell(self, event: Any) -> bool:
        try:
            await self.runtime.tell_socket(Room, "hall", (), event)
        except (ValueError, ConnectionError):
            return False
        return True

    async def do(self, what: str, name: str) -> None:
        key = next((one for one in self.said if one.startswith(name)), "") if name else ""
        if what == "open" and not key:
            self.numbers += 1
            key = f"{name}{self.numbers}"  # an id is never used again
            self.server.open.add(key)
            assert await self.tell(Opened(key, "book", None, {"name": name, "tags": name}))
            self.said[key] = 0
        elif what in ("say", "fail"):
            heard = await self.tell(Said(key, what))
            assert heard == (bool(key) and what == "say")
            if heard:
                self.said[key] += 1
        elif what == "close" and key:
            self.server.open.discard(key)
            del self.said[key]
            assert await self.tell(Closed(key, 1000, ""))
        elif what == "lose" and key:  # and nobody tells the actor
            self.server.open.discard(key)
            del self.said[key]
        elif what == "crash":
            await self.runtime.crash()
        elif what == "sleep":
            await self.runtime.clock.run(200)

    async def check(self) -> None:
        here = await self.runtime.get(Room, "hall").here()
        known = {(kept["name"], kept["said"], *tags) for kept, tags, _ in here}
        wanted = {(key[0], said, *sorted({key[0], "everybody"})) for key, said in self.said.items()}
        assert known == wanted


@settings(max_examples=20, deadline=None)
@given(st.lists(STEPS, max_size=15))
def test_an_actor_knows_the_sockets_that_are_open_and_what_it_keeps_with_them(steps: Any) -> None:
    async def live() -> None:
        async with MemoryRuntime() as runtime:
            life = Life(runtime)
            for what, name in steps:
                await life.do(what, name)
                await life.check()
            await runtime.crash()
            while await runtime.get(Room, "hall").rows() != len(life.said):
                await asyncio.sleep(0)
            await life.check()

    asyncio.run(live())
