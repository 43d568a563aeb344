"""What a host does before it serves: ends who was before, and takes its seat."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

from actors.ray.errors import DiskForgotten
from actors.ray.health import Presence
from actors.ray.seats import Seat, away, holds, newest, noted, take
from storage.errors import StateInUse, StateStale
from storage.lock import machine

if TYPE_CHECKING:
    from actors.local import LocalRuntime
    from storage.objects.store import ObjectStore

PATIENCE = 30.0
"""Seconds for which a host waits for a directory that another machine has."""


async def enter(
    runtime: LocalRuntime, store: ObjectStore, host: str, who: Presence, *, anywhere: bool
) -> Seat:
    """Open the host's state and take its seat. `anywhere`: the replica has all of the state.

    `DiskAway` if the state is on another disk, `DiskForgotten` if it went on elsewhere.
    """
    seat = await asyncio.to_thread(newest, store, host)
    if not anywhere:
        await asyncio.to_thread(_check, seat, runtime.root)
    await _open(runtime, anywhere=anywhere)
    own = noted(runtime.root) or seat
    number = max(seat.number, own.number, 0) + 1
    taken = Seat(host, number, who.node, who.ip, who.pid, str(runtime.root), who.since)
    if not await asyncio.to_thread(take, store, taken, runtime.root) and not anywhere:
        await runtime.close()
        raise _forgotten(host, runtime.root)
    return taken


def _check(seat: Seat, directory: Path) -> None:
    own = noted(directory)
    if holds(seat, own):
        return
    if not seat.vacant:
        raise away(seat) if own is None else _forgotten(seat.host, directory)
    if own is not None:  # of a host that was given up here, and begins here again
        set_aside(directory)


def _forgotten(host: str, directory: Path) -> DiskForgotten:
    return DiskForgotten(
        f"{directory} is not the state of {host} any more, which went on elsewhere",
        host=host,
        path=str(directory),
    )


async def _open(runtime: LocalRuntime, *, anywhere: bool) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            await runtime.open()
        except StateInUse as error:
            await asyncio.to_thread(_end, error, deadline)
        except StateStale:
            if not anywhere:
                raise
            await asyncio.to_thread(set_aside, runtime.root)
        else:
            return


def set_aside(directory: Path) -> None:
    """Rename a directory that is not the state any more to `NAME.stale`, in the place of the one
    before: it may hold what nobody was told is safe."""
    stale = directory.with_name(f"{directory.name}.stale")
    shutil.rmtree(stale, ignore_errors=True)
    directory.rename(stale)


def _end(found: StateInUse, deadline: float) -> None:
    """End the incarnation before this one, which Ray has given up, and which still has the lock:
    a process that is stopped, for example. Whatever else has it keeps it. One of another machine,
    where the disk is shared, is waited for."""
    if found.machine != machine():
        if time.monotonic() > deadline:
            raise found
        time.sleep(0.1)
        return
    title = Path(f"/proc/{found.pid}/cmdline")
    try:
        if not title.read_bytes().startswith(b"ray::Hosting"):
            raise found
        os.kill(found.pid, signal.SIGKILL)
        while title.read_bytes():
            time.sleep(0.01)
    except (FileNotFoundError, ProcessLookupError):
        return
