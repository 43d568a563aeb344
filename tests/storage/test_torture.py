"""SIGKILL of a busy process loses nothing acknowledged, wherever it comes.

FACETS_TORTURE_KILLS says how many processes are killed, FACETS_TORTURE_SEED where.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import pytest

from facets import LocalRuntime
from storage.doctor import examine
from tests.storage import torture_worker

KILLS = int(os.environ.get("FACETS_TORTURE_KILLS", "6"))
SEED = int(os.environ.get("FACETS_TORTURE_SEED", "20261125"))


def run_and_kill(state: Path, words: int, delay: float, *replica: str) -> dict[str, int]:
    """Let the worker say this many lines, kill it a moment later; the newest it said of each.

    A cut of one line is in its "opening": the kill comes while it recovers.
    """
    command = [sys.executable, "-m", "tests.storage.torture_worker", str(state), *replica]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = [process.stdout.readline().rstrip("\n") for _ in range(words)]
        with suppress(subprocess.TimeoutExpired):
            process.wait(delay)
        process.send_signal(signal.SIGKILL)
        said += process.stdout.read().split("\n")[:-1]  # a line cut by the kill was not said
    assert process.returncode == -signal.SIGKILL
    lines = [line.split() for line in said if line.startswith("actor")]
    return {name: int(n) for name, n in lines}


async def check(state: Path, acknowledged: Mapping[str, int], replica: str | None = None) -> None:
    """Each tree is as it was after some prefix of its own steps, and has what was acknowledged."""
    journal = torture_worker.JOURNAL
    async with LocalRuntime(state, journal=journal, replica=replica) as runtime:
        for name in torture_worker.NAMES:
            tree = runtime.get(torture_worker.Tree, name)
            n, branch, leaf, done = await tree.seen()
            assert branch == list(range(1, len(branch) + 1))
            assert leaf == list(range(1, len(leaf) + 1))
            assert n >= len(branch) >= len(leaf) >= done >= acknowledged.get(name, 0)
            assert n - done <= 1
            others = await tree.others()
            assert all(rows == list(range(1, len(rows) + 1)) for rows in others.values())
            assert others["left"] == others["right"]
            assert len(others["copy"]) <= len(branch)
    examined = examine(state)
    assert examined.sound, examined.findings


@pytest.mark.timeout(7200 if KILLS > 100 else 600)
async def test_kills_of_twenty_busy_trees_lose_nothing_acknowledged(state: Path) -> None:
    pick = random.Random(SEED)
    acknowledged: dict[str, int] = {}
    for kill in range(KILLS):
        while pick.random() < 0.4:
            acknowledged |= run_and_kill(state, 1, pick.random() * 0.02)
        acknowledged |= run_and_kill(state, pick.randrange(3, 200), pick.random() * 0.02)
        if kill % 3 == 2:
            await check(state, acknowledged)
    assert sum(acknowledged.values()) > 0
    await check(state, acknowledged)


@pytest.mark.timeout(7200 if KILLS > 100 else 600)
async def test_kills_while_trees_come_back_from_a_replica_lose_nothing(
    state: Path, tmp_path: Path
) -> None:
    pick = random.Random(SEED)
    replica = (tmp_path / "replica").as_uri()
    for _ in range(1 + KILLS // 4):
        acknowledged = run_and_kill(state, pick.randrange(100, 400), 0.02, replica)
        await check(state, acknowledged, replica)
    await check(tmp_path / "filled", {}, replica)
