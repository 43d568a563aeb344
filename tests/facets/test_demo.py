"""The command line: the main job, as a user runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

TOOL = """
from facets import Actor

class Counter(Actor):
    async def bump(self, by, times=1):
        print("bumping")
        self.kv["n"] = self.kv.get("n", 0) + by * times
        return {"n": self.kv["n"]}

    async def fail(self):
        raise LookupError("the tool's own")
"""


def facets(*args: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from facets.cli import main; main()", *args]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)


def demo(*args: str, stdin: str = "") -> dict[str, Any]:
    done = facets("demo", "--json", *args, stdin=stdin)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1
    return json.loads(done.stdout)


def test_the_demo_prints_one_json_object_with_result_tree_and_timings() -> None:
    said = demo()
    assert set(said) == {"result", "tree", "timings_ms"}
    assert said["result"]["batches"] == 1
    results = said["tree"]["facets"][0]["results"]
    assert [one["batches"] for one in results.values()] == [1, 2, 3, 4]
    expected = {"mint", "load", "first_call", "warm_call", "facet_rpc_us"}
    assert expected <= set(said["timings_ms"])
    assert all(value > 0 for value in said["timings_ms"].values())


def test_a_second_run_with_the_same_state_goes_on_from_the_first(state: Path) -> None:
    first, second = demo("--state", str(state)), demo("--state", str(state))
    assert first["result"]["batches"] == 1
    assert second["result"]["batches"] == 5
    assert second["result"]["hits"] == 5000


def test_a_users_own_tool_runs_from_a_file_and_from_stdin(tmp_path: Path) -> None:
    file = tmp_path / "counter.py"
    file.write_text(TOOL)
    options = ("--class", "Counter", "--call", "bump", "--args", "[20]")
    assert demo("--tool", str(file), *options)["result"] == {"n": 20}
    assert demo("--tool", "-", *options, stdin=TOOL)["result"] == {"n": 20}


def test_the_readable_tree_tells_the_story() -> None:
    done = facets("demo")
    assert done.returncode == 0, done.stderr
    for part in ("parent actor", "in an isolate", "isolate minted", "aborted", "SIGKILL", "ms"):
        assert part in done.stdout


@pytest.mark.parametrize(
    ("args", "part"),
    [
        (("--tool", "no/such/file.py"), "cannot read"),
        (("--args", "[1"), "JSON"),
        (("--args", "{}"), "list"),
        (("--tool", "-", "--class", "Nothing"), "Nothing"),
        (("--tool", "-", "--class", "Counter", "--call", "walk"), "walk"),
        (("--tool", "-", "--class", "Counter", "--call", "fail"), "the tool's own"),
    ],
)
def test_bad_input_ends_with_a_clear_message_and_no_traceback_of_ours(
    args: tuple[str, ...], part: str
) -> None:
    done = facets("demo", *args, stdin=TOOL)
    assert done.returncode != 0
    assert part in done.stderr
    assert "facets/cli.py" not in done.stderr
