"""A command that runs in a box, and what comes of it."""

from __future__ import annotations

import asyncio
import errno
import signal as signals
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextvars import Context
from dataclasses import dataclass
from typing import Any, Literal, final

from actors.tasks import spawn
from facets.sandbox.channel import Channel, Frame
from facets.sandbox.errors import (
    CommandFailed,
    NoSuchCommand,
    SandboxCpu,
    SandboxDisk,
    SandboxError,
    SandboxFailed,
    SandboxLimit,
    SandboxMemory,
    SandboxOutput,
    SandboxTimeout,
)
from facets.sandbox.limits import SandboxLimits

Piece = tuple[Literal["stdout", "stderr"], bytes]
_NOT_THERE = {errno.ENOENT, errno.EACCES, errno.ENOEXEC, errno.ENOTDIR, errno.EISDIR, errno.ELOOP}


@dataclass(frozen=True, slots=True)
class Done:
    """A command that ended by itself, or by a signal that was not a limit's."""

    code: int
    """What it exited with; -9 for SIGKILL, and so on."""
    stdout: bytes
    """The first `SandboxLimits.shown` bytes of its standard output."""
    stderr: bytes
    stdout_size: int
    """Bytes that it printed."""
    stderr_size: int
    stdout_file: str | None = None
    """Where in the workspace the bytes behind `stdout` are, if there are any."""
    stderr_file: str | None = None

    @property
    def text(self) -> str:
        """Its standard output as text; bytes that are not UTF-8 read as U+FFFD."""
        return self.stdout.decode(errors="replace")

    def check(self) -> Done:
        """Itself; `CommandFailed` if the exit code is not 0."""
        if self.code:
            said = self.stderr[-500:].decode(errors="replace").strip()
            raise CommandFailed(f"exit code {self.code}: {said}", done=self)
        return self


@final
class Process:
    """A command under way: output as it comes, input, and its end.

    Made by `Box.start`. Iterate for pieces of output, `("stdout", b"...")`, in the order in which
    they came; what nobody reads waits here, up to `SandboxLimits.output`.
    """

    def __init__(self, channel: Channel, limits: SandboxLimits, shown: int) -> None:
        self._channel = channel
        self._limits = limits
        self._shown = shown
        self._id = channel.listen(self._came)
        self._pieces: deque[Piece] = deque()
        self._changed = asyncio.Event()
        self._end: dict[str, Any] | None = None
        self._limit: SandboxLimit | None = None
        self._begun = False
        self._timer: asyncio.TimerHandle | None = None

    @property
    def over(self) -> bool:
        """Whether it ended."""
        return self._end is not None

    # -- for callers ------------------------------------------------------------------------

    def __aiter__(self) -> AsyncIterator[Piece]:
        return self._read()

    async def wait(self) -> int:
        """Its exit code, once it ended and all of its output is here. A `SandboxLimit` if that is
        what ended it."""
        await self._until(lambda: self._end is not None)
        if self._limit is not None:
            raise self._limit
        return int(self._over()["code"])

    async def write(self, data: bytes) -> None:
        """Give it input. What it does not read yet is kept in the box."""
        await self._stdin(data, eof=False)

    async def close_stdin(self) -> None:
        """There is no more input."""
        await self._stdin(b"", eof=True)

    async def kill(self, signal: int = signals.SIGKILL) -> None:
        """Send a signal to it and all that descends from it; nothing if it is over."""
        if self._end is None:
            await self._channel.tell({"do": "kill", "id": self._id, "signal": int(signal)})

    # -- within the package -------------------------------------------------------------------

    async def begin(
        self, argv: Sequence[str], cwd: str, env: Mapping[str, str],
        stdin: bytes | None, seconds: float | None,
    ) -> None:  # fmt: skip
        """Start it; `NoSuchCommand` if that cannot be."""
        order = {
            "do": "exec", "id": self._id, "argv": [*argv], "cwd": cwd, "shown": self._shown,
            "env": {**env}, "output": self._limits.output,
            "eof": stdin == b"",
        }  # fmt: skip
        await self._channel.tell(order)
        for at in range(0, len(stdin or b""), _PIECE):
            piece = (stdin or b"")[at : at + _PIECE]
            await self._stdin(piece, eof=at + _PIECE >= len(stdin or b""))
        self._patience(self._limits.wall if seconds is None else seconds)
        await self._until(lambda: self._begun or self._end is not None)
        if self._end is not None and "errno" in self._end:
            raise self._refused(argv[0], self._end["errno"])

    async def done(self) -> Done:
        """Its end, with what it printed."""
        code = await self.wait()
        end = self._over()
        out = b"".join(data for stream, data in self._pieces if stream == "stdout")
        err = b"".join(data for stream, data in self._pieces if stream == "stderr")
        return Done(
            code, out, err, end["sizes"]["stdout"], end["sizes"]["stderr"],
            end["spilled"].get("stdout"), end["spilled"].get("stderr"),
        )  # fmt: skip

    def hit(self, header: dict[str, Any]) -> None:
        """The box is over one of its limits, and everything in it has been killed."""
        name, most = header["over"], header["most"]
        kind, text = _OF_BOX[name]
        self._limit = self._limit or kind(text.format(most=most), most=most)

    def _came(self, frame: Frame) -> None:
        header, payload = frame
        if payload:
            stream: Any = header["stream"]
            self._pieces.append((stream, payload))
        elif "pid" in header:
            self._begun = True
        elif "limit" in header:
            self._limit = self._limit or self._of_command(header["limit"])
        else:
            self._ended(header)
        self._changed.set()

    def _ended(self, header: dict[str, Any]) -> None:
        self._end = _checked(header) if "code" in header else header
        self._channel.forget(self._id)
        if self._timer is not None:
            self._timer.cancel()

    def _patience(self, seconds: float) -> None:
        def late() -> None:
            self._limit = self._limit or SandboxTimeout(
                f"the command took longer than {seconds:g} seconds", most=seconds
            )
            self._killing = spawn(self.kill())
            # A broker that does not even do that is held up by what runs beside it.
            self._timer = loop.call_later(_PATIENCE, self._channel.kill, context=Context())

        loop = asyncio.get_running_loop()
        if self._end is None:
            self._timer = loop.call_later(seconds, late, context=Context())

    def _of_command(self, name: str) -> SandboxLimit:
        if name == "output":
            most = self._limits.output
            return SandboxOutput(f"the command printed more than {most} bytes", most=most)
        return SandboxDisk("no room for the command's output", most=self._limits.disk)

    def _refused(self, name: str, number: int) -> SandboxError:
        if number in _NOT_THERE:
            return NoSuchCommand(f"{name!r} cannot be run in the box", name=name)
        return SandboxFailed(f"{name!r} could not be started: errno {number}")

    def _over(self) -> dict[str, Any]:
        if self._end is None or "gone" in self._end:
            raise self._channel.failed or SandboxFailed("the box is gone")
        return self._end

    async def _until(self, true: Callable[[], bool]) -> None:
        while not true():
            self._changed.clear()
            await self._changed.wait()

    async def _stdin(self, data: bytes, *, eof: bool) -> None:
        if self._end is None:
            await self._channel.tell({"do": "stdin", "id": self._id, "eof": eof}, data)

    async def _read(self) -> AsyncIterator[Piece]:
        while True:
            await self._until(lambda: bool(self._pieces) or self._end is not None)
            if not self._pieces:
                return
            yield self._pieces.popleft()


def _checked(header: dict[str, Any]) -> dict[str, Any]:
    """What the box says of an end; KeyError, TypeError or ValueError end a box that says less."""
    return {
        "code": int(header["code"]),
        "sizes": {stream: int(header["sizes"][stream]) for stream in _STREAMS},
        "spilled": {stream: str(path) for stream, path in header["spilled"].items()},
    }


_STREAMS = ("stdout", "stderr")
_PIECE = 1 << 18
_PATIENCE = 5.0
_OF_BOX: dict[str, tuple[type[SandboxLimit], str]] = {
    "memory": (SandboxMemory, "all processes together took more than {most} bytes"),
    "cpu": (SandboxCpu, "the box used up its {most} seconds of processor time"),
    "files": (SandboxDisk, "there are more than {most} files"),
}
