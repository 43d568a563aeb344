"""Quotas: databases that are open at the same time, and what a restore brings."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from facets import LocalRuntime, Quota, Start
from facets.errors import BytesQuota, OpenDatabasesQuota, QuotaExceeded
from tests.facets.workers import Lead, Worker, run, worker


def is_open(lead: Lead, *path: str) -> bool:
    database = lead._activation.database
    for name in path:
        database = database.child(name)
    return database._connection is not None


async def test_the_database_not_used_for_longest_is_closed_for_the_next(
    runtime: LocalRuntime,
) -> None:
    async def story(lead: Lead) -> None:
        one = worker(lead, open_databases=2)
        await lead.facets.get("outside", Worker).keep(1)
        for name in ("a", "b", "a", "c"):
            await one.split(name, "keep", 1)

        assert [is_open(lead, "worker", name) for name in "abc"] == [True, False, True]
        assert is_open(lead, "outside")
        assert await one.split("b", "size") == 1
        assert [is_open(lead, "worker", name) for name in "abc"] == [False, True, True]
        assert lead.facets.stat("worker").usage["open_databases"] == (2, 2)

    await run(runtime, story)


async def test_where_all_that_are_open_are_needed_the_next_is_refused(
    runtime: LocalRuntime,
) -> None:
    async def story(lead: Lead) -> None:
        one = worker(lead, open_databases=2)

        async def together(*names: str) -> None:
            async with lead.facets.transaction():
                for name in names:
                    await one.split(name, "keep", 1)

        with pytest.raises(OpenDatabasesQuota) as caught:
            await together("a", "b", "c")
        error = caught.value
        assert (error.owner, error.quota, error.used) == ("Lead:a/worker", "open_databases", 2)
        assert [await one.split(name, "size") for name in "abc"] == [0, 0, 0]
        await together("a", "b")
        await together("c", "b")

    await run(runtime, story)


async def test_a_facet_cannot_have_more_open_than_those_above_it_may(
    runtime: LocalRuntime,
) -> None:
    class Generous(Worker, kind="GenerousOpener"):
        async def hand(self, name: str) -> None:
            start = Start(Worker, quota=Quota(open_databases=100))
            rich = self.facets.get("rich", start)
            await rich.split(name, "keep", 1)

    async def story(lead: Lead) -> None:
        one: Any = lead.facets.get("one", Start(Generous, quota=Quota(open_databases=1)))
        for name in "abc":
            await one.hand(name)
        assert [is_open(lead, "one", "rich", name) for name in "abc"] == [False, False, True]

    await run(runtime, story)


async def test_a_restore_is_refused_if_those_above_may_not_hold_what_it_brings(
    runtime: LocalRuntime,
) -> None:
    class Keeper(Worker, kind="Keeper"):
        async def back(self, name: str, bookmark: str) -> str:
            return await self.facets.restore(name, bookmark)

        async def shrink(self, name: str) -> None:
            self.facets.abort(name)
            await self.facets.get(name, Keeper).compact()

        async def compact(self) -> None:
            self.kv["data"] = b""
            await asyncio.sleep(0)
            await self.storage.compact()

    async def story(lead: Lead) -> None:
        one: Any = lead.facets.get("one", Start(Keeper, quota=Quota(bytes=250_000)))
        await one.split("a", "keep", 150_000)
        full = runtime.bookmark()
        await one.shrink("a")
        await one.split("b", "keep", 150_000)
        with pytest.raises(BytesQuota):
            await one.back("a", full)
        assert lead.facets.stat("one").usage["bytes"].used < 250_000
        await one.drop("b")
        await one.back("a", full)
        assert lead.facets.stat("one").usage["bytes"].used > 150_000

    await run(runtime, story)


async def test_a_quota_that_is_kept_as_state_and_given_to_get_outlives_the_process(
    state: Path,
) -> None:
    def tool(lead: Lead) -> Worker:
        return lead.facets.get("tool", Start(Worker, quota=Quota(bytes=lead.kv["bytes"])))

    async def change(lead: Lead) -> None:
        lead.kv["bytes"] = 50_000
        running = lead.facets.get("tool", Start(Worker, quota=Quota(bytes=1 << 30)))
        lead.facets.set_quota("tool", Quota(bytes=lead.kv["bytes"]))
        with pytest.raises(QuotaExceeded):
            await running.keep(100_000)

    async def again(lead: Lead) -> None:
        with pytest.raises(QuotaExceeded):
            await tool(lead).keep(100_000)

    for story in (change, again):
        async with LocalRuntime(state) as runtime:
            await run(runtime, story)
