"""What follows when a facet breaks: nothing but an error, restarts, a breaker that opens."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from actors.supervision import Breaker
from actors.testing import VirtualClock
from facets import Actor, Limits, LocalRuntime, Restart, Start
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


# -- the end of the parent --------------------------------------------------------------------


async def kept_below(lead: Lead) -> tuple[Any, Any]:
    """A facet and its child, which outlives it."""
    middle = lead.facets.get("middle", Fragile)
    assert await middle.child_counts(parent_close="keep") == 1
    return middle, await middle.child_alone()


@pytest.mark.parametrize("how", ["abort", "replace", "break"])
async def test_a_kept_facet_goes_on_with_its_calls_and_stubs_when_its_parent_ends(
    runtime: LocalRuntime, how: str
) -> None:
    async def story(lead: Lead) -> None:
        middle, child = await kept_below(lead)
        hanging = asyncio.create_task(child.hang())
        await asyncio.sleep(0)
        if how == "break":
            with pytest.raises(Failing):
                await middle.crash()
        else:
            getattr(lead.facets, how)("middle", *([Lead] if how == "replace" else []))
        assert await child.count() == 2
        assert not hanging.done()
        if how == "replace":
            lead.facets.abort("middle")
        again = lead.facets.get("middle", Fragile)
        assert await again.child_counts() == 3
        assert await again.child_alone() == child
        hanging.cancel()

    await run(runtime, story)


async def test_a_facet_that_is_not_kept_ends_with_its_parent(runtime: LocalRuntime) -> None:
    async def story(lead: Lead) -> None:
        middle = lead.facets.get("middle", Fragile)
        await middle.child_counts()
        child = await middle.child_alone()
        lead.facets.abort("middle")
        with pytest.raises(FacetAborted):
            await child.count()

    await run(runtime, story)


async def test_a_kept_facet_ends_where_the_state_of_its_parent_does(runtime: LocalRuntime) -> None:
    async def story(lead: Lead) -> None:
        _, child = await kept_below(lead)
        lead.facets.delete("middle")
        with pytest.raises(FacetDeleted):
            await child.count()
        _, child = await kept_below(lead)
        bookmark = lead.storage.bookmark()
        await lead.facets.restore("middle", bookmark)
        with pytest.raises(Exception, match="restored"):
            await child.count()

    await run(runtime, story)


async def test_a_kept_facet_speaks_to_the_next_incarnation_of_its_parent(
    runtime: LocalRuntime,
) -> None:
    async def story(lead: Lead) -> None:
        one = lead.facets.get("one", Start(Fragile, parent_close="keep"))
        assert await one.parent_says() == "a"
        return one

    stub = await run(runtime, story)
    node = runtime.host.root(Lead, "a")
    node.abort(FacetAborted("an end of the parent alone"), keeping=True)
    assert await stub.parent_says() == "a"
    assert await run(runtime, story) == stub


async def test_what_a_kept_facet_wrote_in_its_parents_transaction_is_undone_with_it(
    runtime: LocalRuntime,
) -> None:
    class Careless(Fragile, kind="Careless"):
        async def half(self) -> None:
            async with self.facets.transaction():
                await self.facets.get("child", Start(Fragile, parent_close="keep")).count()
                await asyncio.Event().wait()

    async def story(lead: Lead) -> None:
        middle = lead.facets.get("middle", Careless)
        assert await middle.child_counts(parent_close="keep") == 1
        child = await middle.child_alone()
        hanging = asyncio.create_task(middle.half())
        for _ in range(5):
            await asyncio.sleep(0)
        lead.facets.abort("middle")
        assert await child.count() == 2
        with pytest.raises(FacetAborted):
            await hanging

    await run(runtime, story)


async def test_a_kept_isolate_goes_on_without_its_parent(runtime: LocalRuntime) -> None:
    class Host(Fragile, kind="Host"):
        async def tool(self) -> Any:
            code = self.isolates.get(SOURCE, limits=LIMITS).actor("Tool")
            return self.facets.get("tool", Start(code, parent_close="keep"))

    async def story(lead: Lead) -> None:
        tool = await lead.facets.get("middle", Host).tool()
        assert await tool.count() == 1
        lead.facets.abort("middle")
        assert await tool.count() == 2
        again = await lead.facets.get("middle", Host).tool()
        assert again == tool
        assert await again.count() == 3

    await run(runtime, story)
