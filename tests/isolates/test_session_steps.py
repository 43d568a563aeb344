"""Steps of a guest: what is committed, what is undone, and what keeps others out."""

from __future__ import annotations

import asyncio

import pytest

from actors.errors import ExclusiveReentered
from storage.errors import TransactionAcrossAwait
from tests.isolates.conftest import Open
from tests.isolates.fake import Owner, until

STEPS = """
import asyncio
import facets
from facets import Actor

class Tool(Actor):
    migrations = ["create table t(n)"]
    def put(self, n): self.sql("insert into t values (?)", n)

    async def two_steps_then_fail(self):
        self.put(1)
        await asyncio.sleep(0)
        self.put(2)
        raise ValueError("second step")

    async def savepoint(self):
        self.put(1)
        try:
            with self.transaction():
                self.put(2)
                with self.transaction():
                    self.put(3)
                raise ValueError
        except ValueError:
            pass
        with self.transaction():
            self.put(4)

    async def across(self):
        with self.transaction():
            self.put(1)
            await asyncio.sleep(0.001)
            self.put(2)

    async def across_ready(self):
        with self.transaction():
            self.put(1)
            await asyncio.sleep(0)

    async def items(self):
        self.put(1)
        yield 1
        self.put(2)
        raise ValueError

    async def hang(self):
        self.put(1)
        await asyncio.sleep(0)
        self.put(2)
        await asyncio.sleep(60)

    async def children(self):
        async with asyncio.TaskGroup() as tasks:
            for i in range(3):
                tasks.create_task(self.child(i))

    async def child(self, i):
        self.put(i)

    @facets.exclusive
    async def outer(self): return await self.inner()
    @facets.exclusive
    async def inner(self): return 1
    async def slow(self):
        async with self.exclusive():
            n = self.sql("select count(*) from t").value()
            await asyncio.sleep(0.001)
            self.put(n)
"""


async def test_a_method_that_raises_loses_only_its_last_step(start: Open, owner: Owner) -> None:
    session = await start(STEPS)

    with pytest.raises(ValueError, match="second step"):
        await session.call("two_steps_then_fail")

    assert owner.values("select n from t") == [1]
    assert owner.events == ["sql", "commit", "sql", "rollback"]


async def test_transactions_nest_by_savepoint(start: Open, owner: Owner) -> None:
    session = await start(STEPS)

    await session.call("savepoint")

    assert owner.values("select n from t") == [1, 4]


@pytest.mark.parametrize("method", ["across", "across_ready"])
async def test_a_transaction_may_not_span_an_await(start: Open, owner: Owner, method: str) -> None:
    session = await start(STEPS)

    with pytest.raises(TransactionAcrossAwait):
        await session.call(method)

    assert owner.values("select n from t") == []
    assert await session.call("savepoint") is None


async def test_an_item_ends_a_step(start: Open, owner: Owner) -> None:
    session = await start(STEPS)

    with pytest.raises(ValueError):  # noqa: PT011 - no message to match
        async for _ in session.stream("items"):
            pass

    assert owner.values("select n from t") == [1]


async def test_each_task_is_driven_in_steps_of_its_own(start: Open, owner: Owner) -> None:
    session = await start(STEPS)

    await session.call("children")

    assert owner.values("select n from t") == [0, 1, 2]
    assert owner.events.count("commit") == 3


async def test_a_commit_that_fails_fails_the_call(start: Open, owner: Owner) -> None:
    session = await start(STEPS)
    owner.fail_commit = OSError("disk")

    with pytest.raises(OSError, match="disk"):
        await session.call("savepoint")
    with pytest.raises(OSError, match="disk"):
        await session.call("hang")

    owner.fail_commit = None
    await session.call("savepoint")


async def test_cancelling_the_caller_cancels_the_guest(start: Open, owner: Owner) -> None:
    session = await start(STEPS)
    task = asyncio.create_task(session.call("hang"))
    await until(lambda: owner.events.count("commit") == 2)

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    await until(lambda: session.pending == 0)
    assert session.alive
    assert owner.values("select n from t") == [1, 2]


async def test_kill_is_immediate_and_rolls_back_the_open_step(start: Open, owner: Owner) -> None:
    session = await start(STEPS)
    reason = RuntimeError("the parent said so")
    owner.on_storage = lambda op, args: owner.events.count("sql") == 1 and session.kill(reason)

    with pytest.raises(RuntimeError, match="parent said so"):
        await session.call("savepoint")

    assert not session.alive
    assert owner.deaths == []
    assert owner.values("select n from t") == []
    with pytest.raises(RuntimeError, match="parent said so"):
        await session.call("savepoint")


async def test_exclusive_sections_run_one_at_a_time(start: Open, owner: Owner) -> None:
    session = await start(STEPS)

    await asyncio.gather(*[session.call("slow") for _ in range(5)])

    assert owner.values("select n from t") == [0, 1, 2, 3, 4]


async def test_entering_an_exclusive_section_again_fails_at_once(start: Open) -> None:
    session = await start(STEPS)

    with pytest.raises(ExclusiveReentered):
        await session.call("outer")
    assert await session.call("inner") == 1


async def test_a_stream_runs_only_as_far_as_it_is_read(start: Open, owner: Owner) -> None:
    session = await start(STEPS)
    stream = session.stream("items")

    assert await anext(stream) == 1
    await session.call("savepoint")
    await stream.aclose()

    assert owner.values("select n from t") == [1, 1, 4]
