"""Every example runs by the command that the README shows, where there is no network."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from facets.examples_command import sources

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def run(*args: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(ROOT), "RAY_ADDRESS": "local"}
    return subprocess.run(
        [sys.executable, "-W", "error::RuntimeWarning", "-m", "tests.offline", *args],
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("name", sources())
def test_the_example_runs_without_a_network_and_leaves_nothing_behind(
    name: str, tmp_path: Path
) -> None:
    done = run("example", name, cwd=tmp_path)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip()
    assert list(tmp_path.iterdir()) == []


def test_the_readme_has_a_row_for_every_example() -> None:
    assert re.findall(r"^\| `facets example (\w+)` \|", README, re.MULTILINE) == list(sources())


def test_an_unknown_example_is_refused_with_the_names_of_those_there_are(tmp_path: Path) -> None:
    done = run("example", "octopus", cwd=tmp_path)

    assert done.returncode == 1
    assert "agent" in done.stderr


def test_without_a_name_all_examples_are_listed(tmp_path: Path) -> None:
    done = run("example", cwd=tmp_path)

    assert all(name in done.stdout for name in sources())


def test_the_network_is_refused_where_examples_run(tmp_path: Path) -> None:
    code = "import tests.offline, socket; socket.create_connection(('192.0.2.1', 80), 5)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "no network here" in done.stderr
