"""The process of the first act: `python -m facets.demo.process STATE`, the job on stdin.

It writes one line of JSON and then waits to be killed.
"""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import facets.errors
from facets.demo.story import Job, first_act


class ToolFailed(facets.errors.FacetsError):
    """The tool of the demo could not be loaded, started or called."""


def run_and_kill(state: Path, job: Job) -> dict[str, Any]:
    """Run the first act in a process of its own, kill it after its reply; the report."""
    command = [sys.executable, "-m", "facets.demo.process", str(state)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # noqa: S603
    assert process.stdin is not None  # noqa: S101 - a pipe
    assert process.stdout is not None  # noqa: S101 - a pipe
    with process:
        process.stdin.write(json.dumps(job.__dict__) + "\n")
        process.stdin.flush()
        line = process.stdout.readline()
        process.send_signal(signal.SIGKILL)
    answer: dict[str, Any] = (
        json.loads(line) if line else {"error": "the process of the demo ended without an answer"}
    )
    if "error" in answer:
        raise ToolFailed(answer["error"])
    report: dict[str, Any] = answer["report"]
    return report


def main() -> None:
    """Play the first act and wait for the end."""
    job = Job(**json.loads(sys.stdin.readline()))
    asyncio.run(_play(Path(sys.argv[1]), job))


async def _play(state: Path, job: Job) -> None:
    try:
        answer: dict[str, Any] = {"report": await first_act(state, job)}
    except Exception as error:
        notes = "\n".join(getattr(error, "__notes__", ()))
        answer = {"error": f"{type(error).__name__}: {error}\n{notes}".strip()}
    print(json.dumps(answer, default=repr), flush=True)  # noqa: T201 - the answer
    await asyncio.Event().wait()


if __name__ == "__main__":
    main()
