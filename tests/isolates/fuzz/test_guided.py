"""Fuzzing by coverage, for as long as `FACETS_FUZZ_SECONDS` says; where atheris is installed."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

SECONDS = float(os.environ.get("FACETS_FUZZ_SECONDS", "3"))
ROOT = Path(__file__).parents[3]

pytestmark = pytest.mark.timeout(SECONDS + 240)


@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="needs atheris")
def test_no_input_raises_what_a_guest_may_not_cause(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tests.isolates.fuzz.guided", str(SECONDS)]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr[-4000:]
    assert "Done " in done.stderr, done.stderr[-4000:]
