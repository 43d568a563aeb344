"""Steps: the code between two awaits is one transaction."""

from __future__ import annotations

import asyncio
import contextvars

import pytest

from actors import Actor, LocalRuntime
from storage.errors import ConstraintError, TransactionAcrossAwait

leak = contextvars.ContextVar("leak", default="clean")


class Ledger(Actor):
    migrations = ("create table log(what text unique)",)

    def note(self, what: str) -> None:
        self.sql("insert into log values (?)", what)

    async def all(self) -> list[str]:
        return [row.what for row in self.sql("select what from log order by rowid")]

    async def write(self, *what: str) -> None:
        for one in what:
            self.note(one)

    async def write_then_fail(self) -> None:
        self.note("first step")
        await asyncio.sleep(0)
        self.note("second step")
        raise ValueError("after two steps")

    async def write_then_wait(self, gate: str) -> None:
        self.note(f"{gate}: before")
        try:
            await asyncio.Event().wait()
        finally:
            self.note(f"{gate}: cleanup")

    async def write_then_call(self, other: Ledger) -> None:
        self.note("before the call")
        try:
            await other.fail_now()
        except ValueError:
            raise KeyError("mine") from None

    async def fail_now(self) -> None:
        self.note("lost")
        raise ValueError

    async def undo_part(self) -> None:
        self.note("kept")
        try:
            with self.transaction():
                self.note("undone")
                with self.transaction():
                    self.note("undone too")
                self.note("kept")  # breaks the unique constraint
        except ConstraintError:
            self.note("after")

    async def await_inside(self) -> None:
        with self.transaction():
            self.note("undone")
            await asyncio.sleep(0)

    async def call_inside(self, other: Ledger) -> None:
        with self.transaction():
            self.note("undone")
            await other.all()

    async def gather(self) -> None:
        async def one(i: int) -> None:
            self.note(f"{i} a")
            await asyncio.sleep(0)
            self.note(f"{i} b")
            if i == 1:
                raise ValueError

        await asyncio.gather(one(0), one(1), return_exceptions=True)

    async def later(self) -> None:
        asyncio.get_running_loop().call_soon(self.note, "from a callback")
        await asyncio.sleep(0)
        raise ValueError("the callback's step is its own")

    async def set_variable(self) -> str:
        leak.set("leaked")
        await asyncio.sleep(0)
        return leak.get()


async def test_a_step_that_raises_is_rolled_back_and_earlier_steps_stay(
    runtime: LocalRuntime,
) -> None:
    ledger = runtime.get(Ledger, "a")
    with pytest.raises(ValueError, match="after two steps"):
        await ledger.write_then_fail()
    assert await ledger.all() == ["first step"]


async def test_a_cancelled_call_loses_only_its_current_step(runtime: LocalRuntime) -> None:
    ledger = runtime.get(Ledger, "a")
    task = asyncio.create_task(ledger.write_then_wait("x"))
    while not await ledger.all():
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await ledger.all() == ["x: before"]


async def test_an_outgoing_call_ends_the_step(runtime: LocalRuntime) -> None:
    ledger, other = runtime.get(Ledger, "a"), runtime.get(Ledger, "b")
    with pytest.raises(KeyError):
        await ledger.write_then_call(other)
    assert await ledger.all() == ["before the call"]
    assert await other.all() == []


async def test_a_failed_statement_leaves_the_step_open(runtime: LocalRuntime) -> None:
    ledger = runtime.get(Ledger, "a")
    await ledger.undo_part()
    assert await ledger.all() == ["kept", "after"]


async def test_a_transaction_may_not_span_an_await(runtime: LocalRuntime) -> None:
    ledger = runtime.get(Ledger, "a")
    with pytest.raises(TransactionAcrossAwait):
        await ledger.await_inside()
    with pytest.raises(TransactionAcrossAwait):
        await ledger.call_inside(runtime.get(Ledger, "b"))
    assert await ledger.all() == []


async def test_tasks_made_inside_an_actor_have_steps_too(runtime: LocalRuntime) -> None:
    ledger = runtime.get(Ledger, "a")
    await ledger.gather()
    assert sorted(await ledger.all()) == ["0 a", "0 b", "1 a"]


async def test_a_write_from_a_callback_is_a_step_of_its_own(runtime: LocalRuntime) -> None:
    ledger = runtime.get(Ledger, "a")
    with pytest.raises(ValueError, match="its own"):
        await ledger.later()
    assert await ledger.all() == ["from a callback"]


async def test_interleaved_calls_never_share_a_step(runtime: LocalRuntime) -> None:
    ledger = runtime.get(Ledger, "a")
    tasks = [asyncio.create_task(ledger.write_then_wait(name)) for name in "xyz"]
    while len(await ledger.all()) < 3:
        await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert sorted(await ledger.all()) == ["x: before", "y: before", "z: before"]


async def test_a_context_variable_set_inside_does_not_leak_to_the_caller(
    runtime: LocalRuntime,
) -> None:
    assert await runtime.get(Ledger, "a").set_variable() == "leaked"
    assert leak.get() == "clean"


async def test_timeouts_work_around_and_inside_calls(runtime: LocalRuntime) -> None:
    class Sleeper(Actor):
        async def sleep(self) -> str:
            try:
                async with asyncio.timeout(0):
                    await asyncio.Event().wait()
            except TimeoutError:
                return "inside"
            return "never"

        async def forever(self) -> None:
            await asyncio.Event().wait()

    sleeper = runtime.get(Sleeper, "a")
    assert await sleeper.sleep() == "inside"
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await sleeper.forever()
    assert runtime.stats().calls == 0
