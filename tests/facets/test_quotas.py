"""Quotas: what an actor and all below it may use together."""

from __future__ import annotations

import asyncio
import math
import pickle
from pathlib import Path
from random import Random
from typing import Any

import pytest

from actors.testing import VirtualClock
from facets import LocalRuntime, Quota, Start
from facets.errors import (
    BytesQuota,
    ConcurrentQuota,
    DatabasesQuota,
    FacetAborted,
    MeterQuota,
    QuotaExceeded,
    RateQuota,
    StorageFull,
)
from facets.testing import MemoryRuntime
from tests.facets.workers import Lead, Worker, run, soon, worker

# -- bytes and databases ----------------------------------------------------------------------


async def test_a_step_that_would_take_too_many_bytes_is_undone(runtime: LocalRuntime) -> None:
    async def story(lead: Lead) -> None:
        one = worker(lead, bytes=100_000)
        await one.keep(50_000)
        with pytest.raises(BytesQuota) as caught:
            await one.append(60_000)
        assert await one.size() == 1
        error = caught.value
        assert isinstance(error, StorageFull)
        assert (error.owner, error.quota, error.limit) == ("Lead:a/worker", "bytes", 100_000)
        assert error.used + error.asked > error.limit
        await one.append(1_000)

    await run(runtime, story)


async def test_bytes_count_for_the_whole_subtree_and_a_delete_gives_them_back(
    runtime: LocalRuntime,
) -> None:
    async def story(lead: Lead) -> None:
        one = worker(lead, bytes=200_000)
        await one.split("left", "keep", 100_000)
        with pytest.raises(BytesQuota):
            await one.split("right", "keep", 100_000)
        with pytest.raises(BytesQuota):
            await one.below(3, "keep", 100_000)
        await one.drop("left")
        await one.split("right", "keep", 100_000)
        used = lead.facets.stat("worker").usage["bytes"]
        assert 100_000 < used.used <= used.limit == 200_000

    await run(runtime, story)


async def test_what_a_new_process_finds_counts_as_well(state: Path) -> None:
    async def fill(lead: Lead) -> None:
        await worker(lead, bytes=200_000).split("left", "keep", 150_000)

    async def more(lead: Lead) -> None:
        with pytest.raises(BytesQuota):
            await worker(lead, bytes=200_000).split("right", "keep", 100_000)

    for story in (fill, more):
        async with LocalRuntime(state) as runtime:
            await run(runtime, story)


async def test_a_facet_cannot_give_more_than_it_has(runtime: LocalRuntime) -> None:
    async def story(lead: Lead) -> None:
        class Generous(Worker, kind="Generous"):
            async def hand(self, size: int) -> None:
                start = Start(Worker, quota=Quota(bytes=1 << 30))
                await self.facets.get("rich", start).keep(size)

        one = lead.facets.get("one", Start(Generous, quota=Quota(bytes=100_000)))
        with pytest.raises(BytesQuota) as caught:
            await one.hand(150_000)
        assert caught.value.owner == "Lead:a/one"

    await run(runtime, story)


async def test_large_files_count(runtime: LocalRuntime) -> None:
    class Keeper(Worker, kind="Keeper"):
        async def write(self, size: int) -> None:
            self.fs.write("/large", Random(size).randbytes(size))

        async def stream(self, size: int) -> None:
            async def pieces() -> Any:
                for n in range(size >> 16):
                    yield Random(n).randbytes(1 << 16)

            await self.fs.write_stream("/streamed", pieces())

    async def story(lead: Lead) -> None:
        one = lead.facets.get("one", Start(Keeper, quota=Quota(bytes=6 << 20)))
        for method in ("write", "stream"):
            await getattr(one, method)(2 << 20)
            with pytest.raises(BytesQuota):
                await getattr(one, method)(12 << 20)
            assert 2 << 20 <= lead.facets.stat("one").usage["bytes"].used <= 6 << 20

    await run(runtime, story)


async def test_what_is_written_without_the_actor_counts_as_well(state: Path) -> None:
    async with LocalRuntime(state, quota=Quota(bytes=200_000)) as runtime:
        one = runtime.get(Worker, "a")
        await one.keep(10_000)
        before = runtime.host.root(Worker, "a").allowances[0].bytes
        await runtime.host.on_files("Worker", "a", "write", "/x", Random(0).randbytes(100_000))
        assert runtime.host.root(Worker, "a").allowances[0].bytes > before + 100_000
        with pytest.raises(BytesQuota):
            await one.split("b", "keep", 90_000)


async def test_what_a_clone_an_import_or_a_move_brings_counts(
    runtime: LocalRuntime, tmp_path: Path
) -> None:
    class Copier(Worker, kind="Copier"):
        async def clone(self, source: str, target: str) -> None:
            await self.facets.clone(source, target)

        async def bring(self, path: str) -> None:
            await self.facets.import_("imported", path)

        async def names(self) -> list[str]:
            return self.facets.list()

    async def story(lead: Lead) -> None:
        quota = Quota(bytes=250_000, databases=3)
        one = lead.facets.get("one", Start(Copier, quota=quota))
        await one.split("a", "keep", 100_000)
        await one.clone("a", "b")
        with pytest.raises(BytesQuota):
            await one.clone("a", "c")
        await one.clone("a", "b")
        await lead.facets.get("outside", Worker).keep(100_000)
        await lead.facets.export("outside", tmp_path / "file")
        with pytest.raises(BytesQuota):
            await one.bring(str(tmp_path / "file"))
        with pytest.raises(BytesQuota):
            lead.facets.move("outside", one, "moved")
        assert await one.names() == ["a", "b"]
        await one.drop("a")
        await one.drop("b")
        lead.facets.move("outside", one, "moved")
        assert lead.facets.stat("one").usage["databases"].used == 1
        for name in "xyz":
            if name == "z":
                with pytest.raises(DatabasesQuota):
                    await one.split(name, "keep", 1)
            else:
                await one.split(name, "keep", 1)
        with pytest.raises(DatabasesQuota):
            await one.clone("x", "z")

    await run(runtime, story)


async def test_only_so_many_actors_below_may_have_a_database(runtime: LocalRuntime) -> None:
    async def story(lead: Lead) -> None:
        one = worker(lead, databases=2)
        await one.split("a", "keep", 1)
        await one.split("b", "keep", 1)
        with pytest.raises(DatabasesQuota):
            await one.split("c", "keep", 1)
        assert await one.split("c", "size") == 0
        await one.split("a", "keep", 2)
        await one.drop("a")
        await one.split("c", "keep", 1)

    await run(runtime, story)


async def test_a_transaction_over_several_actors_is_measured_as_a_whole(
    runtime: LocalRuntime,
) -> None:
    async def story(lead: Lead) -> None:
        one = worker(lead, bytes=200_000, meters={"usd": 3})

        async def both(size: int, usd: float) -> None:
            async with lead.facets.transaction():
                for name in ("left", "right"):
                    await one.split(name, "keep", size)
                    await one.split(name, "spend", "usd", usd)

        with pytest.raises(BytesQuota):
            await both(100_000, 1)
        with pytest.raises(MeterQuota):
            await both(10, 2)
        assert await one.split("left", "size") == await one.split("right", "size") == 0
        assert await one.left("usd") == 3
        await both(10, 1)
        assert await one.left("usd") == 1

    await run(runtime, story)


async def test_the_quota_of_a_runtime_holds_for_each_root(state: Path) -> None:
    async with LocalRuntime(state, quota=Quota(bytes=100_000, concurrent=2)) as runtime:
        for name in "ab":
            await runtime.get(Worker, name).keep(50_000)
            with pytest.raises(BytesQuota):
                await runtime.get(Worker, name).split("x", "keep", 50_000)
            with pytest.raises(ConcurrentQuota):
                await runtime.get(Worker, name).below(2, "size")


# -- calls ------------------------------------------------------------------------------------


async def test_calls_in_progress_are_bounded_for_the_subtree(runtime: LocalRuntime) -> None:
    async def story(lead: Lead) -> None:
        one = worker(lead, concurrent=3)
        hanging = [asyncio.create_task(one.split("x", "hang")), asyncio.create_task(one.hang())]
        await soon()
        with pytest.raises(ConcurrentQuota):
            await one.echo(1)
        hanging[1].cancel()
        await asyncio.wait([hanging[1]])
        assert await one.echo(1) == 1
        with pytest.raises(ConcurrentQuota):
            await one.split("y", "echo", 1)
        lead.facets.abort("worker")
        with pytest.raises(FacetAborted):
            await hanging[0]
        again = worker(lead, concurrent=3)
        assert await again.split("y", "echo", 1) == 1
        assert lead.facets.stat("worker").usage["concurrent"] == (0, 3)

    await run(runtime, story)


async def test_a_stream_is_a_call_in_progress_until_it_is_closed(runtime: LocalRuntime) -> None:
    async def story(lead: Lead) -> None:
        one = worker(lead, concurrent=1)
        items = aiter(one.numbers(3))
        assert await anext(items) == 0
        with pytest.raises(ConcurrentQuota):
            await one.echo(1)
        await items.aclose()
        assert await one.echo(1) == 1

    await run(runtime, story)


async def test_calls_in_a_second_are_bounded_and_come_back_with_time(
    runtime: LocalRuntime, clock: VirtualClock
) -> None:
    async def story(lead: Lead) -> None:
        one = worker(lead, rate=2)
        await one.echo(1)
        await one.echo(2)
        with pytest.raises(RateQuota) as caught:
            await one.echo(3)
        clock.advance(caught.value.retry_after)
        await one.echo(3)
        with pytest.raises(RateQuota):
            await one.echo(4)

    await run(runtime, story)


async def test_a_timer_that_is_refused_is_tried_again(
    runtime: LocalRuntime, clock: VirtualClock
) -> None:
    class Timed(Worker, kind="Timed"):
        async def later(self) -> None:
            self.timers.after(1, self.append, 1)

    async def story(lead: Lead) -> None:
        one = lead.facets.get("one", Start(Timed, quota=Quota(rate=0.1)))
        await one.later()
        await clock.run(9.5)
        lead.facets.set_quota("one", None)
        assert await one.size() == 0
        await clock.run(60)
        assert await one.size() == 1

    await run(runtime, story)


# -- meters -----------------------------------------------------------------------------------


async def test_a_meter_is_spent_down_to_its_limit_and_not_over(runtime: LocalRuntime) -> None:
    async def story(lead: Lead) -> None:
        one = worker(lead, meters={"tokens": 100, "usd": 0.3})
        assert await one.spend("tokens", 60) == 40
        with pytest.raises(MeterQuota) as caught:
            await one.spend("tokens", 41)
        assert (caught.value.quota, caught.value.used, caught.value.asked) == ("tokens", 60, 41)
        assert await one.spend("tokens", 40) == 0
        for _ in range(3):
            await one.spend("usd", 0.1)
        with pytest.raises(MeterQuota):
            await one.spend("usd", 0.001)
        assert await one.left("hours") == math.inf
        assert await one.spend("hours", 5) == math.inf

    await run(runtime, story)


async def test_what_is_spent_below_counts_above(runtime: LocalRuntime) -> None:
    async def story(lead: Lead) -> None:
        one = worker(lead, meters={"tokens": 100})
        assert await one.below(3, "spend", "tokens", 60) == 40
        assert await one.split("other", "left", "tokens") == 40
        with pytest.raises(MeterQuota):
            await one.spend("tokens", 41)
        await one.drop("below")
        assert await one.left("tokens") == 40

    await run(runtime, story)


async def test_a_step_that_is_undone_gives_back_what_it_spent(runtime: LocalRuntime) -> None:
    async def story(lead: Lead) -> None:
        one = worker(lead, meters={"tokens": 100})
        with pytest.raises(KeyError):
            await one.spend_and_fail("tokens", 70)
        assert await one.left("tokens") == 100
        assert await one.spend_and_take_back("tokens", 10, 80) == 90
        assert await one.left("tokens") == 90
        with pytest.raises(KeyError):
            await one.below(1, "spend_and_fail", "tokens", 70)
        assert await one.below(1, "spend", "tokens", 70) == 20

    await run(runtime, story)


async def test_a_reservation_is_spent_at_once_and_gives_back_what_was_not_used(
    runtime: LocalRuntime,
) -> None:
    async def story(lead: Lead) -> None:
        one = worker(lead, meters={"usd": 10})
        assert await one.reserve("usd", 8, 3) == 7
        assert await one.reserve("usd", 5, None) == 2
        with pytest.raises(MeterQuota):
            await one.reserve("usd", 2, 3)
        assert await one.left("usd") == 0
        with pytest.raises(MeterQuota):
            await one.reserve("usd", 1, 0)

    await run(runtime, story)


async def test_a_reservation_whose_step_was_undone_gives_nothing_back(
    runtime: LocalRuntime,
) -> None:
    class Careless(Worker, kind="Careless"):
        async def reserve_in_vain(self) -> float:
            with self.meters.reserve("usd", 5) as held:
                self.kv["data"] = b"x" * 200_000
                try:
                    await asyncio.sleep(0)
                except BytesQuota:
                    held.settle(1)
            return self.meters.left("usd")

    async def story(lead: Lead) -> None:
        start = Start(Careless, quota=Quota(bytes=100_000, meters={"usd": 10}))
        assert await lead.facets.get("one", start).reserve_in_vain() == 9

    await run(runtime, story)


async def test_what_was_spent_survives_a_restart_a_restore_and_the_facets_end(
    state: Path,
) -> None:
    async def spend(lead: Lead) -> None:
        one = worker(lead, meters={"tokens": 100})
        await one.keep(1)
        before = lead.storage.bookmark()
        await one.below(2, "spend", "tokens", 60)
        lead.facets.abort("worker")
        assert await worker(lead, meters={"tokens": 100}).left("tokens") == 40
        await lead.facets.restore("worker", before)

    async def more(lead: Lead) -> None:
        one = worker(lead, meters={"tokens": 100})
        assert await one.left("tokens") == 40
        with pytest.raises(MeterQuota):
            await one.spend("tokens", 41)
        lead.facets.delete("worker")
        assert await worker(lead, meters={"tokens": 100}).left("tokens") == 100

    for story in (spend, more):
        async with LocalRuntime(state) as runtime:
            await run(runtime, story)


async def test_amounts_are_numbers_from_zero_on(runtime: LocalRuntime) -> None:
    async def story(lead: Lead) -> None:
        one = worker(lead, meters={"usd": 10})
        for amount in (-1, math.nan, math.inf, True, "1"):
            with pytest.raises(ValueError, match="an amount is a number"):
                await one.spend("usd", amount)
        assert await one.left("usd") == 10

    await run(runtime, story)
    for quota in ({"bytes": -1}, {"rate": 0}, {"meters": {"usd": math.nan}}, {"cpu": "1"}):
        with pytest.raises(ValueError, match="quota"):
            Quota(**quota)


async def test_quotas_and_their_errors_travel_to_other_processes() -> None:
    quota = Quota(bytes=1, rate=0.5, meters={"usd": 2.5})
    assert pickle.loads(pickle.dumps(quota)) == quota
    assert hash(pickle.loads(pickle.dumps(quota))) == hash(quota)
    async with MemoryRuntime(quota=Quota(meters={"usd": 1})) as runtime:
        with pytest.raises(MeterQuota) as caught:
            await runtime.get(Worker, "a").spend("usd", 2)
    again = pickle.loads(pickle.dumps(caught.value))
    assert type(again) is MeterQuota
    assert (again.owner, again.limit, str(again)) == ("Worker:a", 1, str(caught.value))


# -- changing and telling ---------------------------------------------------------------------


async def test_a_quota_can_be_changed_while_the_subtree_runs(runtime: LocalRuntime) -> None:
    async def story(lead: Lead) -> None:
        one = lead.facets.get("worker", Worker)
        hanging = asyncio.create_task(one.split("x", "hang"))
        await soon()
        lead.facets.set_quota("worker", Quota(concurrent=1, meters={"tokens": 10}))
        assert await one.spend("tokens", 4) == 6
        with pytest.raises(ConcurrentQuota):
            await one.split("y", "echo", 1)
        lead.facets.set_quota("worker", Quota(meters={"tokens": 5}))
        assert await one.split("y", "left", "tokens") == 1
        with pytest.raises(MeterQuota):
            await one.split("y", "spend", "tokens", 2)
        lead.facets.set_quota("worker", None)
        assert await one.split("y", "spend", "tokens", 100) == math.inf
        assert lead.facets.stat("worker").usage == {}
        hanging.cancel()
        with pytest.raises(LookupError, match="nobody got it"):
            lead.facets.set_quota("unheard of", Quota())

    await run(runtime, story)


async def test_whoever_gave_the_quota_is_told_that_it_was_crossed(runtime: LocalRuntime) -> None:
    async def story(lead: Lead) -> None:
        one = worker(lead, meters={"tokens": 10})
        for _ in range(3):
            with pytest.raises(MeterQuota):
                await one.below(2, "spend", "tokens", 11)

    async def told(lead: Lead) -> Any:
        await soon()
        return lead.kv["told"]

    await run(runtime, story)
    assert await run(runtime, told) == [["worker", "Lead:a/worker", "tokens"]]


async def test_a_hook_that_fails_is_reported_and_breaks_nobody(runtime: LocalRuntime) -> None:
    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, said: reported.append(said))

    class Clumsy(Lead, kind="Clumsy"):
        async def on_quota(self, name: str, error: QuotaExceeded) -> None:
            raise ZeroDivisionError

        async def spend(self) -> None:
            with pytest.raises(MeterQuota):
                await worker(self, meters={"tokens": 1}).spend("tokens", 2)

    clumsy = runtime.get(Clumsy, "c")
    await clumsy.spend()
    await soon()
    assert reported[0]["message"] == "on_quota of Clumsy:c failed"
    assert isinstance(reported[0]["exception"], ZeroDivisionError)
    await clumsy.spend()
