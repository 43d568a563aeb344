"""The death of a process, in a test that goes on after it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from actors.local import LocalRuntime
from storage.errors import JournalFailed
from storage.testing import Fault, FaultyDisk, Killed, Outcome

if TYPE_CHECKING:
    from facets.testing.memory import MemoryRuntime

LOOK = 0.005
"""Seconds between two looks at whether the process is dead."""
Handler = Callable[[asyncio.AbstractEventLoop, dict[str, Any]], object]
Story = Callable[["MemoryRuntime"], Awaitable[object]]


class Crashed(JournalFailed):
    """A test ended the runtime as a crash of its process would.

    Whoever waits for an answer then gets this; in a crash nobody would be there to get anything.
    """


async def crash(runtime: LocalRuntime) -> None:
    """End a runtime as if its process died now; `await runtime.open()` starts the next one.

    What was acknowledged is on the disk; what was committed and not made durable is lost; steps
    that are open are undone; no `on_stop` runs. Calls in progress end with `Crashed`, and so does
    every stub of this life. Work on the store's threads reaches its end, as if the process had
    died right after it; for a death in the middle there is `die_everywhere`.

    The runtime must be the only one that has its directory open.
    """
    host = runtime.host
    host.fail(Crashed("the process died, as the test wanted"))
    disk = host.store.disk
    try:
        with suppress(Killed):
            await runtime.close()
        with suppress(Killed):
            host.store.close()  # where a dead disk stopped the runtime before it came to this
    finally:
        if isinstance(disk, FaultyDisk):
            disk.close_all()


async def die_everywhere(
    setup: Story, act: Story, check: Story, *, every: int = 1, path: str = "*"
) -> int:
    """Let the process die at each operation on the disk that `act` needs, one life for each.

    Each time `setup` makes the state, `act` dies, and `check` looks at what the next process
    finds, and may raise. `every` takes only each so manyth place, `path` only operations on files
    that match it (as in `Fault`). Returns how many deaths there were.

    Only the process dies: the disk keeps what it was given. For a loss of power see
    `storage.testing.PowerLossDisk`.
    """
    deaths, at = 0, 1
    while await _die_at(Fault("any", at, path, outcome=Outcome.KILL), setup, act, check):
        deaths, at = deaths + 1, at + every
    return deaths


async def _die_at(fault: Fault, setup: Story, act: Story, check: Story) -> bool:
    """Whether it came to that operation."""
    from facets.testing.memory import MemoryRuntime

    disk = FaultyDisk()
    runtime = MemoryRuntime(disk=disk)
    await runtime.open()
    loop = asyncio.get_running_loop()
    usual = loop.get_exception_handler()
    loop.set_exception_handler(_quiet(usual))
    try:
        await setup(runtime)
        disk.add(fault)
        acting = asyncio.ensure_future(_all_of(act, runtime))
        while not (acting.done() or disk.dead):
            await asyncio.wait([acting], timeout=LOOK)
        if not disk.dead:
            acting.result()
        await runtime.crash()
        # Whatever died in a callback, or on a thread, leaves somebody waiting for an answer.
        acting.cancel()
        await asyncio.gather(acting, return_exceptions=True)
        await check(runtime)
    finally:
        await runtime.close()
        loop.set_exception_handler(usual)
    return disk.dead


async def _all_of(act: Story, runtime: MemoryRuntime) -> None:
    await act(runtime)


def _quiet(usual: Handler | None) -> Handler:
    """What a loop does with errors that nobody waits for: a death is what was asked for."""

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if isinstance(context.get("exception"), Killed):
            return
        if usual is None:
            loop.default_exception_handler(context)
        else:
            usual(loop, context)

    return handle
