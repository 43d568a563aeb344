"""What follows when a facet breaks: nothing but an error, restarts, a breaker that opens."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from actors.supervision import Breaker
from actors.testing import VirtualClock
from facets import Actor, LocalRuntime, Restart, Start
from facets.errors import (
    DatabaseCorrupt,
    FacetAborted,
    FacetDeleted,
    FacetDown,
    IsolateDead,
    MigrationFailed,
    SqlError,
    StorageError,
    StorageFull,
)
from storage.limits import StorageLimits
from tests.facets.fragile import LIMITS, SOURCE, Failing, Fragile, Lead, Ticking, run


@pytest.fixture(autouse=True)
def fragile() -> None:
    Fragile.starts = Fragile.failing = 0


# -- restarts ---------------------------------------------------------------------------------


async def test_without_a_policy_a_broken_facet_answers_with_the_reason_until_it_is_got_again(
    runtime: LocalRuntime,
) -> None:
    async def story(lead: Lead) -> None:
        one = lead.facets.get("one", Fragile)
        await one.count()
        with pytest.raises(Failing):
            await one.crash()
        with pytest.raises(Failing):
            await one.count()
        assert await lead.facets.get("one", Fragile).count() == 2

    await run(runtime, story)


async def test_stubs_of_a_supervised_facet_go_on_after_a_pause(
    runtime: LocalRuntime, clock: VirtualClock
) -> None:
    async def story(lead: Lead) -> None:
        one = lead.facets.get("one", Start(Fragile, restart=Restart(first=1)))
        hanging = asyncio.create_task(one.hang())
        assert await one.count() == 1
        await clock.settle()
        with pytest.raises(Failing):
            await one.crash()
        with pytest.raises(Failing):
            await hanging
        waiting = asyncio.create_task(one.count())
        await clock.run(0.9)
        assert not waiting.done()
        await clock.run(0.2)
        assert await waiting == 2
        assert one == lead.facets.get("one", Fragile)

    await run(runtime, story)


async def test_a_call_that_had_not_begun_when_the_facet_broke_is_made_to_the_next_one(
    runtime: LocalRuntime,
) -> None:
    async def story(lead: Lead) -> None:
        one = lead.facets.get("one", Start(Fragile, restart=Restart(first=0)))
        waiting = asyncio.create_task(one.count())
        with pytest.raises(Failing):
            await one.crash()
        assert await waiting == 1
        two = lead.facets.get("two", Fragile)
        waiting = asyncio.create_task(two.count())
        with pytest.raises(Failing):
            await two.crash()
        with pytest.raises(Failing):
            await waiting

    await run(runtime, story)


async def test_a_supervised_facet_starts_by_itself_and_pauses_grow(
    runtime: LocalRuntime, clock: VirtualClock
) -> None:
    async def story(lead: Lead) -> None:
        policy = Restart(first=1, factor=3, most=5, limit=10)
        one = lead.facets.get("one", Start(Fragile, restart=policy))
        await one.count()
        Fragile.failing = 3
        with pytest.raises(Failing):
            await one.crash()
        for pause, starts in ((1, 2), (3, 3), (5, 4), (5, 5)):
            await clock.run(pause - 0.1)
            assert Fragile.starts == starts - 1
            await clock.run(0.1)
            assert Fragile.starts == starts
        await clock.run(100)
        assert (Fragile.starts, await one.count()) == (5, 2)
        lead.facets._node("one").sleep()
        assert await one.count() == 3
        assert not runtime.host.breakers

    await run(runtime, story)
    await clock.settle()

    async def told(lead: Lead) -> Any:
        return lead.kv["broken"]

    assert await run(runtime, told) == [["one", "Failing"]] * 4


async def test_the_breaker_opens_after_so_many_failures_and_lets_one_call_try(
    runtime: LocalRuntime, clock: VirtualClock
) -> None:
    async def story(lead: Lead) -> None:
        policy = Restart(first=0, most=20, limit=3, within=60)
        one = lead.facets.get("one", Start(Fragile, restart=policy))
        await one.count()
        Fragile.failing = 3
        with pytest.raises(Failing):
            await one.crash()
        await clock.run(5)
        for _ in range(2):
            with pytest.raises(FacetDown) as caught:
                await one.count()
        down = caught.value
        assert (down.failures, down.retry_after) == (3, 15)
        assert down.since == clock.now() - 5
        assert isinstance(down.__cause__, Failing)
        await clock.run(down.retry_after)
        assert Fragile.starts == 3
        with pytest.raises(Failing):
            await one.count()
        with pytest.raises(FacetDown):
            await one.count()
        await clock.run(20)
        assert await asyncio.gather(one.count(), one.count()) == [2, 3]
        assert Fragile.starts == 5

    await run(runtime, story)


@pytest.mark.parametrize("how", ["abort", "replace", "delete"])
async def test_what_the_parent_does_itself_is_no_failure_and_closes_the_breaker(
    runtime: LocalRuntime, clock: VirtualClock, how: str
) -> None:
    async def story(lead: Lead) -> None:
        start = Start(Fragile, restart=Restart(first=0, limit=1))
        one = lead.facets.get("one", start)
        await one.count()
        with pytest.raises(Failing):
            await one.crash()
        with pytest.raises(FacetDown):
            await one.count()
        getattr(lead.facets, how)("one", *([Fragile] if how == "replace" else []))
        again = lead.facets.get("one", start)
        assert await again.count() == (1 if how == "delete" else 2)
        getattr(lead.facets, how)("one", *([Lead] if how == "replace" else []))
        await clock.run(100)
        assert Fragile.starts == 2
        with pytest.raises((FacetAborted, FacetDeleted)):
            await again.count()

    await run(runtime, story)


async def test_a_facet_that_dies_at_start_again_and_again_is_left_alone_without_a_policy(
    runtime: LocalRuntime, clock: VirtualClock
) -> None:
    async def story(lead: Lead) -> None:
        Fragile.failing = 100
        for _ in range(5):
            with pytest.raises(Failing):
                await lead.facets.get("one", Fragile).count()
        with pytest.raises(FacetDown) as caught:
            await lead.facets.get("one", Fragile).count()
        assert Fragile.starts == 5
        assert await lead.facets.get("other", Lead).hello() == "other"
        await clock.run(caught.value.retry_after)
        Fragile.failing = 0
        assert await lead.facets.get("one", Fragile).count() == 1
        assert not runtime.host.breakers

    await run(runtime, story)


async def test_a_pause_ends_with_the_facet_and_with_the_runtime(
    runtime: LocalRuntime, clock: VirtualClock
) -> None:
    async def story(lead: Lead) -> None:
        one = lead.facets.get("one", Start(Fragile, restart=Restart(first=30)))
        with pytest.raises(Failing):
            await one.crash()
        waiting = asyncio.create_task(one.count())
        await clock.settle()
        lead.facets.abort("one")
        with pytest.raises(FacetAborted):
            await waiting
        two = lead.facets.get("two", Start(Fragile, restart=Restart(first=30)))
        with pytest.raises(Failing):
            await two.crash()

    await run(runtime, story)
    await runtime.close()
    await clock.run(60)
    assert Fragile.starts == 2


def test_a_policy_that_makes_no_sense_is_refused() -> None:
    for wrong in ({"first": -1}, {"first": 50}, {"factor": 0.5}, {"limit": 0}, {"within": 0}):
        with pytest.raises(ValueError, match=r"pauses|breaker"):
            Restart(**wrong)  # type: ignore[arg-type]


def test_pauses_grow_to_their_limit_however_many_failures_there_are() -> None:
    policy = Restart(first=0.5, factor=1e6, most=20, limit=10**9, within=1e12)
    breaker = Breaker()
    pauses = []
    for now in range(1000):
        breaker.add(float(now), Failing(), policy)
        pauses.append(breaker.due - now)
    assert pauses == [0.5, *[20] * 999]
    assert not breaker.open
    steady = Restart(first=0, factor=2)
    breaker.add(2000.0, Failing(), steady)
    assert breaker.due == 2000.0


async def test_timers_of_a_supervised_facet_go_on_after_it_broke(
    runtime: LocalRuntime, clock: VirtualClock
) -> None:
    async def story(lead: Lead) -> None:
        one = lead.facets.get("one", Start(Ticking, restart=Restart(first=1)))
        await one.begin()
        await clock.run(25)
        assert await one.ticks() == 2
        with pytest.raises(Failing):
            await one.crash()
        await clock.run(20)
        assert await one.ticks() == 4

    await run(runtime, story)


# -- every way to break -----------------------------------------------------------------------


def start_raises() -> Any:
    raise Failing("no code")


class Migrated(Fragile, kind="Migrated"):
    migrations = ["create table nonsense("]


class Unopened(Fragile, kind="Unopened"):
    def __init__(self) -> None:
        raise Failing("no object")


WAYS: dict[str, Callable[[Actor], tuple[Any, str, type[BaseException]]]] = {
    "the start callable raises": lambda _: (start_raises, "count", Failing),
    "a start callable returns nonsense": lambda _: (lambda: 3, "count", TypeError),
    "its constructor raises": lambda _: (Unopened, "count", Failing),
    "a migration fails": lambda _: (Migrated, "count", MigrationFailed),
    "it breaks while it runs": lambda _: (Fragile, "crash", Failing),
} | {
    f"the isolate is killed in {method}": (
        lambda lead, method=method: (
            lead.isolates.get(SOURCE, limits=LIMITS).actor("Tool"),
            method,
            IsolateDead,
        )
    )
    for method in ("spin", "hang", "ask", "shout", "chatter", "stop")
}


@pytest.mark.parametrize("way", WAYS)
async def test_a_broken_child_breaks_neither_its_parent_nor_a_sibling(
    runtime: LocalRuntime, way: str
) -> None:
    async def story(lead: Lead) -> None:
        lead.kv["mine"] = 1
        sibling = lead.facets.get("sibling", Fragile)
        await sibling.count()
        start, method, error = WAYS[way](lead)
        with pytest.raises(error):
            await getattr(lead.facets.get("child", start), method)()
        assert await sibling.count() == 2
        lead.kv["mine"] += 1
        lead.facets.abort("child")
        assert await lead.facets.get("child", Fragile).count() == 1

    await run(runtime, story)

    async def after(lead: Lead) -> int:
        return lead.kv["mine"]

    assert await run(runtime, after) == 2


async def test_a_killed_isolate_under_a_policy_goes_on_with_the_same_stub(
    runtime: LocalRuntime, clock: VirtualClock
) -> None:
    async def story(lead: Lead) -> None:
        code = lead.isolates.get(SOURCE, limits=LIMITS).actor("Tool")
        tool = lead.facets.get("tool", Start(code, restart=Restart(first=0)))
        assert await tool.count() == 1
        with pytest.raises(IsolateDead):
            await tool.stop()
        assert await tool.count() == 2

    await run(runtime, story)


async def test_a_child_whose_storage_is_full_does_not_break(state: Any) -> None:
    async with LocalRuntime(state, limits=StorageLimits(database=100_000)) as runtime:

        async def story(lead: Lead) -> None:
            class Greedy(Fragile, kind="Greedy"):
                async def keep(self, size: int) -> None:
                    self.kv["x"] = b"x" * size

            one = lead.facets.get("one", Greedy)
            await one.count()
            with pytest.raises((StorageFull, SqlError)):
                await one.keep(200_000)
            assert await one.count() == 2

        await run(runtime, story)


async def test_a_child_whose_database_is_damaged_breaks_nobody_else(
    runtime: LocalRuntime,
) -> None:
    async def story(lead: Lead) -> None:
        for name in ("child", "sibling"):
            await lead.facets.get(name, Fragile).count()
        database = runtime.host.root(Lead, "a").child("child").database
        database.close()
        assert database.path is not None
        database.path.with_name(database.path.name + "-wal").unlink(missing_ok=True)
        database.path.write_bytes(b"damaged!" * 1024)
        with pytest.raises(DatabaseCorrupt):
            await lead.facets.get("child", Fragile).count()
        assert await lead.facets.get("sibling", Fragile).count() == 2
        lead.kv["mine"] = 1
        lead.facets.delete("child")
        assert await lead.facets.get("child", Fragile).count() == 1

    await run(runtime, story)


async def test_a_commit_that_fails_where_nobody_waits_breaks_the_child_alone(
    runtime: LocalRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(lead: Lead) -> None:
        one = lead.facets.get("one", Start(Fragile, restart=Restart(first=0)))
        await one.count()
        activation = lead.facets._node("one").activation
        assert activation is not None

        def full() -> int:
            raise StorageError("no room")

        activation.database.kv["n"] = 7  # a callback, outside every step
        with monkeypatch.context() as patched:
            patched.setattr(type(activation), "commit", lambda _: full())
            activation.settle()
        assert await one.count() == 2

    await run(runtime, story)


async def test_a_hook_that_raises_is_reported_and_breaks_nobody(runtime: LocalRuntime) -> None:
    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, said: reported.append(said))

    class Clumsy(Fragile, kind="Clumsy"):
        async def on_facet_broken(self, name: str, error: BaseException) -> None:
            raise ZeroDivisionError

        async def break_it(self) -> None:
            with pytest.raises(Failing):
                await self.facets.get("one", Fragile).crash()

    clumsy = runtime.get(Clumsy, "c")
    await clumsy.break_it()
    for _ in range(5):
        await asyncio.sleep(0)
    assert [one["message"] for one in reported] == ["on_facet_broken of Clumsy:c failed"]
    assert await clumsy.count() == 1


async def test_a_facet_deleted_during_its_start_can_be_got_again_at_once(
    runtime: LocalRuntime,
) -> None:
    async def story(lead: Lead) -> None:
        gate = asyncio.Event()

        class Slow(Fragile, kind="Slow"):
            async def on_start(self) -> None:
                self.kv["n"] = 10
                await gate.wait()

        waiting = asyncio.create_task(lead.facets.get("one", Slow).count())
        for _ in range(5):
            await asyncio.sleep(0)
        lead.facets.delete("one")
        again = lead.facets.get("one", Fragile)
        assert await again.count() == 1
        with pytest.raises(FacetDeleted):
            await waiting

    await run(runtime, story)


async def test_an_isolate_deleted_while_it_is_minted_can_be_got_again_at_once(
    runtime: LocalRuntime,
) -> None:
    async def story(lead: Lead) -> None:
        code = lead.isolates.get(SOURCE).actor("Tool")
        waiting = asyncio.create_task(lead.facets.get("one", code).count())
        await asyncio.sleep(0)
        lead.facets.delete("one")
        assert await lead.facets.get("one", code).count() == 1
        with pytest.raises(FacetDeleted):
            await waiting
        assert await lead.facets.get("one", code).count() == 2

    await run(runtime, story)
