"""asyncio inside an isolate is asyncio: tasks, groups, timeouts, locks, by the host's clock."""

from __future__ import annotations

import asyncio
from textwrap import dedent
from typing import Any

import pytest

from facets.errors import CpuLimit, GuestError, WallLimit
from tests.isolates.conftest import Open
from tests.isolates.fake import Owner

SHARED = """
import asyncio

async def value(x, naps=1):
    for _ in range(naps):
        await asyncio.sleep(0)
    return x

async def fail(text="no"):
    await asyncio.sleep(0)
    raise ValueError(text)

async def nap():
    try:
        await asyncio.sleep(3600)
    except asyncio.CancelledError as error:
        seen.append(str(error) or "cancelled")
        raise

seen = []
"""


async def run(start: Open, body: str, **options: Any) -> Any:
    """Call `async def run()` with this body."""
    indented = "".join(f"    {line}\n" for line in dedent(body).strip().splitlines())
    source = SHARED + "async def run():\n" + indented
    return await (await start(source, "run", actor=False, **options)).call("")


async def test_gather_returns_in_order_and_hands_errors_over(start: Open) -> None:
    found = await run(
        start,
        """
        first = await asyncio.gather(value(1, 5), value(2), value(3, 3))
        mixed = await asyncio.gather(value(1), fail(), return_exceptions=True)
        try:
            await asyncio.gather(value(1), fail("this"))
        except ValueError as error:
            return first, repr(mixed), str(error)
        """,
    )
    assert found == ([1, 2, 3], "[1, ValueError('no')]", "this")


async def test_a_task_group_cancels_the_others_and_raises_a_group(start: Open) -> None:
    found = await run(
        start,
        """
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(value(n, n), name=f"t{n}") for n in range(3)]
        done = [(task.result(), task.get_name()) for task in tasks]
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(nap())
                group.create_task(fail("a"))
        except* ValueError as error:
            caught = [str(one) for one in error.exceptions]
        return done, caught, seen
        """,
    )
    assert found == ([(0, "t0"), (1, "t1"), (2, "t2")], ["a"], ["cancelled"])


async def test_an_exception_group_leaves_with_its_parts(start: Open) -> None:
    with pytest.raises(GuestError) as caught:
        await run(
            start,
            """
            async with asyncio.TaskGroup() as group:
                group.create_task(fail("one"))
                group.create_task(fail("two"))
            """,
        )

    assert caught.value.type == "ExceptionGroup"
    assert "ValueError: one" in caught.value.traceback
    assert "ValueError: two" in caught.value.traceback
    assert "raise ValueError(text)" in caught.value.traceback


async def test_timeouts_end_what_takes_too_long(start: Open) -> None:
    found = await run(
        start,
        """
        out = []
        try:
            async with asyncio.timeout(0.005) as scope:
                await nap()
        except TimeoutError:
            out.append(scope.expired())
        try:
            await asyncio.wait_for(nap(), 0.005)
        except TimeoutError:
            out.append("late")
        out.append(await asyncio.wait_for(value(7), 60))
        async with asyncio.timeout(None) as scope:
            scope.reschedule(asyncio.get_running_loop().time() + 60)
            out.append(await value(8))
        try:
            async with asyncio.timeout_at(0):
                await nap()
        except TimeoutError:
            out.append("past")
        return out, seen
        """,
    )
    assert found == ([True, "late", 7, 8, "past"], ["cancelled"] * 3)


async def test_timeouts_nest_and_the_outer_one_is_told_apart(start: Open) -> None:
    found = await run(
        start,
        """
        try:
            async with asyncio.timeout(0.005):
                try:
                    async with asyncio.timeout(60):
                        await nap()
                except TimeoutError:
                    return "inner"
        except TimeoutError:
            return "outer"
        """,
    )
    assert found == "outer"


async def test_sleep_takes_its_time_by_the_hosts_clock(start: Open) -> None:
    before = asyncio.get_running_loop().time()
    inside = await run(
        start,
        """
        loop = asyncio.get_running_loop()
        began = loop.time()
        order = []
        async def late(delay):
            await asyncio.sleep(delay)
            order.append(delay)
        await asyncio.gather(late(0.02), late(0.01), late(0), late(-1))
        return order, loop.time() - began, await asyncio.sleep(0, "result")
        """,
    )
    order, took, result = inside
    assert order == [-1, 0, 0.01, 0.02] or order == [0, -1, 0.01, 0.02]
    assert 0.02 - 1e-9 <= took <= asyncio.get_running_loop().time() - before + 0.002
    assert result == "result"


async def test_events_locks_semaphores_conditions_and_barriers(start: Open) -> None:
    found = await run(
        start,
        """
        log = []
        lock, event = asyncio.Lock(), asyncio.Event()
        async def hold(n):
            await event.wait()
            async with lock:
                log.append(n)
                await asyncio.sleep(0)
                log.append(n)
        semaphore, most = asyncio.BoundedSemaphore(2), [0, 0]
        async def limited():
            async with semaphore:
                most[0] += 1
                most[1] = max(most)
                await asyncio.sleep(0)
                most[0] -= 1
        condition, ready = asyncio.Condition(), []
        async def waiter():
            async with condition:
                await condition.wait_for(lambda: ready)
                return ready[0]
        async def teller():
            async with condition:
                ready.append("told")
                condition.notify_all()
        barrier = asyncio.Barrier(2)
        tasks = [asyncio.create_task(hold(n)) for n in range(3)]
        await asyncio.sleep(0)
        event.set()
        await asyncio.gather(*tasks, *[limited() for _ in range(5)])
        told, _ = await asyncio.gather(waiter(), teller())
        places = await asyncio.gather(barrier.wait(), barrier.wait())
        return log, most[1], told, sorted(places), lock.locked()
        """,
    )
    assert found == ([0, 0, 1, 1, 2, 2], 2, "told", [0, 1], False)


async def test_queues_hand_over_in_order_hold_back_and_shut_down(start: Open) -> None:
    found = await run(
        start,
        """
        queue, got = asyncio.Queue(2), []
        async def produce():
            for n in range(6):
                await queue.put(n)
            queue.shutdown()
        async def consume():
            try:
                while True:
                    got.append((await queue.get(), queue.qsize() <= 2))
                    queue.task_done()
            except asyncio.QueueShutDown:
                return "down"
        _, said = await asyncio.gather(produce(), consume())
        await queue.join()
        first = asyncio.PriorityQueue()
        for n in (3, 1, 2):
            first.put_nowait(n)
        return [n for n, _ in got], all(ok for _, ok in got), said, await first.get()
        """,
    )
    assert found == ([0, 1, 2, 3, 4, 5], True, "down", 1)


async def test_a_shield_keeps_a_cancellation_out(start: Open) -> None:
    found = await run(
        start,
        """
        inner = asyncio.create_task(value("kept", 3))
        outer = asyncio.create_task(asyncio.wait_for(asyncio.shield(inner), 60))
        await asyncio.sleep(0)
        outer.cancel("enough")
        try:
            await outer
        except asyncio.CancelledError as error:
            return await inner, error.args, outer.cancelled(), inner.cancelled()
        """,
    )
    assert found == ("kept", ("enough",), True, False)


async def test_what_is_done_first_comes_first(start: Open) -> None:
    found = await run(
        start,
        """
        first = [await one for one in asyncio.as_completed([value(n, n) for n in (3, 1, 2)])]
        tasks = [asyncio.create_task(value(n, n)) for n in (2, 1)]
        second = [task.result() async for task in asyncio.as_completed(tasks)]
        try:
            async for one in asyncio.as_completed([nap()], timeout=0.005):
                await one
        except TimeoutError:
            late = True
        return first, second, late
        """,
    )
    assert found == ([1, 2, 3], [1, 2], True)


async def test_wait_tells_done_from_pending(start: Open) -> None:
    found = await run(
        start,
        """
        tasks = {asyncio.create_task(value(1)), asyncio.create_task(nap())}
        done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        (left,) = pending
        left.cancel("over")
        later = await asyncio.wait({left})
        bad, _ = await asyncio.wait(
            [asyncio.create_task(fail())], return_when=asyncio.FIRST_EXCEPTION
        )
        none = await asyncio.wait([asyncio.create_task(nap())], timeout=0.001)
        return (
            [task.result() for task in done], left.cancelled(), len(later[0]), seen,
            [str(task.exception()) for task in bad], [len(part) for part in none],
        )
        """,
    )
    assert found == ([1], True, 1, ["over"], ["no"], [0, 1])


async def test_callbacks_futures_context_and_names(start: Open) -> None:
    found = await run(
        start,
        """
        import contextvars
        loop, log = asyncio.get_running_loop(), []
        number = contextvars.ContextVar("number", default=0)
        async def own(n):
            number.set(n)
            await asyncio.sleep(0)
            return number.get()
        future = loop.create_future()
        loop.call_later(0.002, log.append, "later")
        handle = loop.call_later(0.001, log.append, "never")
        handle.cancel()
        loop.call_soon(future.set_result, "set")
        numbers = await asyncio.gather(own(1), own(2))
        await asyncio.sleep(0.01)
        task = asyncio.create_task(nap(), name="sleeper")
        names = sorted(one.get_name() for one in asyncio.all_tasks())
        return (
            await future, numbers, number.get(), log, "sleeper" in names,
            asyncio.current_task() in asyncio.all_tasks(), asyncio.iscoroutinefunction(nap),
        )
        """,
    )
    assert found == ("set", [1, 2], 0, ["later"], True, True, True)


async def test_an_error_in_a_callback_is_printed_and_harms_nobody(start: Open, owner: Any) -> None:
    found = await run(
        start,
        """
        def bad():
            raise KeyError("callback")
        asyncio.get_running_loop().call_soon(bad)
        forgotten = asyncio.create_task(fail("forgotten"))
        await asyncio.sleep(0.001)
        del forgotten
        import gc
        gc.collect()
        return await value("fine")
        """,
    )
    assert found == "fine"
    assert "KeyError: 'callback'" in owner.text
    assert "ValueError: forgotten" in owner.text


async def test_run_and_the_like_say_that_a_loop_runs_already(start: Open) -> None:
    found = await run(
        start,
        """
        out = []
        for call in (asyncio.run, asyncio.get_running_loop().run_until_complete):
            made = value(1)
            try:
                call(made)
            except RuntimeError as error:
                out.append(str(error))
                made.close()
        try:
            await asyncio.to_thread(len, "x")
        except RuntimeError as error:
            out.append(str(error))
        return out
        """,
    )
    assert "running" in found[0]
    assert "running" in found[1]
    assert found[2:] == ["an isolate has no threads; call the function directly"]


async def test_async_generators_and_context_managers(start: Open) -> None:
    found = await run(
        start,
        """
        import contextlib
        async def numbers(n):
            try:
                for i in range(n):
                    await asyncio.sleep(0)
                    yield i
            finally:
                await asyncio.sleep(0)
                seen.append("closed")
        @contextlib.asynccontextmanager
        async def room():
            seen.append("in")
            try:
                yield "room"
            finally:
                await asyncio.sleep(0)
                seen.append("out")
        async with contextlib.AsyncExitStack() as stack:
            where = await stack.enter_async_context(room())
            async with contextlib.aclosing(numbers(9)) as some:
                async for n in some:
                    if n == 2:
                        break
        return where, [n async for n in numbers(3)], seen
        """,
    )
    assert found == ("room", [0, 1, 2], ["in", "closed", "out", "closed"])


async def test_a_generator_that_is_dropped_half_way_is_closed(start: Open) -> None:
    found = await run(
        start,
        """
        async def numbers():
            try:
                yield 1
            finally:
                seen.append("closed")
        async for n in numbers():
            break
        import gc
        gc.collect()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return seen
        """,
    )
    assert found == ["closed"]


STREAM = """
import asyncio
closed = []

class Tool:
    async def count(self, n):
        async with asyncio.TaskGroup() as group:
            for i in range(n):
                yield await group.create_task(self.one(i))

    async def one(self, i):
        await asyncio.sleep(0.001)
        return i

    async def endless(self):
        try:
            while True:
                yield 1
                await asyncio.sleep(0)
        finally:
            await asyncio.sleep(0)
            closed.append(True)

    async def bad(self):
        yield 1
        raise LookupError("second")

    async def closings(self):
        return len(closed)
"""


async def test_a_stream_is_an_async_generator_with_all_of_asyncio(start: Open) -> None:
    session = await start(STREAM, actor=False)

    assert [item async for item in session.stream("count", (4,))] == [0, 1, 2, 3]
    both = session.stream("count", (2,)), session.stream("count", (2,))
    assert [[await anext(one) for one in both] for _ in range(2)] == [[0, 0], [1, 1]]


async def test_a_stream_that_is_closed_closes_its_generator(start: Open) -> None:
    session = await start(STREAM, actor=False)
    stream = session.stream("endless")
    assert await anext(stream) == 1
    await stream.aclose()

    assert await session.call("closings") == 1


async def test_a_stream_that_raises_raises_after_its_items(start: Open) -> None:
    session = await start(STREAM, actor=False)
    stream = session.stream("bad")

    assert await anext(stream) == 1
    with pytest.raises(LookupError, match="second") as caught:
        await anext(stream)
    assert 'raise LookupError("second")' in caught.value.traceback  # type: ignore[attr-defined]


async def test_a_cancellation_from_outside_reaches_every_task_of_a_group(start: Open) -> None:
    source = (
        SHARED
        + """
class Tool:
    async def run(self):
        async with asyncio.TaskGroup() as group:
            for _ in range(3):
                group.create_task(nap())

    async def seen(self):
        return len(seen)
"""
    )
    session = await start(source, actor=False)
    call = asyncio.ensure_future(session.call("run"))
    while not session.pending:
        await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call

    assert await session.call("seen") == 3


async def test_the_wall_limit_cancels_like_a_timeout_and_the_isolate_lives(start: Open) -> None:
    source = (
        SHARED
        + """
class Tool:
    async def run(self):
        await nap()

    async def seen(self):
        return len(seen)
"""
    )
    session = await start(source, actor=False, limits={"wall": 0.05})
    with pytest.raises(WallLimit) as caught:
        await session.call("run")

    assert caught.value.survived
    assert await session.call("seen") == 1


async def test_a_chain_of_errors_shows_every_cause_with_its_lines(start: Open) -> None:
    with pytest.raises(RuntimeError, match="outer") as caught:
        await run(
            start,
            """
            try:
                await asyncio.gather(fail("inner"))
            except ValueError as error:
                error.add_note("a note")
                raise RuntimeError("outer") from error
            """,
        )

    trace = caught.value.traceback  # type: ignore[attr-defined]
    assert trace.index("ValueError: inner\na note") < trace.index("direct cause")
    assert trace.index("direct cause") < trace.index("RuntimeError: outer")
    assert 'raise RuntimeError("outer") from error' in trace


async def test_while_a_call_is_in_progress_what_others_left_behind_has_no_limit_in_all(
    start: Open, owner: Owner
) -> None:
    source = """
import asyncio
from facets import Actor
class Tool(Actor):
    async def wait(self): await asyncio.Event().wait()
    async def leave(self): self.left = asyncio.create_task(self.busy())
    async def busy(self):
        while True: await asyncio.sleep(0)
"""
    session = await start(source, limits={"cpu": 0.05})
    waiting = asyncio.ensure_future(session.call("wait"))
    await session.call("leave")
    while session._runner.cpu < 0.15:
        await asyncio.sleep(0)
    assert session.alive

    waiting.cancel()
    while session.alive:
        await asyncio.sleep(0)
    assert [type(death) for death in owner.deaths] == [CpuLimit]
