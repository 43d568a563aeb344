"""Runs of sub-agents: queued, given up in time, with a reason, and found again after a crash."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from facets.agents import (
    Agent,
    Progressed,
    Run,
    TurnLimits,
    as_tool,
    tool,
)
from facets.errors import NoSuchRun
from facets.testing import MemoryRuntime
from tests.facets.agents.test_turns import DOORS, call, script

HEARD: list[str] = []
BEGUN: list[str] = []
LOCKED: list[bool] = []


def door(name: str) -> asyncio.Event:
    return DOORS.setdefault(name, asyncio.Event())


class Guest(Agent):
    """Waits at a door."""

    model = script([call("stand")], "came in")

    async def on_start(self) -> None:
        if LOCKED:
            raise PermissionError("locked out")

    @tool(seconds=None)
    async def stand(self) -> str:
        """Wait."""
        BEGUN.append(self.path[-1][1])
        await self.progress("at the door", 0.1, milestone="arrived", data={"hat": True})
        await door("door").wait()
        return "in"


class Walker(Agent):
    """Takes a step for each response, when a door is opened for it."""

    model = script([call("walk")], [call("walk")], [call("walk")], "there")

    @tool(seconds=None)
    async def walk(self) -> None:
        """Walk."""
        BEGUN.append(self.path[-1][1])
        here = len(BEGUN)
        await door(f"door {here}").wait()


class Host(Agent):
    model = script([call("guest", {"prompt": "come"})], "over")
    tools = (as_tool(Guest),)

    async def on_run_started(self, run: Run) -> None:
        HEARD.append(f"started {run.id}")

    async def on_progress(self, run: Run, progress: Progressed) -> None:
        HEARD.append(f"{progress.message} {progress.data} {run.milestones}")

    async def on_run_finished(self, run: Run) -> None:
        HEARD.append(f"{run.status} {run.reason} {run.retryable}")

    async def end(self, how: str) -> None:
        (run,) = await self.runs("running")
        if how == "delete":
            self.agents.delete(run.kind, run.name)
        elif how == "abort":
            self.agents.abort(run.kind, run.name)
        else:
            self.facets.abort(f"{run.kind}\x1f{run.name}", RuntimeError("broken"))

    async def told(self) -> list[str]:
        return [
            part.model_response_str()
            for one in self.session.history()
            for part in one.parts
            if part.part_kind == "tool-return"
        ]

    async def their_turns(self) -> list[str]:
        found = [self.agents.get(Guest, one.name) for one in self.agents.list()]
        return [turn.status for child in found for turn in await child.turns()]

    async def timed(self) -> list[str]:
        return [str(one.name) for one in self.timers.list() if one.name]


class Detached(Host):
    tools = (as_tool(Guest, detached=True, seconds=60),)


@pytest.fixture
async def runtime() -> AsyncIterator[MemoryRuntime]:
    for one in (HEARD, BEGUN, LOCKED, DOORS):
        one.clear()
    async with MemoryRuntime() as runtime:
        yield runtime


async def until(true: Any) -> None:
    while not (await true() if asyncio.iscoroutinefunction(true) else true()):
        await asyncio.sleep(0)


async def asked(runtime: MemoryRuntime, cls: type[Host]) -> Host:
    """An agent that has one run, which waits at the door."""
    host = runtime.get(cls, "a")
    await host.submit("go", id="1")
    await until(lambda: BEGUN)
    return host


async def test_runs_beyond_the_most_wait_and_begin_in_order(runtime: MemoryRuntime) -> None:
    class Small(Host):
        model = script([call("guest", {"prompt": str(n)}) for n in range(5)], "over")
        max_runs = 2

    small = runtime.get(Small, "a")
    await small.submit("go", id="1")
    await until(lambda: len(BEGUN) == 2)
    assert [run.id for run in await small.runs("running")] == ["1:1:1", "1:1:0"]
    assert [run.id for run in await small.runs("queued")] == ["1:1:4", "1:1:3", "1:1:2"]
    assert await small.cancel_run("1:1:0")
    await until(lambda: len(BEGUN) == 3)
    assert len(await small.runs("running")) == 2
    door("door").set()
    assert (await small.wait("1")).status == "completed"
    assert [f"1:1:{n}" for n in range(5)] == BEGUN
    assert [one for one in HEARD if "started" in one] == [f"started 1:1:{n}" for n in range(5)]
    assert '"reason":"cancelled","retryable":false' in (await small.told())[0]


async def test_queued_runs_that_are_detached_begin_in_order_after_a_crash(
    runtime: MemoryRuntime,
) -> None:
    class Small(Detached):
        model = script([call("guest", {"prompt": str(n)}) for n in range(3)], "over")
        max_runs = 1

    small = await asked(runtime, Small)
    await small.wait("1")
    await runtime.crash()
    door("door").set()
    runtime.register(Small)
    runtime.register(Guest)
    await runtime.clock.run(40)
    small = runtime.get(Small, "a")
    assert [(await small.wait_run(f"1:1:{n}")).output for n in range(3)] == ["came in"] * 3
    assert list(dict.fromkeys(BEGUN)) == [f"1:1:{n}" for n in range(3)]
    assert HEARD.count("completed None False") == 3


async def test_a_run_that_takes_longer_than_it_has_is_given_up_and_its_turn_cancelled(
    runtime: MemoryRuntime,
) -> None:
    host = await asked(runtime, Detached)
    await host.wait("1")
    await runtime.clock.run(55)
    assert (await host.runs())[0].status == "running"
    await runtime.clock.run(20)
    run = await host.wait_run("1:1:0")
    assert (run.status, run.reason, run.retryable) == ("error", "deadline", False)
    assert HEARD[-1] == "error deadline False"

    async def stopped() -> bool:
        return await host.their_turns() == ["aborted"]

    await until(stopped)
    await runtime.clock.run(20)
    assert await host.timed() == []
    assert HEARD.count("error deadline False") == 1


async def test_a_turn_that_waits_for_a_run_goes_on_when_that_is_given_up(
    runtime: MemoryRuntime,
) -> None:
    class Hasty(Host):
        tools = (as_tool(Guest, seconds=60),)

    host = await asked(runtime, Hasty)
    await runtime.clock.run(75)
    assert (await host.wait("1")).output == "over"
    (told,) = await host.told()
    assert '"status":"error"' in told
    assert '"reason":"deadline"' in told


async def test_a_run_that_is_silent_for_too_long_is_given_up(runtime: MemoryRuntime) -> None:
    class Impatient(Host):
        tools = (as_tool(Guest, detached=True, patience=30),)

    host = await asked(runtime, Impatient)
    await host.wait("1")
    await runtime.clock.run(25)
    assert (await host.runs())[0].message == "at the door"
    await runtime.clock.run(40)  # 30 s later it is asked, and has had a response; 30 s, not
    assert HEARD[-1] == "error no_progress True"
    assert (await host.wait_run("1:1:0")).milestones == ("arrived",)


async def test_a_run_whose_model_goes_on_is_not_silent(runtime: MemoryRuntime) -> None:
    class Patient(Host):
        model = script([call("walker", {"prompt": "go"})], "over")
        tools = (as_tool(Walker, detached=True, patience=30),)

    host = await asked(runtime, Patient)
    await host.wait("1")
    for n in (1, 2):
        await runtime.clock.run(25)
        door(f"door {n}").set()
        await until(lambda n=n: len(BEGUN) == n + 1)
    await runtime.clock.run(20)
    assert (await host.runs())[0].status == "running"
    await runtime.clock.run(40)
    assert HEARD[-1] == "error no_progress True"


async def test_time_in_which_the_process_was_dead_is_not_a_runs_silence(
    runtime: MemoryRuntime,
) -> None:
    class Impatient(Host):
        tools = (as_tool(Guest, detached=True, patience=30),)

    host = await asked(runtime, Impatient)
    await host.wait("1")
    await runtime.clock.run(45)  # it was asked, and has had a response
    await runtime.crash()
    await runtime.clock.run(300)
    runtime.register(Impatient)
    await runtime.clock.run(15)
    host = runtime.get(Impatient, "a")
    assert (await host.runs())[0].status == "running"
    door("door").set()
    assert (await host.wait_run("1:1:0")).output == "came in"


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("delete", ("interrupted", "deleted", False)),
        ("abort", ("interrupted", "aborted", True)),
        ("break", ("interrupted", "crashed", True)),
    ],
)
async def test_a_run_whose_sub_agent_ends_says_how(
    runtime: MemoryRuntime, how: str, says: tuple[str, str, bool]
) -> None:
    host = await asked(runtime, Host)
    await host.end(how)
    run = await host.wait_run("1:1:0")
    assert (run.status, run.reason, run.retryable) == says
    assert (await host.wait("1")).output == "over"
    assert f'"reason":"{says[1]}"' in (await host.told())[0]


async def test_a_detached_run_is_over_when_its_sub_agent_is_deleted(
    runtime: MemoryRuntime,
) -> None:
    host = await asked(runtime, Detached)
    await host.wait("1")
    await host.end("delete")
    run = await host.wait_run("1:1:0")
    assert (run.status, run.reason) == ("interrupted", "deleted")
    assert HEARD[-1] == "interrupted deleted False"


async def test_a_detached_run_goes_on_when_its_sub_agent_was_aborted(
    runtime: MemoryRuntime,
) -> None:
    host = await asked(runtime, Detached)
    await host.wait("1")
    await host.end("abort")
    door("door").set()
    await runtime.clock.run(15)
    assert (await host.wait_run("1:1:0")).output == "came in"


async def test_a_run_that_used_up_its_budget_says_so(runtime: MemoryRuntime) -> None:
    class Spender(Agent):
        model = script([call("spend")])
        limits = TurnLimits(tokens=20)

        @tool
        async def spend(self) -> None:
            """Spend."""

    class Rich(Host):
        model = script([call("spender", {"prompt": "go"})], "over")
        tools = (as_tool(Spender),)

    host = runtime.get(Rich, "a")
    await host.run("go")
    (run,) = await host.runs()
    assert (run.status, run.reason, run.retryable) == ("error", "budget", False)


async def test_a_run_that_is_cancelled_ends_its_turn_and_is_told_once(
    runtime: MemoryRuntime,
) -> None:
    host = await asked(runtime, Detached)
    await host.wait("1")
    assert await host.cancel_run("1:1:0")
    assert not await host.cancel_run("1:1:0")
    with pytest.raises(NoSuchRun):
        await host.cancel_run("1:1:1")

    async def stopped() -> bool:
        return await host.their_turns() == ["aborted"]

    await until(stopped)
    await runtime.clock.run(20)
    assert [one for one in HEARD if "cancelled" in one] == ["aborted cancelled False"]


async def test_progress_has_milestones_and_data_which_stay_with_the_run_and_its_events(
    runtime: MemoryRuntime,
) -> None:
    host = await asked(runtime, Host)
    door("door").set()
    await host.wait("1")
    (progress,) = [one async for one in host.events("1") if isinstance(one, Progressed)]
    assert progress == Progressed("1:1:0", "at the door", 0.1, "arrived", {"hat": True})
    assert HEARD[1] == "at the door {'hat': True} ('arrived',)"
    (run,) = await host.runs("completed")
    assert (run.message, run.fraction, run.milestones) == ("at the door", 0.1, ("arrived",))


async def test_a_sub_agent_that_cannot_be_reached_has_not_failed(runtime: MemoryRuntime) -> None:
    LOCKED.append(True)
    host = runtime.get(Detached, "a")
    await host.submit("go", id="1")
    assert (await host.wait("1")).output == "over"
    (run,) = await host.runs()
    assert run.status == "running"
    assert "locked out" in (run.error or "")
    LOCKED.clear()
    door("door").set()
    await runtime.clock.run(15)
    run = await host.wait_run("1:1:0")
    assert (run.output, run.error) == ("came in", None)


async def test_a_turn_cancelled_while_nobody_drives_it_leaves_no_run_behind(
    runtime: MemoryRuntime,
) -> None:
    class Small(Host):
        max_runs = 1

        async def on_start(self) -> None:
            if LOCKED:
                await self.cancel("1")

    host = await asked(runtime, Small)
    assert len(await host.runs("running")) == 1
    await runtime.crash()
    LOCKED.append(True)
    host = runtime.get(Small, "a")
    assert (await host.turn("1")).status == "aborted"
    await runtime.clock.run(15)
    assert (await host.wait_run("1:1:0")).reason == "cancelled"


@pytest.mark.parametrize("cls", [Host, Detached])
async def test_who_waits_for_a_run_asks_again_after_a_crash(
    runtime: MemoryRuntime, cls: type[Host]
) -> None:
    await asked(runtime, cls)
    await runtime.crash()
    runtime.register(cls)
    waiting = asyncio.ensure_future(runtime.get(cls, "a").wait_run("1:1:0"))
    if cls is Host:
        await runtime.clock.run(15)  # its turn goes on, and asks for the run again
    door("door").set()
    assert (await waiting).output == "came in"
    assert len(await runtime.get(cls, "a").runs()) == 1


async def test_a_hook_that_fails_is_undone_holds_up_no_other_run_and_hears_of_it_again(
    runtime: MemoryRuntime,
) -> None:
    class Clumsy(Detached):
        model = script([call("guest", {"prompt": str(n)}) for n in range(2)], "over")

        async def on_run_finished(self, run: Run) -> None:
            self.kv[run.id] = True
            if run.id == "1:1:0" and LOCKED:
                LOCKED.clear()
                raise ValueError("not now")
            HEARD.append(run.id)

        async def kept(self) -> list[str]:
            return list(self.kv)

    clumsy: Any = await asked(runtime, Clumsy)
    await clumsy.wait("1")
    LOCKED.append(True)
    told: list[Any] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: told.append(context["exception"]))
    try:
        await runtime.clock.run(65)
        assert HEARD[-1] == "1:1:1"
        assert await clumsy.kept() == ["1:1:1"]
        await runtime.clock.run(10)
    finally:
        loop.set_exception_handler(None)
    assert HEARD[-1] == "1:1:0"
    assert [str(one) for one in told] == ["not now"]
