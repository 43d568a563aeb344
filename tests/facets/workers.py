"""Actors that use what they are told to, for tests of quotas."""

from __future__ import annotations

import asyncio
from typing import Any

from facets import Actor, LocalRuntime, Quota, Start
from facets.errors import (
    QuotaExceeded,
)


class Worker(Actor):
    """Uses what it is told to, itself or far below."""

    async def below(self, depth: int, method: str, *args: Any) -> Any:
        if depth == 0:
            return await getattr(self, method)(*args)
        return await self.facets.get("below", Worker).below(depth - 1, method, *args)

    async def split(self, name: str, method: str, *args: Any) -> Any:
        return await getattr(self.facets.get(name, Worker), method)(*args)

    async def keep(self, size: int) -> None:
        self.kv["data"] = b"x" * size

    async def append(self, size: int) -> None:
        self.kv[str(len(self.kv))] = b"x" * size

    async def size(self) -> int:
        return len(self.kv)

    async def drop(self, name: str) -> None:
        self.facets.delete(name)

    async def spend(self, meter: str, amount: float) -> float:
        self.meters.spend(meter, amount)
        return self.meters.left(meter)

    async def spend_and_fail(self, meter: str, amount: float) -> None:
        self.meters.spend(meter, amount)
        raise KeyError("after it was spent")

    async def spend_and_take_back(self, meter: str, kept: float, undone: float) -> float:
        self.meters.spend(meter, kept)
        try:
            with self.transaction():
                self.meters.spend(meter, undone)
                raise KeyError
        except KeyError:
            return self.meters.left(meter)

    async def reserve(self, meter: str, amount: float, used: float | None) -> float:
        with self.meters.reserve(meter, amount) as held:
            await asyncio.sleep(0)
            if used is not None:
                held.settle(used)
        return self.meters.left(meter)

    async def left(self, meter: str) -> float:
        return self.meters.left(meter)

    async def hang(self) -> None:
        await asyncio.Event().wait()

    async def echo(self, value: Any) -> Any:
        return value

    async def numbers(self, n: int) -> Any:
        for one in range(n):
            yield one


class Lead(Actor):
    """Gives tests its whole surface, step by step."""

    async def do(self, script: str) -> Any:
        return await SCRIPTS[script](self)

    async def on_quota(self, name: str, error: QuotaExceeded) -> None:
        told = self.kv.get("told", [])
        self.kv["told"] = [*told, [name, error.owner, error.quota]]


SCRIPTS: dict[str, Any] = {}


async def run(runtime: LocalRuntime, function: Any, name: str = "a") -> Any:
    SCRIPTS[function.__name__] = function
    return await runtime.get(Lead, name).do(function.__name__)


def worker(lead: Lead, name: str = "worker", **quota: Any) -> Worker:
    return lead.facets.get(name, Start(Worker, quota=Quota(**quota)))


async def soon() -> None:
    for _ in range(10):
        await asyncio.sleep(0)
