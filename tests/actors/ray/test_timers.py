"""Timers of actors on a cluster."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from pathlib import Path

from ray.exceptions import RayError

from actors.ray.errors import HostLost
from actors.ray.runtime import RayRuntime
from facets import Actor


class Alarm(Actor):
    async def plan(self, seconds: float, path: str) -> int:
        self.timers.after(seconds, self.ring, path)
        return os.getpid()

    async def ring(self, path: str) -> None:
        Path(path).write_text(str(os.getpid()))


async def test_a_host_that_died_delivers_what_is_due_before_anybody_sends_the_class(
    runtime: RayRuntime, tmp_path: Path
) -> None:
    rung = tmp_path / "rung"
    pid = await runtime.get(Alarm, "a").plan(0.5, str(rung))
    os.kill(pid, signal.SIGKILL)
    while not (rung.exists() and rung.read_text()):
        with contextlib.suppress(HostLost, RayError):
            runtime.list(Alarm)  # somebody has to look for the host: nothing else starts it
        await asyncio.sleep(0.05)
    assert int(rung.read_text()) != pid
