"""A sandbox as tools of a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from facets.agents.tool import Tool, tool, tool_of

if TYPE_CHECKING:
    from facets.actor import Actor
    from facets.sandbox.process import Done
    from facets.sandbox.sandbox import Sandbox

_SHOWN = 16 << 10
_AROUND = 30.0
"""Seconds for files in and out, besides the command."""


def tools(sandbox: Sandbox, actor: Actor, root: str) -> list[Tool]:
    """`run_command`."""

    @tool(seconds=sandbox.limits.wall + _AROUND)
    async def run_command(
        command: list[str], cwd: str = "", stdin: str = "", seconds: float | None = None
    ) -> dict[str, Any]:
        """Run a program with its arguments in a sandbox without a network; for a shell, command
        is ["bash", "-c", "..."]. It works on the files of the workspace, the current folder; what
        it changes there is kept, everything else and every process is gone when it ends. `cwd`
        is relative to the workspace."""
        most = sandbox.limits.wall
        seconds = most if seconds is None else min(seconds, most)
        done = await sandbox.run(
            actor, command, root=root, cwd=cwd, stdin=stdin.encode(), seconds=seconds
        )
        return shown(done)

    return [tool_of(run_command)]


def shown(done: Done) -> dict[str, Any]:
    """What a model reads of a command: the ends of its output, and where the rest is."""
    found: dict[str, Any] = {"exit_code": done.code}
    for stream, text, size, file in (
        ("stdout", done.stdout, done.stdout_size, done.stdout_file),
        ("stderr", done.stderr, done.stderr_size, done.stderr_file),
    ):
        found[stream] = text[:_SHOWN].decode(errors="replace")
        if size > _SHOWN:
            found[f"{stream}_cut"] = f"the first {_SHOWN} of {size} bytes"
        if file is not None:
            found[f"{stream}_rest"] = file
    return found
