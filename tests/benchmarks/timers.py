"""What timers cost: to schedule, to deliver, and to have many of."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

from facets import Actor
from tests.benchmarks.actors import Trunk, inside, numbers, opened
from tests.benchmarks.harness import Figure, Lap, Subject, benchmark
from tests.benchmarks.memory import private_mb

SCHEDULED = 500
ACTORS = 50
PENDING = 100_000
LATER = 86_400.0
SOON = 0.02
DELIVERED: list[float] = []


class Ringer(Actor):
    """An actor with timers."""

    migrations = ("create table rows(n integer)",)

    async def schedule(self, seconds: float, times: int) -> None:
        for n in range(times):
            self.timers.after(seconds, self.ring, n)

    async def at(self, moments: list[float]) -> None:
        for moment in moments:
            self.timers.at(moment, self.ring, moment)

    async def ring(self, n: float) -> None:
        DELIVERED.append(time.time() - n)


@inside
async def schedule(trunk: Trunk, n: int) -> None:
    await trunk.facets.get(f"ringer {next(numbers)}", Ringer).schedule(LATER, n)


@inside
async def insert_many(trunk: Trunk, n: int) -> None:
    await trunk.facets.get(f"rows {next(numbers)}", Rows).fill(n)


class Rows(Actor):
    """What scheduling is compared with: a row for each."""

    migrations = ("create table rows(id integer primary key, body blob)",)

    async def fill(self, n: int) -> None:
        for _ in range(n):
            self.sql("insert into rows(body) values (?)", b"x" * 30)


@benchmark("a timer, scheduled in a step with others")
async def scheduled() -> AsyncIterator[Subject]:
    async with opened() as (_, trunk):
        yield Subject(
            lambda: trunk.run("schedule", SCHEDULED),
            SCHEDULED,
            lambda: trunk.run("insert_many", SCHEDULED),
            SCHEDULED,
            "SQL insert",
        )


async def delivered(count: int) -> None:
    """Return when this many were."""
    while len(DELIVERED) < count:
        await asyncio.sleep(0)


@benchmark("a due timer's delivery, 50 actors at once, each")
async def deliveries() -> AsyncIterator[Subject]:
    async with opened() as (runtime, trunk):
        await trunk.run("schedule", 1)
        ringers = [runtime.get(Ringer, f"r{n}") for n in range(ACTORS)]

        async def work() -> Lap:
            DELIVERED.clear()
            due = time.time() + 0.2
            each = SCHEDULED // ACTORS
            await asyncio.gather(*[one.at([due] * each) for one in ringers])
            await asyncio.sleep(max(0.0, due - time.time()))
            started = time.perf_counter()
            await delivered(SCHEDULED)
            return Lap((time.perf_counter() - started) * 1e6)

        yield Subject(work, SCHEDULED, rounds=5)


@benchmark("a timer's lag with 100,000 pending in 1,000 actors")
async def lag() -> AsyncIterator[Subject]:
    async with opened() as (runtime, _):
        for n in range(0, 1_000, 50):
            ringers = [runtime.get(Ringer, f"r{n + i}") for i in range(50)]
            await asyncio.gather(*[one.schedule(LATER, PENDING // 1_000) for one in ringers])

        async def work() -> Lap:
            DELIVERED.clear()
            await runtime.get(Ringer, f"r{next(numbers) % 1_000}").at([time.time() + SOON])
            await asyncio.sleep(SOON / 2)
            await delivered(1)
            return Lap(DELIVERED[0] * 1e6)

        yield Subject(work, reference=bare_lag, against="call_later", rounds=50)


async def bare_lag() -> Lap:
    """How late the loop itself is."""
    loop = asyncio.get_running_loop()
    due = loop.time() + SOON
    late: asyncio.Future[float] = loop.create_future()
    loop.call_later(SOON, lambda: late.set_result(loop.time() - due))
    await asyncio.sleep(SOON / 2)
    while not late.done():
        await asyncio.sleep(0)
    return Lap(await late * 1e6)


@benchmark("memory of 100,000 sleeping actors with a timer each")
async def memory() -> AsyncIterator[Figure]:
    """As many rows in the catalogue; nobody need have written what they stand for."""
    async with opened() as (runtime, _):
        store = runtime.host.store
        samples = []
        for batch in range(4):
            before = private_mb()
            for n in range(PENDING // 4):
                uid = store.catalogue.new_uid()
                store.catalogue.add(uid, 0, "Absent", f"{batch} {n}")
                store.catalogue.set_due(uid, int((time.time() + LATER + n) * 1e6))
            store.commits.keep_rows(())
            runtime.host.timers.agenda.restart()
            runtime.host.timers.arm()
            samples.append((private_mb() - before) * 4)
        yield Figure(samples, "MB")
