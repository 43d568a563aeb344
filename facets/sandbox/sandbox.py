"""The Sandbox that an application holds."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, final

from facets.egress.acting import exit_of
from facets.sandbox.box import Box
from facets.sandbox.changes import Changes
from facets.sandbox.channel import Channel, Plan
from facets.sandbox.errors import SandboxBusy
from facets.sandbox.limits import SandboxLimits
from facets.sandbox.process import Done

if TYPE_CHECKING:
    from facets.actor import Actor
    from facets.agents.tool import Tool
    from facets.egress.egress import Egress
    from facets.sandbox.proxy import Authority


@final
class Sandbox:
    """Commands that need a real operating system: shells, compilers, git, CPython.

        SANDBOX = Sandbox(limits=SandboxLimits(memory=512 << 20))

        class Builder(Actor):
            async def build(self) -> str:
                done = await SANDBOX.run(self, ["make", "all"], root="/project")
                return done.check().text

    A box has namespaces of its own (processes, network, mounts, users, IPC), the host's `/usr` and
    the folders of `readable` for reading, and a workspace, `/tmp` and nothing else to write, all
    of it in memory. It has no network but its own loopback, none of the host's environment,
    files, sockets or processes, no privileges, and no system calls that would lead around that.
    It ends when it is closed, and when the process or the thread that opened it ends, however.

    With an `egress` programs find a proxy on their loopback (`https_proxy` and so on): requests of
    http and https are made by the host, by its rules, with a budget for each box.

    Needs Linux with user namespaces, bubblewrap (`program`, or found) and the extra `sandbox`;
    `SandboxUnavailable` says what is missing. Nothing is checked before the first box is opened.
    `boxes` may be open at a time: one more is `SandboxBusy`.
    """

    def __init__(
        self,
        *,
        limits: SandboxLimits | None = None,
        readable: Sequence[str] = (),
        egress: Egress | None = None,
        program: str | None = None,
        boxes: int = 16,
    ) -> None:
        self.limits = limits or SandboxLimits()
        self.boxes = boxes
        self.egress = egress
        self._authority = None if egress is None else _authority()
        self._plan = Plan(
            self.limits, tuple(readable), program,
            "" if self._authority is None else self._authority.certificate,
        )  # fmt: skip
        self._open = 0

    @asynccontextmanager
    async def open(self, actor: Actor | None = None, root: str = "/") -> AsyncGenerator[Box]:
        """A box for several commands, with the actor's files below `root` in its workspace."""
        if self._open >= self.boxes:
            raise SandboxBusy(f"{self.boxes} boxes are open", most=self.boxes)
        self._open += 1
        try:
            channel = await Channel.open(self._plan)
            try:
                async with self._way_out(channel, actor) as environment:
                    box = Box(channel, self.limits, actor, root, environment)
                    await box.load()
                    yield box
            finally:
                await channel.close()
        finally:
            self._open -= 1

    @asynccontextmanager
    async def _way_out(
        self, channel: Channel, actor: Actor | None
    ) -> AsyncGenerator[Mapping[str, str]]:
        """What programs are told of their proxy, while it is there."""
        if self.egress is None or self._authority is None or channel.door is None:
            yield {}
            return
        from facets.sandbox.proxy import ENVIRONMENT, Proxy

        proxy = Proxy(exit_of(self.egress, actor, "sandbox"), self._authority)
        await proxy.open(channel.door)
        try:
            yield ENVIRONMENT
        finally:
            await proxy.close()

    async def run(
        self, actor: Actor | None, argv: Sequence[str], *, root: str = "/", cwd: str = "",
        env: Mapping[str, str] | None = None, stdin: bytes = b"", seconds: float | None = None,
    ) -> Done:  # fmt: skip
        """One command in a box of its own: see `Box.exec`.

        Nothing of it runs when this returns, and the actor's files are changed in that step.
        """
        done, changes = await self.changed(
            actor, argv, root=root, cwd=cwd, env=env, stdin=stdin, seconds=seconds
        )
        if actor is not None:
            changes.apply(actor, root)
        return done

    async def changed(
        self, actor: Actor | None, argv: Sequence[str], *, root: str = "/", cwd: str = "",
        env: Mapping[str, str] | None = None, stdin: bytes = b"", seconds: float | None = None,
    ) -> tuple[Done, Changes]:  # fmt: skip
        """The same, with the changes of files in the place of making them: `Changes.apply`."""
        async with self.open(actor, root) as box:
            return await box.run(argv, cwd, env, stdin, seconds)

    def tools(self, actor: Actor, root: str = "/") -> list[Tool]:
        """What lets a model use it: `run_command`, over the actor's files below `root`.

        Each command has a box of its own. Put them among the tools of an agent to grant it.
        """
        from facets.sandbox.tools import tools

        return tools(self, actor, root)


def _authority() -> Authority:
    from facets.sandbox.proxy import Authority

    return Authority()
