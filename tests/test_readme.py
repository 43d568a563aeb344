"""What the README shows works, and its tables say what the code does."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

import facets
from facets import mcp_commands, ray_commands
from facets.agents import EventLimits, TurnLimits
from facets.cli import app

README = (Path(__file__).parents[1] / "README.md").read_text()


CLUSTER = 'facets.RayRuntime("state/", hosts=2)'


@pytest.mark.parametrize("runtime", ['facets.LocalRuntime("state/")', CLUSTER])
def test_the_program_runs_and_goes_on_from_where_it_was(tmp_path: Path, runtime: str) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert runtime in README
    program = program.replace('facets.LocalRuntime("state/")', runtime)
    (tmp_path / "program.py").write_text(program)
    root = str(Path(__file__).parents[1])
    said = [
        subprocess.run(
            [sys.executable, "program.py"],
            cwd=tmp_path,
            env={"PYTHONPATH": root, "PATH": "", "HOME": str(Path.home()), "RAY_ADDRESS": "local"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        for _ in range(2)
    ]

    assert said == [["1", "20"], ["2", "40"]]


@pytest.mark.parametrize(
    "limits",
    [
        facets.StorageLimits,
        facets.JournalLimits,
        facets.HistoryLimits,
        facets.FileLimits,
        facets.Limits,
        facets.IsolateLimits,
        facets.TimerLimits,
        TurnLimits,
        EventLimits,
    ],
)
def test_every_limit_has_a_row(limits: type) -> None:
    prefix = "" if limits in (facets.StorageLimits, facets.Limits) else f"{limits.__name__}."
    names = {prefix + one.name for one in fields(limits) if one.name != "given"}

    assert {name for name in names if f"| `{name}` |" not in README} == set()


def test_every_command_is_shown() -> None:
    commands = {one.name or one.callback.__name__ for one in app.registered_commands}  # type: ignore[union-attr]

    of_ray = {f"ray {one.callback.__name__}" for one in ray_commands.app.registered_commands}  # type: ignore[union-attr]

    of_mcp = {f"mcp {one.callback.__name__}" for one in mcp_commands.app.registered_commands}  # type: ignore[union-attr]

    missing = {name for name in commands | of_ray | of_mcp if f"    facets {name}" not in README}
    assert missing == set()
