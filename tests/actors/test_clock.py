"""The clocks: the machine's and the one that a test moves."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar

import pytest

from actors import LocalRuntime
from actors.clock import SystemClock, Timeout
from actors.testing import VirtualClock
from facets import Actor

SET: ContextVar[str] = ContextVar("set", default="")


class Quiet(Actor):
    async def write(self) -> None:
        self.kv["n"] = 1


async def test_a_virtual_clock_calls_what_is_due_in_order_and_each_at_its_own_time(
    clock: VirtualClock,
) -> None:
    seen: list[tuple[str, float]] = []
    began = clock.now()

    def first() -> None:
        seen.append(("first", clock.time()))
        clock.call_at(3.0, lambda: seen.append(("of the first", clock.time())))

    clock.call_at(4.0, lambda: seen.append(("second", clock.time())))
    clock.call_at(2.0, first)
    clock.call_at(2.5, lambda: seen.append(("never", clock.time()))).cancel()
    clock.advance(4.0)

    assert seen == [("first", 2.0), ("of the first", 3.0), ("second", 4.0)]
    assert clock.now() - began == clock.time() == 4.0
    assert clock.next is None


async def test_tasks_come_to_rest_between_two_jumps_of_run(clock: VirtualClock) -> None:
    seen: list[float] = []
    tasks: list[asyncio.Task[None]] = []

    async def work() -> None:
        for _ in range(5):
            await asyncio.sleep(0)
        seen.append(clock.time())

    for due in (1.0, 2.0):
        clock.call_at(due, lambda: tasks.append(asyncio.ensure_future(work())))
    await clock.run(10.0)

    assert seen == [1.0, 2.0]
    assert clock.time() == 10.0


async def test_run_waits_for_a_thread_that_holds_the_clock(clock: VirtualClock) -> None:
    seen: list[float] = []
    tasks: list[asyncio.Task[None]] = []

    async def work() -> None:
        with clock.hold():
            await asyncio.to_thread(lambda: None)
            seen.append(clock.time())

    clock.call_at(1.0, lambda: tasks.append(asyncio.ensure_future(work())))
    clock.call_at(2.0, lambda: seen.append(-1.0))
    await clock.run(3.0)

    assert seen == [1.0, -1.0]


async def test_run_goes_on_when_what_holds_the_clock_waits_for_it() -> None:
    clock = VirtualClock(patience=0.01)

    async def work() -> str:
        with clock.hold():
            try:
                async with Timeout(clock, 5.0):
                    await asyncio.Event().wait()
            except TimeoutError:
                return f"late at {clock.time()}"
            return "never"

    task = asyncio.ensure_future(work())
    await clock.run(6.0)
    assert await task == "late at 5.0"


@pytest.mark.parametrize("made", [VirtualClock, SystemClock])
async def test_an_alarm_runs_as_code_of_nobody(made: type[VirtualClock | SystemClock]) -> None:
    clock, done = made(), asyncio.get_running_loop().create_future()
    SET.set("by the test")
    clock.call_at(clock.time(), lambda: done.set_result(SET.get()))
    if isinstance(clock, VirtualClock):
        clock.advance(0.0)

    assert await done == ""


async def test_a_timeout_that_is_left_in_time_cancels_nothing(clock: VirtualClock) -> None:
    async with Timeout(clock, 1.0):
        await asyncio.sleep(0)
    clock.advance(2.0)
    await asyncio.sleep(0)
    assert clock.next is None


async def test_idle_actors_sleep_by_the_clock_of_the_runtime(
    runtime: LocalRuntime, clock: VirtualClock
) -> None:
    await runtime.get(Quiet, "q").write()
    await clock.run(50.0)
    assert runtime.stats().awake == 1
    await clock.run(50.0)
    assert runtime.stats().awake == 0
