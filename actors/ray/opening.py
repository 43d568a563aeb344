"""A host takes its state, whatever the incarnation before it left.

still has it    a process that Ray has given up, stopped for example: it is killed
is older        its node comes back after the host went on elsewhere from the replica. What was
                acknowledged is there, with `durability="replicated"`; so the directory is put
                aside, to `NAME.stale` in place of an older one, and a new one filled
cannot reach    the replica, from this node: the process ends soon, and Ray starts it again,
                perhaps on another one
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
import time
from pathlib import Path

from actors.local import LocalRuntime
from storage.errors import FacetsError, ObjectStoreFailed, StateInUse, StateStale
from storage.objects import ObjectStore
from storage.objects.store import SupportsUrgent

_log = logging.getLogger("facets.host")

REACH = 5.0
"""Seconds in which the replica must answer a host that starts. Once open a host is patient."""
PARTING = 0.5
"""Seconds that a host whose state cannot be opened has to say so."""


async def open_state(runtime: LocalRuntime, shared: ObjectStore, *, replicated: bool) -> None:
    """Open the state of a host. `replicated`: everything acknowledged is in the replica.

    Raises as `LocalRuntime.open`. After `ObjectStoreFailed` the process ends soon.
    """
    try:
        await asyncio.to_thread(_reach, shared)
        while True:
            try:
                await runtime.open()
            except StateInUse as error:
                await asyncio.to_thread(_end, error)
            except StateStale:
                if not replicated:
                    raise
                await asyncio.to_thread(_put_aside, runtime.root)
            else:
                return
    except ObjectStoreFailed as error:
        asyncio.get_running_loop().call_later(PARTING, end_process, error)
        raise


def end_process(failure: FacetsError) -> None:
    """This host can acknowledge nothing more: end the process, and Ray starts the next."""
    _log.critical("the host ends: %s", failure)
    os._exit(1)


def _reach(shared: ObjectStore) -> None:
    if isinstance(shared, SupportsUrgent):
        shared.urgent(REACH).list("directory/")


def _put_aside(root: Path) -> None:
    aside = root.with_name(f"{root.name}.stale")
    shutil.rmtree(aside, ignore_errors=True)
    root.rename(aside)


def _end(found: StateInUse) -> None:
    """End the incarnation before this one, which Ray has given up, and which still has the lock:
    a process that is stopped, for example. Whatever else has it keeps it."""
    title = Path(f"/proc/{found.pid}/cmdline")
    try:
        if not title.read_bytes().startswith(b"ray::Hosting"):
            raise found
        os.kill(found.pid, signal.SIGKILL)
        while title.read_bytes():
            time.sleep(0.01)
    except (FileNotFoundError, ProcessLookupError):
        return
