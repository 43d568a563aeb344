"""Who drives a branch, who ends a turn, and what either costs when there are many."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest

from facets.agents import Agent, Run, Turn, as_tool, tool
from facets.agents.approvals import Approvals
from facets.agents.turns import Turns
from facets.testing import MemoryRuntime
from tests.facets.agents.test_turns import call, script

DOOR: dict[str, asyncio.Event] = {}
FAILED: list[str] = []


class Payer(Agent):
    model = script([call("pay")], "paid")

    @tool(approval=True)
    async def pay(self) -> str:
        """Pay."""
        return "paid"

    async def change_of_mind(self, turn: str) -> None:
        (one,) = await self.approvals()
        await self.approve(one.id)
        await self.cancel(turn)


class Newest(Agent):
    """The last prompt counts."""

    concurrency = "latest"
    model = script([call("rest")], "done")

    @tool(seconds=None)
    async def rest(self) -> None:
        """Rest."""
        DOOR["here"].set()
        await DOOR["open"].wait()

    async def make_way(self) -> None:
        turns = self._turns.open("main")
        for one in (*turns, *turns):
            await self._driver.cancel(one, "made way")


class Child(Agent):
    model = script("done")


class Parent(Agent):
    """Hears of two runs of one sub-agent, and fails over the first."""

    model = script([call("child", {"prompt": "a"}), call("child", {"prompt": "b"})], "over")
    tools = (as_tool(Child, detached=True, agent="one"),)

    async def on_run_finished(self, run: Run) -> None:
        if run.id.endswith(":0"):
            FAILED.append(run.id)
            raise RuntimeError("cannot hear of this one")
        DOOR["heard"].set()


@pytest.fixture
async def runtime() -> AsyncIterator[MemoryRuntime]:
    FAILED.clear()
    names = ("here", "open", "heard")
    DOOR.update({name: asyncio.Event() for name in names})
    async with MemoryRuntime() as runtime:
        yield runtime


async def test_a_turn_cancelled_before_its_driver_runs_leaves_its_branch_free(
    runtime: MemoryRuntime,
) -> None:
    payer: Any = runtime.get(Payer, "a")
    await payer.submit("pay", id="1")
    async with asyncio.timeout(10):
        while (await payer.turn("1")).status != "paused":
            await asyncio.sleep(0)
        await payer.change_of_mind("1")
        assert (await payer.wait("1")).status == "aborted"
        await payer.submit("pay", id="2")
        while (await payer.turn("2")).status != "paused":
            await asyncio.sleep(0.01)


async def test_whoever_ends_turns_by_an_old_list_ends_none_twice(runtime: MemoryRuntime) -> None:
    newest: Any = runtime.get(Newest, "a")
    await newest.submit("go", id="1")
    await DOOR["here"].wait()
    await newest.make_way()
    assert (await newest.wait("1")).error == "made way"


async def test_a_report_that_the_parent_cannot_take_holds_up_no_other(
    runtime: MemoryRuntime,
) -> None:
    parent: Any = runtime.get(Parent, "a")
    await parent.run("go")
    await asyncio.wait_for(DOOR["heard"].wait(), 5)
    assert FAILED


async def test_a_submit_reads_none_of_those_that_wait(
    runtime: MemoryRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [0]
    find = Turns._find

    def counted(self: Turns, like: str, *args: Any) -> list[Turn]:
        found = find(self, like, *args)
        rows[0] += len(found)
        return found

    class Queue(Newest):
        concurrency = "queue"

    queue: Any = runtime.get(Queue, "a")
    await queue.submit("go")
    await DOOR["here"].wait()
    monkeypatch.setattr(Turns, "_find", counted)
    for _ in range(100):
        await queue.submit("go")
    assert rows[0] < 1000


@pytest.mark.parametrize("asked", ["unreported", "pending", "of a turn"])
async def test_what_each_step_asks_is_found_by_an_index(runtime: MemoryRuntime, asked: str) -> None:
    class Looking(Child):
        async def plan(self) -> str:
            said: list[Any] = []
            stand: Any = SimpleNamespace(
                sql=SimpleNamespace(unsafe=lambda *a: said.append(a) or [])
            )
            if asked == "unreported":
                Turns(stand).unreported()
            else:
                Approvals(stand).list("pending" if asked == "pending" else None, "a turn")
            ((query, *args),) = said
            return str(self.sql.unsafe(f"explain query plan {query}", *args).all())

    looking: Any = runtime.get(Looking, "a")
    plan = await looking.plan()
    assert "SEARCH" in plan or "USING INDEX" in plan
