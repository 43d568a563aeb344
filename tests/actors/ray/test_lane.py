"""Calls of one process to one actor keep their order on every way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from actors.ray.lane import Lane


class Calls:
    """Calls on a lane; the test says which way is right, and what comes back."""

    def __init__(self) -> None:
        self.lane: Lane[str] = Lane()
        self.way = "old"
        self.sent: list[tuple[int, str]] = []
        self.answers: dict[int, asyncio.Future[bool]] = {}

    async def call(self, name: int) -> None:
        with self.lane.place() as place:
            while True:
                while not self.lane.may(place, way := self.way):
                    await self.lane.change(place)
                self.sent.append((name, way))
                answer = self.answers[name] = asyncio.get_running_loop().create_future()
                if await answer:
                    return
                self.lane.back(place)
                await asyncio.sleep(0)

    def make(self, *names: int) -> list[asyncio.Task[None]]:
        return [asyncio.ensure_future(self.call(name)) for name in names]


async def turns(until: Callable[[], object]) -> None:
    for _ in range(100):
        if until():
            return
        await asyncio.sleep(0)
    raise AssertionError("nothing happens any more")


async def test_calls_that_come_back_are_sent_again_in_order_and_before_new_ones() -> None:
    calls = Calls()
    tasks = calls.make(1, 2, 3)
    await turns(lambda: len(calls.sent) == 3)
    calls.way = "new"
    tasks += calls.make(4)
    calls.answers[2].set_result(False)
    calls.answers[3].set_result(False)
    for _ in range(20):
        await asyncio.sleep(0)
    assert calls.sent == [(1, "old"), (2, "old"), (3, "old")], "the first one is still out"
    calls.answers[1].set_result(False)
    await turns(lambda: len(calls.sent) == 7)
    assert calls.sent[3:] == [(1, "new"), (2, "new"), (3, "new"), (4, "new")]
    for answer in calls.answers.values():
        answer.set_result(True)
    await asyncio.gather(*tasks)
    assert not len(calls.lane)


async def test_a_call_that_is_given_up_lets_those_behind_it_go_on() -> None:
    calls = Calls()
    first, *others = calls.make(1, 2, 3)
    await turns(lambda: len(calls.sent) == 3)
    calls.way = "new"
    calls.answers[2].set_result(False)
    calls.answers[3].set_result(False)
    for _ in range(20):
        await asyncio.sleep(0)
    others[0].cancel()
    first.cancel()
    await turns(lambda: len(calls.sent) == 4)
    assert calls.sent[3:] == [(3, "new")]
    calls.answers[3].set_result(True)
    await asyncio.gather(*others, return_exceptions=True)


@pytest.mark.parametrize("answered", [0, 1])
async def test_what_was_answered_by_the_old_host_is_waited_for_by_nobody(answered: int) -> None:
    calls = Calls()
    tasks: list[Any] = calls.make(0, 1)
    await turns(lambda: len(calls.sent) == 2)
    calls.way = "new"
    calls.answers[answered].set_result(True)
    calls.answers[1 - answered].set_result(False)
    await turns(lambda: (1 - answered, "new") in calls.sent)
    calls.answers[1 - answered].set_result(True)
    await asyncio.gather(*tasks)
