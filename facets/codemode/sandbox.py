"""Commands of an operating system as a tool, whose changes can be undone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from facets.codemode.functions import FunctionConnector
from facets.codemode.operation import call_id
from facets.sandbox.changes import Changes
from facets.sandbox.tools import shown

if TYPE_CHECKING:
    from facets.actor import Actor
    from facets.sandbox.sandbox import Sandbox

UNDO = "/codemode/undo"
_KEPT = 20


def SandboxConnector(  # noqa: N802 - it stands beside the classes of the other connectors
    sandbox: Sandbox, actor: Actor, root: str, *, name: str = "sandbox"
) -> FunctionConnector:
    """One tool, `run`: a command over the actor's files below `root`, in a box of its own.

    All that a command does is in files, which change in one commit with the log of its call: one
    that a crash cut off has done nothing, so it runs again; with an egress it is asked for. Files
    as they were before the newest 20 calls are kept below `/codemode/undo`, and a rollback brings
    them back. `root` is not "/".
    """
    if f"{root.rstrip('/')}/" in ("/", "/codemode/", f"{UNDO}/"):
        raise ValueError(f"root={root!r} holds what code mode keeps; give a folder of its own")

    async def run(
        command: list[str], cwd: str = "", stdin: str = "", seconds: float | None = None
    ) -> dict[str, Any]:
        """Run a program with its arguments in a sandbox without a network, over the workspace;
        for a shell, ["bash", "-c", "..."]. Gives exit_code, stdout, stderr and what changed."""
        most = sandbox.limits.wall
        done, changes = await sandbox.changed(
            actor, command, root=root, cwd=cwd, stdin=stdin.encode(),
            seconds=most if seconds is None else min(seconds, most),
        )  # fmt: skip
        kept = _keep(actor, changes.inverse(actor.fs, root))
        changes.apply(actor, root)
        return shown(done) | {"changed": changes.paths(), "undo": kept}

    def revert(arguments: dict[str, Any], result: dict[str, Any]) -> None:
        path = f"{UNDO}/{result['undo']}"
        Changes.unpacked(actor.fs.read(path)).apply(actor, root)
        actor.fs.unlink(path)

    return FunctionConnector(
        name, [run], reverts={"run": revert}, repeatable=[] if sandbox.egress else ["run"]
    )


def _keep(actor: Actor, inverse: Changes) -> str:
    """Write down how files were; the name of it. The oldest ones go."""
    fs = actor.fs
    fs.mkdir(UNDO, parents=True, exist_ok=True)
    names = fs.listdir(UNDO)
    number = int(names[-1].partition("-")[0]) + 1 if names else 1
    for name in names[: len(names) - _KEPT + 1]:
        fs.unlink(f"{UNDO}/{name}")
    name = f"{number:08}-{call_id() or 'call'}".replace("/", "-")
    fs.write(f"{UNDO}/{name}", inverse.packed())
    return name
