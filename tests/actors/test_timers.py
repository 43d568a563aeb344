"""`self.timers`: what an actor wants to be called for later."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from actors.testing import EPOCH, VirtualClock
from actors.ticks import SECOND, Backoff, Cron
from facets import Actor, LocalRuntime
from facets.errors import BadTimer, NoSuchMethod, NotCallable, NotStorable, TimerLimit

LOG: list[Any] = []


@pytest.fixture(autouse=True)
def _log() -> None:
    LOG.clear()


class Clocked(Actor, kind="TimersClocked"):
    async def do(self, op: str, *args: Any, **kwargs: Any) -> Any:
        return getattr(self.timers, op)(*args, **kwargs)

    async def do_and_fail(self, op: str, *args: Any) -> None:
        getattr(self.timers, op)(*args)
        raise ZeroDivisionError

    async def note(self, what: Any = None, **more: Any) -> None:
        current = self.timers.current
        assert current is not None
        self.kv["notes"] = [*self.kv.get("notes", []), what]
        LOG.append((what, current.scheduled_for - EPOCH, current.attempt))

    async def _private(self) -> None:
        self.kv["notes"] = [*self.kv.get("notes", []), "private"]

    async def fails(self, times: int) -> None:
        current = self.timers.current
        assert current is not None
        LOG.append((current.id, current.attempt))
        self.kv["undone"] = True
        if current.attempt <= times:
            raise ValueError(f"attempt {current.attempt}")

    async def notes(self) -> list[Any]:
        return list(self.kv.get("notes", []))

    async def has(self, key: str) -> bool:
        return key in self.kv

    async def stream(self) -> Any:
        yield 1

    def plain(self) -> None: ...


@pytest.fixture
async def actor(runtime: LocalRuntime) -> Clocked:
    return runtime.get(Clocked, "a")


async def test_after_calls_the_method_once_when_its_time_has_come(
    actor: Clocked, clock: VirtualClock
) -> None:
    await actor.do("after", 10, "note", "ten")
    await clock.run(9.9)
    assert LOG == []
    await clock.run(0.2)
    assert LOG == [("ten", 10.0, 1)]
    await clock.run(1000)
    assert await actor.notes() == ["ten"]
    assert await actor.do("list") == []


async def test_a_delivery_of_one_step_is_one_record_with_the_timers_end_in_it(
    runtime: LocalRuntime, actor: Clocked, clock: VirtualClock
) -> None:
    await actor.do("after", 1, "note")
    before = runtime.host.store.committed
    await clock.run(2)
    assert runtime.host.store.committed == before + 1
    assert await actor.do("list") == []


async def test_at_takes_a_moment_and_one_that_is_past_is_due_at_once(
    actor: Clocked, clock: VirtualClock
) -> None:
    await actor.do("at", datetime.fromtimestamp(EPOCH + 5, UTC), "note", "datetime")
    await actor.do("at", EPOCH + 3, "note", "seconds")
    await actor.do("at", 0, "note", "long ago")
    await clock.run(10)
    assert LOG == [("long ago", -EPOCH, 1), ("seconds", 3.0, 1), ("datetime", 5.0, 1)]


async def test_every_ticks_at_one_distance_until_it_is_cancelled(
    actor: Clocked, clock: VirtualClock
) -> None:
    await actor.do("every", 10, "note", name="tick")
    await clock.run(35)
    assert [when for _, when, _ in LOG] == [10.0, 20.0, 30.0]
    assert await actor.do("cancel", "tick") is True
    assert await actor.do("cancel", "tick") is False
    await clock.run(100)
    assert len(LOG) == 3


async def test_cron_follows_the_clock_of_its_zone(actor: Clocked, clock: VirtualClock) -> None:
    await actor.do("cron", "30 9 * * *", "note", "utc")
    await actor.do("cron", "30 9 * * *", "note", "berlin", tz="Europe/Berlin")
    await clock.run(2 * 86_400)
    hours = [(what, when / 3600) for what, when, _ in LOG]
    assert hours == [("berlin", 8.5), ("utc", 9.5), ("berlin", 32.5), ("utc", 33.5)]


@pytest.mark.parametrize("tz", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"])
@pytest.mark.parametrize("expression", ["30 2 * * *", "*/20 * * * *", "0 0 * * mon", "15 1 29 2 *"])
def test_ticks_go_on_over_the_days_on_which_clocks_are_set(tz: str, expression: str) -> None:
    rule = Cron(expression, tz)
    at = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp()) * SECOND
    for _ in range(200):
        tick = rule.after(at, at)
        assert at < tick < at + 9 * 366 * 86_400 * SECOND
        local = datetime.fromtimestamp(tick / SECOND, ZoneInfo(tz))
        if expression == "*/20 * * * *":
            assert local.minute % 20 == 0
            assert tick - at <= 3_600 * SECOND
        at = tick


async def test_ticks_that_were_missed_become_one(actor: Clocked, clock: VirtualClock) -> None:
    await actor.do("every", 10, "note")
    clock.advance(95)
    await clock.run(0)
    assert [when for _, when, _ in LOG] == [10.0]
    await clock.run(6)
    assert [when for _, when, _ in LOG] == [10.0, 100.0]


async def test_a_step_that_is_undone_schedules_nothing(actor: Clocked, clock: VirtualClock) -> None:
    with pytest.raises(ZeroDivisionError):
        await actor.do_and_fail("after", 1, "note")
    await clock.run(10)
    assert LOG == []
    await actor.do("after", 5, "note", name="kept")
    with pytest.raises(ZeroDivisionError):
        await actor.do_and_fail("cancel", "kept")
    await clock.run(10)
    assert len(LOG) == 1


async def test_a_named_timer_takes_the_place_of_the_one_of_its_name(
    actor: Clocked, clock: VirtualClock
) -> None:
    await actor.do("after", 5, "note", "first", name="x")
    await actor.do("after", 7, "note", "second", name="x")
    assert [one.args for one in await actor.do("list")] == [("second",)]
    await clock.run(10)
    assert await actor.notes() == ["second"]


async def test_list_tells_what_waits_the_next_first(actor: Clocked) -> None:
    await actor.do("cron", "0 0 1 1 *", "note", name="new year")
    second = await actor.do("every", 60, "note", {"a": 1}, retry=Backoff(attempts=2))
    await actor.do("after", 1, "_private")
    found = await actor.do("list")
    assert [one.method for one in found] == ["_private", "note", "note"]
    assert found[1].id == second
    assert (found[1].every, found[1].args, found[1].retry.attempts) == (60.0, ({"a": 1},), 2)
    assert (found[2].cron, found[2].tz, found[2].name) == ("0 0 1 1 *", "UTC", "new year")
    assert found[0].due == EPOCH + 1


async def test_a_private_method_may_be_scheduled_and_nothing_that_is_no_method(
    actor: Clocked, clock: VirtualClock
) -> None:
    await actor.do("after", 1, "_private")
    await clock.run(2)
    assert await actor.notes() == ["private"]
    for wrong in ("missing", "_missing"):
        with pytest.raises((NoSuchMethod, NotCallable)):
            await actor.do("after", 1, wrong)
    for wrong in ("plain", "stream", "on_start", "_active", "kv", "__init__", ""):
        with pytest.raises((NotCallable, NoSuchMethod)):
            await actor.do("after", 1, wrong)


async def test_what_raises_is_tried_again_with_growing_waits_and_the_same_id(
    actor: Clocked, clock: VirtualClock
) -> None:
    await actor.do("after", 1, "fails", 3, retry=Backoff(first=10, factor=3, jitter=0))
    due = []
    for _ in range(3):
        await clock.run(1)
        (found,) = await actor.do("list")
        due.append(round(found.due - EPOCH, 3))
        assert found.error == f"ValueError: attempt {found.attempt}"
        assert not await actor.has("undone")
        await clock.run(due[-1] - clock.time())
    assert [after - before for before, after in zip([1, *due], due, strict=False)] == [10, 30, 90]
    assert await actor.do("list") == []
    assert await actor.has("undone")
    assert [attempt for _, attempt in LOG] == [1, 2, 3, 4]
    assert len({number for number, _ in LOG}) == 1


async def test_what_fails_in_every_attempt_is_dead_until_it_is_revived_or_forgotten(
    actor: Clocked, clock: VirtualClock
) -> None:
    number = await actor.do("after", 1, "fails", 99, retry=Backoff(first=1, attempts=2))
    await clock.run(10)
    assert len(LOG) == 2
    assert await actor.do("list") == []
    (dead,) = await actor.do("dead")
    assert (dead.id, dead.due, dead.error) == (number, None, "ValueError: attempt 2")
    assert await actor.do("revive", number) is True
    assert await actor.do("revive", number) is False
    await clock.run(10)
    assert len(LOG) == 4
    assert await actor.do("forget", number) is True
    assert await actor.do("forget", number) is False
    assert await actor.do("dead") == []


async def test_a_tick_that_is_dead_does_not_end_the_ticking(
    actor: Clocked, clock: VirtualClock
) -> None:
    await actor.do("every", 100, "fails", 99, name="tick", retry=Backoff(first=1, attempts=2))
    await clock.run(150)
    (dead,) = await actor.do("dead")
    (goes_on,) = await actor.do("list")
    assert (dead.name, dead.every, dead.scheduled_for) == (None, None, EPOCH + 100)
    assert (goes_on.name, goes_on.attempt, goes_on.due) == ("tick", 0, EPOCH + 200)


async def test_the_jitter_of_a_wait_is_the_same_every_time_and_bounded() -> None:
    backoff = Backoff(first=10, factor=2, most=60, attempts=9, jitter=0.2)
    waits = [backoff.wait(failed, "1.2.3") for failed in range(1, 9)]
    assert waits == [backoff.wait(failed, "1.2.3") for failed in range(1, 9)]
    for wait, plain in zip(waits, [10, 20, 40, 60, 60, 60, 60, 60], strict=True):
        assert 0.8 * plain <= wait <= 1.2 * plain
    assert len({backoff.wait(1, f"{n}") for n in range(20)}) > 10
    assert Backoff(first=1e-9, factor=1e9, most=1e9).wait(1000, "x") < 1.2e9


async def test_current_is_of_the_delivery_and_of_no_other_call(actor: Clocked) -> None:
    with pytest.raises(AssertionError):
        await actor.note()


@pytest.mark.parametrize(
    ("op", "args", "error"),
    [
        ("after", (float("nan"), "note"), BadTimer),
        ("after", (-1, "note"), BadTimer),
        ("after", ("soon", "note"), BadTimer),
        ("after", (1e300, "note"), BadTimer),
        ("at", (datetime(2030, 1, 1), "note"), BadTimer),
        ("every", (0.5, "note"), TimerLimit),
        ("every", (float("nan"), "note"), TimerLimit),
        ("every", (float("inf"), "note"), BadTimer),
        ("cron", ("nonsense", "note"), BadTimer),
        ("cron", ("0 0 30 2 *", "note"), BadTimer),
        ("cron", ("* " * 1000, "note"), BadTimer),
        ("cancel", (None,), BadTimer),
        ("after", (1, "note", object), NotStorable),
        ("after", (1, "note", b"x" * 70_000), TimerLimit),
    ],
)
async def test_what_cannot_be_scheduled_is_refused_and_nothing_is_kept(
    actor: Clocked, op: str, args: Any, error: type[Exception]
) -> None:
    with pytest.raises(error):
        await actor.do(op, *args)
    assert await actor.do("list") == []


async def test_a_zone_that_does_not_exist_is_refused(actor: Clocked) -> None:
    with pytest.raises(BadTimer, match="Nowhere"):
        await actor.do("cron", "* * * * *", "note", tz="Nowhere/Land")
    with pytest.raises(BadTimer):
        await actor.do("cron", "* * * * *", "note", tz="../etc/passwd")


def test_a_backoff_that_cannot_be_followed_is_refused() -> None:
    for wrong in ({"first": 0}, {"factor": 0.5}, {"attempts": 0}, {"jitter": 1}, {"most": 1}):
        with pytest.raises(BadTimer):
            Backoff(**wrong)
