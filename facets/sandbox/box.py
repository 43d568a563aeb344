"""A box: a workspace, and commands that run in it."""

from __future__ import annotations

import asyncio
import errno
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, final

from facets.sandbox.changes import Changes, entries
from facets.sandbox.channel import Channel, Frame
from facets.sandbox.errors import SandboxDisk, SandboxFailed
from facets.sandbox.limits import SandboxLimits
from facets.sandbox.process import Done, Process
from facets.sandbox.starting import ENVIRONMENT

if TYPE_CHECKING:
    from facets.actor import Actor
    from storage.files import Files

_PIECE = 1 << 18
Order = tuple[dict[str, Any], bytes]


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
        await self._ask(_pieces(path, content, mode, last=True))

    async def read(self, path: str, offset: int = 0, size: int = 16 << 20) -> bytes:
        """At most `size` bytes of a file of the workspace; an OSError if there is none."""
        order = {"do": "read", "path": path, "offset": offset, "size": size}
        pieces = await self._ask([(order, b"")])
        return b"".join(payload for _, payload in pieces)

    async def keep(self) -> None:
        """Make the actor's files those of the workspace, in the step that this returns in."""
        if self._actor is not None:
            (await self._changes()).apply(self._actor, self._root)

    async def load(self) -> None:
        """Put the actor's files in."""
        if self._actor is None:
            return
        await self._ask(self._loaded(self._actor.fs))

    def _loaded(self, fs: Files) -> Iterator[Order]:
        for entry in entries(fs, self._root):
            if entry["kind"] == "file":
                yield from _pieces(entry["path"], fs.read(entry["at"]), entry["mode"], last=False)
            else:
                yield {"do": "put", **entry, "last": False}, b""
        yield {"do": "mark"}, b""

    async def _changes(self) -> Changes:
        changes = Changes()
        if self._actor is None:
            return changes
        for frame in await self._ask([({"do": "changes"}, b"")]):
            try:
                changes.add(frame, self._limits.disk + 256 * self._limits.files)
            except (KeyError, TypeError, ValueError) as error:
                raise SandboxFailed(f"the box told its changes wrongly: {error!r}") from error
        return changes

    async def _ask(self, orders: Iterable[Order]) -> list[Frame]:
        """The frames that answer orders, up to the one that says that the last of them is done."""
        frames: asyncio.Queue[Frame] = asyncio.Queue()
        id = self._channel.listen(frames.put_nowait)
        found: list[Frame] = []
        try:
            for order, payload in orders:
                await self._channel.tell({**order, "id": id}, payload)
                while not frames.empty():
                    self._answered(frames.get_nowait(), found)
            while not self._answered(await frames.get(), found):
                pass
            return found
        finally:
            self._channel.forget(id)

    def _answered(self, frame: Frame, found: list[Frame]) -> bool:
        """Whether it is the last one; an error if it says that something went wrong."""
        header = frame[0]
        if header.get("gone") is True:
            raise self._channel.failed or SandboxFailed("the box is gone")
        if "errno" in header:
            raise self._refused(header)
        if "end" not in header:
            found.append(frame)
        return "end" in header

    def _refused(self, header: dict[str, Any]) -> Exception:
        number, path = int(header["errno"]), str(header["path"])[:500]
        if number in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT):
            most = self._limits.disk
            return SandboxDisk(f"{path} does not fit into {most} bytes", most=most)
        return OSError(number, "in the box", path)

    def _over(self, header: dict[str, Any]) -> None:
        for one in self._processes:
            one.hit(header)


def _pieces(path: str, content: bytes, mode: int, *, last: bool) -> Iterator[Order]:
    """Orders that make a file; the last is answered if `last`."""
    for at in range(0, len(content) or 1, _PIECE):
        order = {"do": "put", "path": path, "kind": "file", "mode": mode, "offset": at}
        yield {**order, "last": last and at + _PIECE >= len(content)}, content[at : at + _PIECE]
