"""Clients that write to and read from ledgers while a test breaks things."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from actors.ray.errors import HostLost
from actors.ray.runtime import RayRuntime
from facets.testing import History, Ledger

CLIENTS, LEDGERS = 30, 20


class Load:
    """Clients at work, each with a random choice of ledgers."""

    def __init__(
        self, runtime: RayRuntime, history: History, prefix: str, who: str = "test", seed: int = 0
    ) -> None:
        self.history = history
        self._who = who
        self.ledgers = {
            f"{prefix} {i}": self._stub(runtime, f"{prefix} {i}") for i in range(LEDGERS)
        }
        self._seed = seed
        self._stopped = False
        self._tasks: list[asyncio.Task[None]] = []

    @staticmethod
    def _stub(runtime: RayRuntime, name: str) -> Any:
        return runtime.get(Ledger, name)

    def start(self, clients: int = CLIENTS) -> None:
        self._tasks = [asyncio.create_task(self._client(i)) for i in range(clients)]

    async def _client(self, number: int) -> None:
        choice = random.Random(self._seed * 1000 + number)
        client = self.history.client(f"{self._who} {number}")
        while not self._stopped:
            name = choice.choice(list(self.ledgers))
            work = client.read if choice.random() < 0.3 else client.append
            if choice.random() < 0.2:  # two at once, in this order
                calls = [client.append(name, self.ledgers[name]) for _ in range(2)]
            else:
                calls = [work(name, self.ledgers[name])]
            if any(one.result != "ok" for one in await asyncio.gather(*calls)):
                await asyncio.sleep(0.05)

    async def answered(self) -> None:
        """Wait until every ledger has taken a write that began after now."""
        at = len(self.history)
        try:
            async with asyncio.timeout(60):
                while silent := self._silent(at):
                    for task in self._tasks:
                        assert not task.done() or task.result()
                    await asyncio.sleep(0.02)
        except TimeoutError:
            seen = Counter(one.error for one in self.history.operations[at:])
            raise AssertionError(
                f"{sorted(silent)} take no writes: {seen.most_common(5)}"
            ) from None

    def _silent(self, since: int) -> set[str]:
        later = self.history.operations[since:]
        return set(self.ledgers) - {one.ledger for one in later if one.known and one.token}

    async def stop(self) -> None:
        """Let every client end its call."""
        self._stopped = True
        await asyncio.gather(*self._tasks)

    async def check(self) -> None:
        """Compare the history with what the ledgers hold."""
        names = list(self.ledgers)
        held = await asyncio.gather(*[_entries(self.ledgers[name]) for name in names])
        self.history.check(dict(zip(names, held, strict=True)))


async def _entries(stub: Any) -> list[tuple[int, str, str]]:
    while True:
        try:
            found: list[tuple[int, str, str]] = await stub.entries()
            return found
        except HostLost:
            await asyncio.sleep(0.05)


@asynccontextmanager
async def under_load(runtime: RayRuntime, prefix: str, *, seed: int = 0) -> AsyncIterator[Load]:
    """Clients at work while the block runs; what they saw is checked at its end."""
    load = Load(runtime, History(), prefix, seed=seed)
    load.start()
    try:
        await load.answered()
        yield load
        await load.answered()
    finally:
        await load.stop()
    await load.check()
