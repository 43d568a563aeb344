"""SIGKILL at random moments loses nothing that was acknowledged, and leaves a prefix."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from facets import LocalRuntime
from tests.facets import kill_worker

KILLS = 50


def run_and_kill(state: Path, acknowledgements: int, delay: float) -> int:
    """Let the worker acknowledge this often, kill it a moment later; the newest it said."""
    command = [sys.executable, "-m", "tests.facets.kill_worker", str(state)]
    newest = 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for _ in range(acknowledgements):
            newest = int(process.stdout.readline())
        try:
            process.wait(delay)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
        said = process.stdout.read().split("\n")[:-1]  # a line cut by the kill was not said
    return int(said[-1]) if said else newest


@pytest.mark.timeout(300)
async def test_fifty_kills_lose_nothing_acknowledged(state: Path) -> None:
    pick = random.Random(20261124)
    for _ in range(KILLS):
        acknowledged = run_and_kill(state, pick.randrange(1, 20), pick.random() * 0.02)
        async with LocalRuntime(state) as runtime:
            n, plain, tool = await runtime.get(kill_worker.Lead, "a").seen()
        assert tool == list(range(1, len(tool) + 1))
        assert plain == list(range(1, len(plain) + 1))
        assert n >= len(plain) >= len(tool) >= acknowledged
        assert n - len(tool) <= 1
