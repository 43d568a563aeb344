"""Tasks that begin at once are tasks like any other from there on."""

from __future__ import annotations

import asyncio

from facets.isolates import eager


async def test_tasks_that_begin_at_once_may_wait_for_one_future() -> None:
    loop = asyncio.get_running_loop()
    shared: asyncio.Future[int] = loop.create_future()
    found: list[int] = []

    async def wait() -> None:
        found.append(await shared)

    tasks = [eager.start(wait(), loop) for _ in range(3)]
    shared.set_result(7)
    await asyncio.gather(*tasks)

    assert found == [7, 7, 7]


async def test_a_task_that_is_cancelled_before_its_first_turn_leaves_the_future_to_others() -> None:
    loop = asyncio.get_running_loop()
    shared: asyncio.Future[int] = loop.create_future()
    found: list[object] = []

    async def wait() -> None:
        try:
            found.append(await shared)
        except asyncio.CancelledError:
            found.append("cancelled")
            raise

    first, second = eager.start(wait(), loop), eager.start(wait(), loop)
    first.cancel()
    await asyncio.wait([first])
    shared.set_result(7)
    await asyncio.wait([second])

    assert first.cancelled()
    assert found == ["cancelled", 7]


async def test_what_ends_at_once_is_over() -> None:
    found: list[int] = []

    async def end() -> None:
        found.append(1)

    task = eager.start(end(), asyncio.get_running_loop())
    assert found == [1]
    await task
