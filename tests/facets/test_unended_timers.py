"""Timers whose delivery ends the process: given up like any that fails."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from actors import delivery, unended
from facets import Actor, Backoff
from facets.testing import MemoryRuntime

DIED = delivery.said(unended.DIED)
RETRY = Backoff(first=10, factor=1, attempts=3, jitter=0)


def live(state: Path, where: str) -> tuple[int, Any]:
    """One life of the worker: how it ended, and what it said."""
    command = [sys.executable, "-m", "tests.facets.poison_worker", str(state), where]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.stderr == ""
    return ended.returncode, json.loads(ended.stdout or "null")


def lives(state: Path, where: str) -> tuple[int, Any]:
    """How many lives until it is over, and what the last said."""
    for number in range(1, 10):
        code, said = live(state, where)
        if code == 0:
            return number, said
        assert code == -signal.SIGKILL
    raise AssertionError("it kills every process")


def test_a_timer_that_kills_its_process_is_given_up_after_its_attempts(state: Path) -> None:
    number, said = lives(state, "method")

    assert said["dead"] == [["poison", 1, DIED]]
    assert (said["left"], said["sound"]) == ([], 1)
    assert number == 3  # the first is not counted, the second is, and the last one gives it up


def test_an_actor_that_kills_its_process_when_it_starts_for_a_timer_loses_the_timer(
    state: Path,
) -> None:
    _, said = lives(state, "start")

    assert said == {"dead": [["poison", 1, DIED]], "left": [], "sound": None}


class Slow(Actor):
    def __init__(self) -> None:
        self.seen: list[int] = []

    async def plan(self, seconds: float) -> None:
        self.timers.after(1, self.work, seconds, name="slow", retry=RETRY)

    async def work(self, seconds: float) -> None:
        current = self.timers.current
        assert current is not None
        self.seen.append(current.attempt)
        await asyncio.sleep(0)
        await asyncio.Event().wait()

    async def attempts(self) -> tuple[list[int], list[int], list[str | None]]:
        return (
            self.seen,
            [one.attempt for one in self.timers.list()],
            [one.error for one in self.timers.dead()],
        )


async def begin_again(runtime: MemoryRuntime) -> Slow:
    await runtime.crash()
    slow = runtime.get(Slow, "a")
    await runtime.clock.run(0)
    return slow


async def test_attempts_that_no_process_survived_wait_and_count_as_others_do() -> None:
    async with MemoryRuntime() as runtime:
        await runtime.get(Slow, "a").plan(1)
        await runtime.clock.run(2)
        assert await runtime.get(Slow, "a").attempts() == ([1], [0], [])

        slow = await begin_again(runtime)  # it was under way once, and nothing tells of that
        assert await slow.attempts() == ([1], [0], [])
        slow = await begin_again(runtime)  # now something does
        assert await slow.attempts() == ([], [1], [])
        await runtime.clock.run(11)
        assert await slow.attempts() == ([2], [1], [])
        slow = await begin_again(runtime)
        await runtime.clock.run(11)
        assert await slow.attempts() == ([3], [2], [])
        slow = await begin_again(runtime)
        assert await slow.attempts() == ([], [], [DIED])


async def test_a_delivery_that_closing_interrupts_has_not_failed() -> None:
    async with MemoryRuntime() as runtime:
        await runtime.get(Slow, "a").plan(1)
        await runtime.clock.run(2)
        for _ in range(5):
            await runtime.close()
            await runtime.open()
            slow = runtime.get(Slow, "a")
            await runtime.clock.run(0)

            assert await slow.attempts() == ([1], [0], [])
