"""Callers that say nothing for long: gone, or only held up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from actors.errors import RuntimeClosed
from actors.ray.directory import Directory
from actors.ray.hosting import Hosting, Plan
from actors.ray.outbox import Outbox
from actors.ray.serving import FORGOTTEN, GONE

CALLER = "caller"


@pytest.fixture
async def hosting(tmp_path: Path) -> AsyncIterator[Hosting]:
    """A host that has nothing to open."""
    plan = Plan("runtime", str(tmp_path), {"replica": None, "durability": "local"})
    hosting = Hosting(plan, "host-0", Directory(1, ("host-0",), bytes(4096)))
    hosting._opening = asyncio.ensure_future(asyncio.sleep(0))
    yield hosting
    for task in hosting._serving._running.values():
        task.cancel()


async def silent(hosting: Hosting, seconds: float) -> None:
    """The caller says nothing for so long."""
    hosting._serving._outbox(CALLER).heard -= seconds + 1
    hosting._serving.sweep()
    for _ in range(3):
        await asyncio.sleep(0)


def call(hosting: Hosting, outbox: Outbox) -> None:
    """A call that waits, and says how it ended."""

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            outbox.post(("failed", 1, b""))

    task = hosting._serving._running[CALLER, 1] = asyncio.ensure_future(work())
    task.add_done_callback(partial(hosting._serving._done, (CALLER, 1)))


async def test_calls_of_a_caller_that_is_gone_are_cancelled_and_it_hears_of_it_if_it_returns(
    hosting: Hosting,
) -> None:
    call(hosting, hosting._serving._outbox(CALLER))
    await asyncio.sleep(0)
    await silent(hosting, GONE)
    assert not hosting._serving._running
    await silent(hosting, GONE)
    token = hosting._ownership.token
    assert (await hosting.collect(CALLER, token, 0))[2] == [("failed", 1, b"")]


async def test_a_caller_that_was_forgotten_is_told_instead_of_waiting_for_ever(
    hosting: Hosting,
) -> None:
    call(hosting, hosting._serving._outbox(CALLER))
    await asyncio.sleep(0)
    await silent(hosting, GONE)
    await silent(hosting, FORGOTTEN)
    with pytest.raises(RuntimeClosed):
        await hosting.collect(CALLER, hosting._ownership.token, 0)


async def test_a_silent_caller_that_waits_for_nothing_is_forgotten_soon(hosting: Hosting) -> None:
    outbox = hosting._serving._outbox(CALLER)
    outbox.post(("done", 1, b""))
    await hosting.collect(CALLER, hosting._ownership.token, 0)
    await silent(hosting, GONE)
    assert not hosting._serving._outboxes


async def test_what_was_fetched_keeps_no_host_from_leaving(hosting: Hosting) -> None:
    outbox = hosting._serving._outbox(CALLER)
    outbox.post(("done", 1, b""))
    assert len(outbox) == 1
    await outbox.collect(0)
    assert len(outbox) == 0
