"""Cancelling a caller, wherever its chain of calls happens to be, leaves consistent states."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors import Actor, LocalRuntime
from actors.deadline import deadline
from actors.errors import DeadlineExceeded
from actors.testing import VirtualClock
from actors.transaction import Block

Script = list[str]
CHAIN = 3


class Link(Actor):
    """Runs the first of some scripts, whose calls run the rest in the next actor.

    A step counts up `left` and `right`, in this order: they differ only inside a step.
    """

    migrations = ("create table sides(left, right, blocks)", "insert into sides values (0, 0, 0)")

    async def run(self, scripts: list[Script], others: list[Link]) -> None:
        for word in scripts[0]:
            await self._do(word, scripts, others)

    async def _do(self, word: str, scripts: list[Script], others: list[Link]) -> None:
        if word == "write":
            self.sql("update sides set left = left + 1")
            self.sql("update sides set right = right + 1")
        elif word == "wait":
            await asyncio.sleep(0)
        elif word == "lose":
            await self._lose()
        elif word == "task" and others:
            await asyncio.gather(others[0].run(scripts[1:], others[1:]), self._pause())
        elif word == "call" and others:
            await others[0].run(scripts[1:], others[1:])
        elif word == "block":
            await self._block(others)

    async def _pause(self) -> None:
        self.sql("update sides set left = left + 1, right = right + 1")
        await asyncio.sleep(0)

    async def _lose(self) -> None:
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            self.sql("update sides set left = left + 1")  # in the step that is undone
            raise

    async def _block(self, others: list[Link]) -> None:
        """Every actor from here on counts one block more, or none does."""
        async with Block(60):
            await self.tick()
            await asyncio.sleep(0)
            for other in others:
                await other.tick()
                await asyncio.sleep(0)

    async def tick(self) -> None:
        self.sql("update sides set blocks = blocks + 1")
        await asyncio.sleep(0)

    async def sides(self) -> tuple[int, int, int]:
        return tuple(self.sql("select left, right, blocks from sides").one())  # type: ignore[return-value]


async def outcome(
    runtime: LocalRuntime, case: str, scripts: list[Script], turns: int, clock: VirtualClock | None
) -> tuple[bool, list[tuple[int, int, int]]]:
    """Run the chain and give it up after so many turns: whether it was, and all states."""
    links = [runtime.get(Link, f"{case} {i}") for i in range(CHAIN)]

    async def work() -> None:
        if clock is None:
            await links[0].run(scripts, links[1:])
            return
        with deadline(1):
            await links[0].run(scripts, links[1:])

    running = asyncio.create_task(work())
    for _ in range(turns):
        await asyncio.sleep(0)
    if clock is None:
        running.cancel()
    else:
        clock.advance(1)
    result: Any
    (result,) = await asyncio.gather(running, return_exceptions=True)
    assert result is None or isinstance(result, (asyncio.CancelledError, DeadlineExceeded)), result
    assert runtime.stats().calls == 0
    return result is not None, [await link.sides() for link in links]


WORDS = ["write", "lose", "wait", "call", "task", "block"]


@settings(max_examples=20, deadline=None)
@given(
    scripts=st.lists(
        st.lists(st.sampled_from(WORDS), min_size=1, max_size=3), min_size=CHAIN, max_size=CHAIN
    ),
    by_deadline=st.booleans(),
)
def test_a_cancellation_at_any_await_of_a_chain_leaves_whole_steps_and_whole_blocks(
    tmp_path_factory: pytest.TempPathFactory,
    scripts: list[Script],
    by_deadline: bool,
) -> None:
    async def all_turns() -> None:
        clock = VirtualClock()
        async with LocalRuntime(tmp_path_factory.mktemp("chain"), clock=clock) as runtime:
            given_up, turns = True, 0
            while given_up:
                case = f"at {turns}"
                given_up, states = await outcome(
                    runtime, case, scripts, turns, clock if by_deadline else None
                )
                assert all(left == right for left, right, _ in states)
                blocks = [blocks for _, _, blocks in states]
                assert blocks == sorted(blocks)  # an actor's block counts in all that follow it
                turns += 1

    asyncio.run(all_turns())
