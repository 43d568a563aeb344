"""Actors that break when they are told to, for tests of supervision."""

from __future__ import annotations

import asyncio
from typing import Any

from facets import Actor, Limits, LocalRuntime, Start

SOURCE = """
import asyncio
from facets import Actor

class Tool(Actor):
    async def spin(self):
        while True:
            pass
    async def hang(self):
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                pass
    async def ask(self):
        for n in range(1000):
            self.kv[str(n)] = n
    async def shout(self):
        return "x" * 100_000
    async def chatter(self):
        print("x" * 100_000)
    async def stop(self):
        import os
        os.abort()
    async def eat(self):
        held = []
        while True:
            held.append(bytearray(1 << 20))
    async def count(self):
        self.kv["n"] = self.kv.get("n", 0) + 1
        return self.kv["n"]
"""
LIMITS = Limits(cpu=0.2, wall=0.3, calls=100, output=50_000, logs=50_000)


class Failing(ConnectionError):
    pass


class Fragile(Actor):
    """Breaks when told to, and starts as often as the test says."""

    starts = 0
    failing = 0
    """How many starts are still to fail."""

    async def on_start(self) -> None:
        cls = type(self)
        cls.starts += 1
        if cls.failing:
            cls.failing -= 1
            raise Failing(f"start {cls.starts}")

    async def count(self) -> int:
        self.kv["n"] = self.kv.get("n", 0) + 1
        return self.kv["n"]

    async def crash(self) -> None:
        error = Failing("crash")
        self._active().node.broke(error)
        raise error

    async def hang(self) -> None:
        await asyncio.Event().wait()

    async def parent_says(self) -> Any:
        return await self.parent.hello()

    async def child_counts(self, **start: Any) -> int:
        return await self.facets.get("child", Start(Fragile, **start)).count()

    async def child_alone(self) -> Any:
        return self.facets.get("child", Fragile)


class Ticking(Fragile):
    async def begin(self) -> None:
        self.timers.every(10, self.tick)

    async def tick(self) -> None:
        self.kv["ticks"] = self.kv.get("ticks", 0) + 1

    async def ticks(self) -> int:
        return self.kv.get("ticks", 0)


class Lead(Actor):
    async def do(self, script: str) -> Any:
        return await SCRIPTS[script](self)

    async def hello(self) -> str:
        return self.name

    async def on_facet_broken(self, name: str, error: BaseException) -> None:
        self.kv["broken"] = [*self.kv.get("broken", []), [name, type(error).__name__]]


SCRIPTS: dict[str, Any] = {}


async def run(runtime: LocalRuntime, function: Any, name: str = "a") -> Any:
    SCRIPTS[function.__name__] = function
    return await runtime.get(Lead, name).do(function.__name__)
