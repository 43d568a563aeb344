"""A box: a workspace, and commands that run in it."""

from __future__ import annotations

import asyncio
import errno
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, final

from facets.sandbox.changes import Changes, entries
from facets.sandbox.channel import Channel, Frame
from facets.sandbox.errors import SandboxDisk, SandboxFailed
from facets.sandbox.limits import SandboxLimits
from facets.sandbox.process import Done, Process
from facets.sandbox.starting import ENVIRONMENT

if TYPE_CHECKING:
    from facets.actor import Actor

_PIECE = 1 << 18


@final
class Box:
    """An open sandbox: namespaces of its own, nothing of the host but its programs to read.

    Made by `Sandbox.open`. Commands of one box see each other and the same `/workspace`, `/tmp`
    and loopback network. What a command leaves running goes on until the box is closed. Belongs
    to the loop, and dies with the thread, that it was opened on.
    """

    def __init__(
        self, channel: Channel, limits: SandboxLimits, actor: Actor | None, root: str,
        environment: Mapping[str, str],
    ) -> None:  # fmt: skip
        self._channel = channel
        self._limits = limits
        self._actor = actor
        self._root = root
        self._environment = {**ENVIRONMENT, **environment}
        self._processes: set[Process] = set()
        channel.over = self._over

    # -- commands -------------------------------------------------------------------------------

    async def exec(
        self, argv: Sequence[str], *, cwd: str = "", env: Mapping[str, str] | None = None,
        stdin: bytes = b"", seconds: float | None = None,
    ) -> Done:  # fmt: skip
        """Run a command to its end.

        If the box has an actor, its files are made those of the workspace in the step that this
        returns in: what the caller writes next, without waiting, is in one commit with them. If
        this raises, nothing of them changes.

        `argv` is a program and its arguments, no shell between: `["bash", "-c", text]` for one.
        `cwd` is relative to the workspace; `env` is put over a small environment that has nothing
        of the host's. `seconds` takes the place of `SandboxLimits.wall`.
        Cancelling kills the command and all that descends from it.

        `NoSuchCommand`, a `SandboxLimit`, or `SandboxFailed` if the box dies.
        """
        done, changes = await self.run(argv, cwd, env, stdin, seconds)
        if self._actor is not None:
            changes.apply(self._actor, self._root)
        return done

    async def start(
        self, argv: Sequence[str], *, cwd: str = "", env: Mapping[str, str] | None = None,
        stdin: bytes | None = b"", seconds: float = math.inf,
    ) -> Process:  # fmt: skip
        """The same, for output as it comes; with `stdin=None` input can be written to it.

        It changes nothing in the actor's files: the next `exec`, or `keep`, does.
        """
        return await self._begin(-1, argv, cwd, env, stdin, seconds)

    async def run(
        self, argv: Sequence[str], cwd: str, env: Mapping[str, str] | None,
        stdin: bytes, seconds: float | None,
    ) -> tuple[Done, Changes]:  # fmt: skip
        """A command to its end, and what it changed, which is not kept yet."""
        process = await self._begin(self._limits.shown, argv, cwd, env, stdin, seconds)
        try:
            done = await process.done()
        except BaseException:
            await process.kill()
            raise
        finally:
            self._processes.discard(process)
        return done, await self._changes()

    async def _begin(
        self, shown: int, argv: Sequence[str], cwd: str, env: Mapping[str, str] | None,
        stdin: bytes | None, seconds: float | None,
    ) -> Process:  # fmt: skip
        if not argv or any("\0" in word for word in argv):
            raise ValueError("a command is a program and its arguments, without NULs")
        process = Process(self._channel, self._limits, shown)
        self._processes = {one for one in self._processes if not one.over} | {process}
        await process.begin(argv, cwd, {**self._environment, **(env or {})}, stdin, seconds)
        return process

    # -- files --------------------------------------------------------------------------------

    async def write(self, path: str, content: bytes, mode: int = 0o644) -> None:
        """Make a file of the workspace; the actor's files have it after the next `exec`."""
        at = 0
        while True:
            piece = content[at : at + _PIECE]
            last = at + len(piece) == len(content)
            order = {"path": path, "kind": "file", "mode": mode, "offset": at, "last": last}
            await self._put(order, piece, answered=last)
            at += len(piece)
            if last:
                return

    async def read(self, path: str, offset: int = 0, size: int = 16 << 20) -> bytes:
        """At most `size` bytes of a file of the workspace; an OSError if there is none."""
        pieces = await self._ask({"do": "read", "path": path, "offset": offset, "size": size})
        return b"".join(payload for _, payload in pieces)

    async def keep(self) -> None:
        """Make the actor's files those of the workspace, in the step that this returns in."""
        if self._actor is not None:
            (await self._changes()).apply(self._actor, self._root)

    async def load(self) -> None:
        """Put the actor's files in."""
        if self._actor is None:
            return
        fs = self._actor.fs
        for entry in [*entries(fs, self._root)]:
            if entry["kind"] == "file":
                await self.write(entry["path"], fs.read(entry["at"]), entry["mode"])
            else:
                await self._put(entry, b"", answered=True)
        await self._ask({"do": "mark"})

    async def _changes(self) -> Changes:
        changes = Changes()
        if self._actor is None:
            return changes
        for frame in await self._ask({"do": "changes"}):
            try:
                changes.add(frame, self._limits.disk + 256 * self._limits.files)
            except (KeyError, TypeError, ValueError) as error:
                raise SandboxFailed(f"the box told its changes wrongly: {error!r}") from error
        return changes

    async def _put(self, entry: dict[str, Any], content: bytes, *, answered: bool) -> None:
        await self._ask({"do": "put", **entry}, content, answered=answered)

    async def _ask(
        self, order: dict[str, Any], payload: bytes = b"", *, answered: bool = True
    ) -> list[Frame]:
        """The frames that answer an order, up to the one that says it was the last."""
        frames: asyncio.Queue[Frame] = asyncio.Queue()
        id = self._channel.listen(frames.put_nowait)
        try:
            await self._channel.tell({**order, "id": id}, payload)
            found: list[Frame] = []
            while answered:
                header, content = await frames.get()
                if "gone" in header and header["gone"] is True:
                    raise self._channel.failed or SandboxFailed("the box is gone")
                if "errno" in header:
                    raise self._refused(header)
                if "end" in header:
                    break
                found.append((header, content))
            return found
        finally:
            self._channel.forget(id)

    def _refused(self, header: dict[str, Any]) -> Exception:
        number, path = int(header["errno"]), str(header["path"])[:500]
        if number in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT):
            most = self._limits.disk
            return SandboxDisk(f"{path} does not fit into {most} bytes", most=most)
        return OSError(number, "in the box", path)

    def _over(self, header: dict[str, Any]) -> None:
        for one in self._processes:
            one.hit(header)
