"""SIGKILL at random moments with timers under way: none is lost, and one step happens once."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

KILLS = 8
WORKER = [sys.executable, "-m", "tests.facets.timers_worker"]


def schedule_and_kill(state: Path, seed: int, batches: int, delay: float) -> list[list[Any]]:
    """Let the worker acknowledge this many batches, kill it a moment later; what it said."""
    command = [*WORKER, "schedule", str(state), str(seed)]
    said: list[list[Any]] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said += [json.loads(process.stdout.readline()) for _ in range(batches)]
        try:
            process.wait(delay)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
        said += [json.loads(line) for line in process.stdout.read().split("\n")[:-1]]
    return said


@pytest.mark.timeout(300)
def test_every_timer_that_was_acknowledged_is_delivered_and_one_of_one_step_once(
    state: Path,
) -> None:
    pick = random.Random(20261125)
    promised: dict[str, set[str]] = {}
    for seed in range(KILLS):
        for actor, where, keys in schedule_and_kill(
            state, seed, pick.randrange(5, 40), pick.random() * 0.03
        ):
            promised.setdefault(f"{actor}/{where}", set()).update(keys)
    drained = subprocess.run(
        [*WORKER, "drain", str(state)], capture_output=True, text=True, check=True, timeout=120
    )
    seen = json.loads(drained.stdout)
    assert sum(map(len, promised.values())) > 100
    assert drained.stderr == ""
    for place, found in seen.items():
        assert promised.get(place, set()) <= found["hits"].keys()
        assert set(found["hits"].values()) <= {1}
        assert found["begun"].keys() <= found["hits"].keys()
        assert set(found["ticks"]) <= {1}
        assert found["dead"] == []
    assert any(found["ticks"] for found in seen.values())
