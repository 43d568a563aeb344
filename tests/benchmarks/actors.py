"""Actors that benchmarks call, and runtimes to call them on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from facets import Actor, LocalRuntime

TOOL = """
from facets import Actor

class Tool(Actor):
    migrations = ["create table if not exists rows(n integer)"]

    async def nop(self, n=0):
        return n

    async def insert(self, n):
        self.sql("insert into rows values (?)", n)
        return n
"""
numbers = count(1)


class Leaf(Actor):
    """A facet."""

    migrations = ("create table rows(n integer)",)

    async def echo(self, n: int) -> int:
        return n

    async def items(self, n: int) -> AsyncIterator[int]:
        for i in range(n):
            yield i

    async def insert(self, n: int) -> int:
        self.sql("insert into rows values (?)", n)
        return n

    async def count(self) -> int:
        return int(self.sql("select count(*) from rows").value())


class Trunk(Actor):
    """A parent; `run` times the inside of an actor without a caller's share."""

    async def run(self, work: str, n: int, *more: Any) -> Any:
        return await WORK[work](self, n, *more)

    async def echo(self, n: int) -> int:
        return n


WORK: dict[str, Callable[..., Awaitable[Any]]] = {}


def inside(function: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """Register work that runs inside the parent."""
    if function.__name__ in WORK:
        raise ValueError(f"two works are called {function.__name__}")
    WORK[function.__name__] = function
    return function


@asynccontextmanager
async def opened(
    folder: Path | None = None, **options: Any
) -> AsyncIterator[tuple[LocalRuntime, Any]]:
    """A fresh runtime on this machine's disk, or below `folder`, and one parent actor."""
    with TemporaryDirectory(dir=folder or Path.cwd()) as directory:
        async with LocalRuntime(directory, **options) as runtime:
            yield runtime, runtime.get(Trunk, "trunk")


def elapsed_us(started: float) -> float:
    """Microseconds since `time.perf_counter()` said `started`."""
    return (time.perf_counter() - started) * 1e6


__all__ = ["TOOL", "WORK", "Leaf", "Trunk", "asyncio", "elapsed_us", "inside", "numbers", "opened"]
