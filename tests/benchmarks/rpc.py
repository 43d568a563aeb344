"""What a call to a trusted facet costs."""

from __future__ import annotations

from collections.abc import AsyncIterator

from tests.benchmarks.actors import Leaf, Trunk, inside, numbers, opened
from tests.benchmarks.harness import Subject, benchmark

CALLS = 2000


class Plain:
    """What a facet is compared with: an object with an async method."""

    async def echo(self, n: int) -> int:
        return n


@inside
async def echo(trunk: Trunk, n: int) -> None:
    leaf = trunk.facets.get("leaf", Leaf)
    for i in range(n):
        await leaf.echo(i)


@inside
async def bare(_trunk: Trunk, n: int) -> None:
    plain = Plain()
    for i in range(n):
        await plain.echo(i)


@inside
async def new_facets(trunk: Trunk, n: int) -> None:
    for _ in range(n):
        await trunk.facets.get(f"new {next(numbers)}", Leaf).echo(1)


@benchmark("facet RPC, small argument")
async def facet_rpc() -> AsyncIterator[Subject]:
    async with opened() as (_, trunk):
        yield Subject(
            lambda: trunk.run("echo", CALLS),
            CALLS,
            lambda: trunk.run("bare", CALLS),
            CALLS,
            "bare await",
        )


@benchmark("new facet, no write")
async def new_facet() -> AsyncIterator[Subject]:
    async with opened() as (_, trunk):
        yield Subject(lambda: trunk.run("new_facets", 100), 100)
