"""Lives: start, sleep, wake, close, restart."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from actors import Actor, LocalRuntime
from actors.errors import RuntimeClosed
from actors.testing import VirtualClock


class Sleeper(Actor):
    async def on_start(self) -> None:
        self.kv["starts"] = self.kv.get("starts", 0) + 1
        self.memory = 0

    async def on_stop(self) -> None:
        self.kv["stops"] = self.kv.get("stops", 0) + 1

    async def seen(self) -> dict[str, int]:
        self.memory += 1
        return {"memory": self.memory, **dict(self.kv)}

    async def forever(self) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            self.kv["cleanup"] = 1

    async def leave_a_task(self) -> None:
        self.task = asyncio.create_task(asyncio.Event().wait())

    async def end_the_task(self) -> None:
        self.task.cancel()


class Stubborn(Actor):
    tries = 0

    async def on_start(self) -> None:
        Stubborn.tries += 1
        self.kv["tries"] = Stubborn.tries
        if Stubborn.tries == 1:
            raise ConnectionError("not yet")

    async def written(self) -> list[tuple[str, int]]:
        return self.kv.list()


async def test_on_start_runs_once_and_an_idle_actor_sleeps_and_wakes(
    runtime: LocalRuntime, clock: VirtualClock
) -> None:
    sleeper = runtime.get(Sleeper, "a")
    assert await sleeper.seen() == {"memory": 1, "starts": 1}
    assert await sleeper.seen() == {"memory": 2, "starts": 1}
    assert runtime.sweep() == 0
    clock.advance(59)
    assert runtime.sweep() == 0
    await clock.run(2)
    assert runtime.stats().awake == 0
    assert await sleeper.seen() == {"memory": 1, "starts": 2, "stops": 1}


async def test_an_actor_with_a_call_or_a_task_stays_awake(
    runtime: LocalRuntime, clock: VirtualClock
) -> None:
    sleeper = runtime.get(Sleeper, "a")
    call = asyncio.create_task(sleeper.forever())
    await sleeper.leave_a_task()
    await clock.run(1000)
    assert runtime.sweep() == 0
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    assert runtime.sweep() == 0
    await sleeper.end_the_task()
    await asyncio.sleep(0)
    assert runtime.stats().awake == 1
    clock.advance(1000)
    assert runtime.stats().awake == 0


async def test_a_failed_start_is_the_callers_error_and_the_next_call_tries_again(
    runtime: LocalRuntime,
) -> None:
    Stubborn.tries = 0
    stubborn = runtime.get(Stubborn, "a")
    outcomes = await asyncio.gather(*[stubborn.written() for _ in range(3)], return_exceptions=True)
    assert [type(one) for one in outcomes] == [ConnectionError] * 3
    assert await stubborn.written() == [("tries", 2)]


async def test_closing_runs_on_stop_and_the_next_runtime_continues(state: Path) -> None:
    async with LocalRuntime(state) as runtime:
        await runtime.get(Sleeper, "a").seen()
    async with LocalRuntime(state) as runtime:
        assert await runtime.get(Sleeper, "a").seen() == {"memory": 1, "starts": 2, "stops": 1}


async def test_closing_interrupts_calls_in_progress(state: Path) -> None:
    runtime = await LocalRuntime(state).open()
    sleeper = runtime.get(Sleeper, "a")
    call = asyncio.create_task(sleeper.forever())
    await sleeper.seen()
    await runtime.close()
    with pytest.raises(RuntimeClosed):
        await call
    with pytest.raises(RuntimeClosed):
        await sleeper.seen()
    async with LocalRuntime(state) as again:
        assert "cleanup" not in await again.get(Sleeper, "a").seen()


async def test_a_runtime_can_be_opened_and_closed_again(state: Path) -> None:
    runtime = LocalRuntime(state)
    for starts in (1, 2):
        await runtime.open()
        assert (await runtime.get(Sleeper, "a").seen())["starts"] == starts
        await runtime.close()
