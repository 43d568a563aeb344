"""Our work and the same work of workerd, in turns, on a disk and in memory.

Both sides are asked once from outside to do it `n` times inside, and answer when it is durable.
Where each one is to be durable before the next, ours are asked `n` times from outside: inside
a process of ours one sync would serve them all.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from facets.isolates import Code, image
from tests.benchmarks import isolates, rpc, storage  # noqa: F401 - they register their work
from tests.benchmarks.actors import Leaf, Trunk, elapsed_us, inside, numbers, opened
from tests.benchmarks.harness import PEERS, Figure, Lap, Skip, Subject, benchmark
from tests.benchmarks.memory import private_mb
from tests.benchmarks.peers.workerd import Workerd, running
from tests.benchmarks.tools import JAVASCRIPT, LEDGER

ROUNDS = 9
LIVE = 40
STORES = {"disk": None, "tmpfs": Path("/dev/shm")}
ENTRY = "async def main(n):\n    return n + 1\n"
Ours = Callable[[Any, str, int], Awaitable[object]]


@asynccontextmanager
async def both(store: str) -> AsyncIterator[tuple[Any, Workerd]]:
    """A parent of ours and a process of theirs over the same kind of store."""
    folder = STORES[store]
    if folder is not None and not folder.is_dir():
        raise Skip(f"there is no {folder}")
    async with running(folder) as peer, opened(folder) as (_, trunk):
        yield trunk, peer


async def together(trunk: Any, work: str, n: int) -> None:
    """Asked once for all of it."""
    await trunk.run(work, n)


async def one_by_one(trunk: Any, work: str, n: int) -> None:
    """Asked for each, so that each is durable before the next."""
    for _ in range(n):
        await trunk.run(work, 1)


async def from_nothing(trunk: Any, work: str, n: int) -> Lap:
    """One at a time, and no instance was made ahead."""
    return await _alone(trunk, work, n, pooled=False)


async def from_the_pool(trunk: Any, work: str, n: int) -> Lap:
    """One at a time, with an instance made ahead: what it is for who does so now and then."""
    return await _alone(trunk, work, n, pooled=True)


async def _alone(trunk: Any, work: str, n: int, pooled: bool) -> Lap:
    total = 0.0
    for _ in range(n):
        await isolates.prepare(pooled)
        began = time.perf_counter()
        await trunk.run(work, 1)
        total += elapsed_us(began)
    return Lap(total)


@dataclass(frozen=True)
class Row:
    """One comparison: this work, `n` times on our side and `theirs` times on the other."""

    title: str
    work: str
    n: int
    theirs: int
    ours: Ours = together
    loads: int = 0
    """How often the peer loads code for each."""
    prepare: tuple[tuple[str, int, int], ...] = ()
    """Work of both sides before it, how often, and how much code the peer loads in it."""
    stores: tuple[str, ...] = tuple(STORES)
    peer_work: str = ""
    lacks: Callable[[], str] = str
    """What is missing here for our side, if anything is."""

    async def measure(self, store: str) -> AsyncIterator[Subject]:
        """Prepare both sides, then let them take turns."""
        theirs = self.peer_work or self.work
        if missing := self.lacks():
            raise Skip(missing)
        async with both(store) as (trunk, peer):
            for work, n, loads in self.prepare:
                await trunk.run(work, n)
                await peer.run(work, n, loads)
            if self.work == "ledger_again":
                await cached(trunk)
            reference = partial(peer.run, theirs, self.theirs, self.loads * self.theirs)
            await reference()  # ours runs once before it is measured, too
            ours = partial(self.ours, trunk, self.work, self.n)
            yield Subject(ours, self.n, reference, self.theirs, "workerd", ROUNDS)


async def cached(trunk: Any) -> None:
    """Return when the ledger's code comes from the cache."""
    code = Code.of(LEDGER)
    while image.load().code.get(code) is None:
        await trunk.run("ledger_again", 1)


@inside
async def one_shot(trunk: Trunk, n: int) -> None:
    for i in range(n):
        await trunk.isolates.run(f"{ENTRY}# number {next(numbers)}\n", i)


async def _ledger(trunk: Trunk, source: str) -> None:
    name = f"ledger {next(numbers)}"
    await trunk.facets.get(name, trunk.isolates.load(source).actor("Tool")).nop(1)
    trunk.facets.abort(name)


@inside
async def ledger(trunk: Trunk, n: int) -> None:
    for _ in range(n):
        await _ledger(trunk, f"{LEDGER}# number {next(numbers)}\n")


@inside
async def ledger_again(trunk: Trunk, n: int) -> None:
    for _ in range(n):
        await _ledger(trunk, LEDGER)


@inside
async def reopen_and_count(trunk: Trunk, n: int) -> None:
    for i in range(n):
        trunk.facets.abort(f"old {i}")
        trunk._activation.node.child(f"old {i}").database.sleep()  # type: ignore[union-attr]
        await trunk.facets.get(f"old {i}", Leaf).count()


@inside
async def grow_tree(trunk: Trunk, n: int) -> None:
    await trunk.facets.get("tree", Branch).grow(n)


@inside
async def clone_and_delete(trunk: Trunk, n: int) -> None:
    for _ in range(n):
        await trunk.facets.clone("tree", "copy")
        await trunk.facets.get("copy", Branch).insert(1)
        trunk.facets.delete("copy")


class Branch(Leaf):
    """A facet with facets."""

    async def grow(self, n: int) -> None:
        await self.insert(n)
        for i in range(n):
            await self.facets.get(f"below {i}", Leaf).insert(i)


def _javascript(trunk: Trunk, name: str, source: str) -> Any:
    isolate = trunk.isolates.get(source, language="javascript")
    return trunk.facets.get(name, isolate.actor("Tool"))


@inside
async def write_in_javascript(trunk: Trunk, n: int) -> None:
    for i in range(n):
        name = f"javascript {next(numbers)}"
        await _javascript(trunk, name, f"{JAVASCRIPT}// written for {name}\n").insert(i)
        trunk.facets.abort(name)


@inside
async def warm_javascript(trunk: Trunk, n: int) -> None:
    tool = _javascript(trunk, "warm javascript", JAVASCRIPT)
    for i in range(n):
        await tool.nop(i)


def _has_javascript() -> str:
    """Why there is none, if so."""
    return "" if importlib.util.find_spec("quickjs_rs") else "the extra `js` is not installed"


ANY = ("tmpfs",)
"""For work that stores nothing."""
ROWS = (
    Row("facet RPC, small argument", "echo", 2000, 500, stores=ANY),
    Row("facet RPC and a durable insert, one by one", "insert", 20, 20, one_by_one),
    Row("durable inserts, 100 facets at once, each", "crowd", 100, 100),
    Row("new facet, no write", "new_facets", 100, 30),
    Row("new facet, first durable write, one by one", "first_write", 20, 20, one_by_one),
    Row(
        "reopen a sleeping facet and read", "reopen_and_count", 20, 20,
        prepare=(("make_old", 20, 0),), peer_work="reopen",
    ),
    Row(
        "a tree of 10 facets cloned, written to, deleted", "clone_and_delete", 5, 5, one_by_one,
        prepare=(("grow_tree", 10, 0),),
    ),
    Row(
        "a tree of 1,000 facets cloned, written to, deleted", "clone_and_delete", 1, 1, one_by_one,
        prepare=(("grow_tree", 1000, 0),),
    ),
    Row("fresh isolate, load, first result", "one_shot", 10, 10, from_nothing, 1, stores=ANY),
    Row("pooled isolate, load, first result", "one_shot", 10, 10, from_the_pool, 1, stores=ANY),
    Row("agent writes a tool, new facet, durable write", "write_a_tool", 10, 10, from_nothing, 1),
    Row("agent writes a tool, pooled", "write_a_tool", 10, 10, from_the_pool, 1),
    Row("call into a live isolate facet", "warm", 500, 500, prepare=(("warm", 1, 1),), stores=ANY),
    Row(
        "agent writes a tool in JavaScript, durable write", "write_in_javascript", 10, 10,
        one_by_one, 1, peer_work="write_a_tool", lacks=_has_javascript,
    ),
    Row(
        "call into a live JavaScript isolate facet", "warm_javascript", 500, 500, stores=ANY,
        prepare=(("warm", 1, 1),), peer_work="warm", lacks=_has_javascript,
    ),
    Row("60-line tool in a new facet", "ledger", 10, 10, from_nothing, 1),
    Row("60-line tool, pooled", "ledger", 10, 10, from_the_pool, 1),
    Row("60-line tool, cached", "ledger_again", 10, 10, from_nothing, 1),
    Row("60-line tool, cached and pooled", "ledger_again", 10, 10, from_the_pool, 1),
)  # fmt: skip
for _row in ROWS:
    for _store in _row.stores:
        benchmark(f"{_row.title} ({_store})", PEERS)(partial(_row.measure, _store))


@benchmark("private memory of a live isolate facet (tmpfs)", PEERS)
async def memory() -> AsyncIterator[Figure]:
    async with both("tmpfs") as (trunk, peer):
        await trunk.run("live", 5)
        samples = await trunk.run("live", LIVE)
        await peer.run("live", LIVE, LIVE)
        before = private_mb(peer.pid)
        await peer.run("live", LIVE, LIVE)
        yield Figure(samples, "MB", (private_mb(peer.pid) - before) / LIVE, "workerd")
