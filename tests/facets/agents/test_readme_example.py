"""The agent that the README shows runs, and its turn is asked for once."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_the_agent_of_the_readme_answers_once_however_often_it_is_run(tmp_path: Path) -> None:
    text = (ROOT / "README.md").read_text()
    (program,) = re.findall(r"<!-- agents -->\n```py\n(.*?)```", text, re.DOTALL)
    (tmp_path / "program.py").write_text(program)
    said = [
        subprocess.run(
            [sys.executable, "program.py"],
            cwd=tmp_path,
            env={"PYTHONPATH": str(ROOT), "PATH": "", "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for _ in range(2)
    ]
    assert said == ["completed 2\n"] * 2
