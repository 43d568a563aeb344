"""What the README shows works."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

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
