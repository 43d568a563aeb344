"""SIGKILL of a process that sweeps while it writes: every file that is left can be read.

FACETS_TORTURE_KILLS says how many processes are killed, FACETS_TORTURE_SEED where.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from facets import LocalRuntime
from storage.doctor import examine, sweep
from storage.errors import BookmarkGone, NoState
from tests.storage.sweep_worker import NAMES, OPTIONS, Keeper, after

KILLS = int(os.environ.get("FACETS_TORTURE_KILLS", "2"))
SEED = int(os.environ.get("FACETS_TORTURE_SEED", "20261125"))
Said = dict[str, list[tuple[int, str]]]
"""By actor, its changes that were acknowledged, each with a bookmark of then or a little later."""


def run_and_kill(state: Path, lines: int) -> tuple[Said, int]:
    """What it said, and how many objects it removed."""
    command = [sys.executable, "-m", "tests.storage.sweep_worker", str(state)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        heard = [process.stdout.readline().rstrip("\n") for _ in range(lines)]
        process.send_signal(signal.SIGKILL)
        heard += process.stdout.read().split("\n")[:-1]
    assert process.returncode == -signal.SIGKILL
    said: Said = {}
    removed = 0
    for name, n, mark, swept in (line.split() for line in heard):
        removed = int(swept)
        said.setdefault(name, []).append((int(n), mark))
    return said, removed


async def check(state: Path, said: Said, pick: random.Random) -> None:
    """All files are as they were after some change, none that was acknowledged is missing; and
    so they are at every bookmark that there still is."""
    async with LocalRuntime(state, **OPTIONS) as runtime:  # type: ignore[arg-type]
        for name in [*NAMES, *runtime.list(Keeper)]:
            whose, n, files = await runtime.get(Keeper, name).seen()
            assert files == after(whose, n)
            assert n >= max([n for n, _ in said.get(name, [])], default=0)
        for name, changes in said.items():
            for n, mark in [*changes[-2:], *pick.sample(changes, min(1, len(changes)))]:
                try:
                    await runtime.restore(Keeper, name, mark)
                except (BookmarkGone, NoState):
                    continue
                whose, found, files = await runtime.get(Keeper, name).seen()
                assert found >= n
                assert files == after(whose, found)
    examined = examine(state)
    assert examined.sound, examined.findings


@pytest.mark.timeout(7200 if KILLS > 100 else 600)
async def test_kills_of_a_process_that_sweeps_take_nothing_along(state: Path) -> None:
    pick = random.Random(SEED)
    removed = 0
    for _ in range(KILLS):
        said, more = run_and_kill(state, pick.randrange(300, 900))
        removed += more
        await check(state, said, pick)
        sweep(state)
    # In a short run nothing may be old enough; test_sweep.py says what is removed, and when.
    assert removed > 0 or KILLS < 20
