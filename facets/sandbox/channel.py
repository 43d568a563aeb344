"""The host's end of a box: bubblewrap as a process, and frames to and from its broker."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import struct
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from actors.tasks import spawn
from facets.sandbox import filtering, locating, starting
from facets.sandbox.errors import SandboxClosed, SandboxFailed, SandboxUnavailable
from facets.sandbox.limits import SandboxLimits

_HEAD = struct.Struct("!II")
_HEADER = 32 << 20
"""Bytes of the longest header: the names of all files that are gone."""
_PAYLOAD = 1 << 20
_PATIENCE = 5.0
Frame = tuple[dict[str, Any], bytes]


@dataclass(frozen=True, slots=True)
class Plan:
    """What a box is made with."""

    limits: SandboxLimits
    readable: tuple[str, ...] = ()
    program: str | None = None
    authority: str = ""
    """The certificate that its programs trust, if it has a way out."""


class Channel:
    """Sends orders, and gives each frame that comes to whoever waits for its id.

    What comes from inside is a stranger's word: sizes are looked at before they are believed.
    """

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._listeners: dict[int, Callable[[Frame], None]] = {}
        self._ids = 0
        self._reading: asyncio.Task[None] | None = None
        self.over: Callable[[dict[str, Any]], None] = lambda header: None
        self.failed: BaseException | None = None
        self.door: socket.socket | None = None
        """Listens in the box, and is served by the host."""

    @classmethod
    async def open(cls, plan: Plan) -> Channel:
        """Start one and wait until its broker is ready; `SandboxUnavailable` if it never is."""
        (ours, theirs), (door, inside) = socket.socketpair(), socket.socketpair()
        with ours, theirs, door, inside, tempfile.TemporaryFile() as stderr:
            channel = cls(_start(plan, theirs, inside, stderr))
            theirs.close()
            kept = ours.dup()
            ours.close()  # its broker ends when no copy of it is left
            kept.setblocking(False)
            try:
                channel._streams = await asyncio.open_connection(sock=kept)
                await channel._begin(plan.limits, lambda: os.pread(stderr.fileno(), 2000, 0))
            except BaseException:
                if channel._streams is None:
                    kept.close()
                channel.kill()
                await channel.close()
                raise
            if plan.authority:  # it is there: the broker gave it before it was ready
                door.setblocking(False)
                _, (fd,), _, _ = socket.recv_fds(door, 1, 1)
                channel.door = socket.socket(fileno=fd)
        return channel

    async def _begin(self, limits: SandboxLimits, said: Callable[[], bytes]) -> None:
        try:
            await self.tell({"do": "limits", "limits": limits.of_broker()})
            header, _ = await self._frame()
        except BaseException as error:
            await self.close()
            if isinstance(error, OSError | EOFError):
                raise _refused(said()) from error
            raise
        if header != {"ready": True}:
            await self.close()
            raise SandboxFailed("the box began with something else")
        self._reading = spawn(self._read())

    # -- frames ---------------------------------------------------------------------------

    def listen(self, listener: Callable[[Frame], None]) -> int:
        """An id; frames that carry it go to `listener`, until `forget`."""
        self._ids += 1
        self._listeners[self._ids] = listener
        return self._ids

    def forget(self, id: int) -> None:
        """No more frames for this id."""
        self._listeners.pop(id, None)

    async def tell(self, header: dict[str, Any], payload: bytes = b"") -> None:
        """Send an order; `SandboxClosed` or `SandboxFailed` if nobody is there."""
        if self._streams is None:
            raise SandboxClosed("the box is closed")
        if self.failed is not None:
            raise self.failed
        writer = self._streams[1]
        text = json.dumps(header).encode()
        writer.write(_HEAD.pack(len(text), len(payload)) + text + payload)
        await writer.drain()

    async def _frame(self) -> Frame:
        if self._streams is None:
            raise EOFError
        reader = self._streams[0]
        header, payload = _HEAD.unpack(await reader.readexactly(_HEAD.size))
        if header > _HEADER or payload > _PAYLOAD:
            raise ValueError("a frame is too long")
        found = json.loads(await reader.readexactly(header))
        if not isinstance(found, dict):
            raise ValueError("a header is no object")
        return found, await reader.readexactly(payload)

    async def _read(self) -> None:
        """Until the box is gone: then everybody who waits is told."""
        why: str = "it ended"
        try:
            while True:
                header, payload = await self._frame()
                if "over" in header:
                    self.over(header)
                listener = self._listeners.get(header.get("id", 0))
                if listener is not None:
                    listener((header, payload))
        except (OSError, EOFError):
            pass
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            why = f"it did not keep to the protocol: {error}"
        self.failed = SandboxFailed(f"the box is gone: {why}")
        for listener in [*self._listeners.values()]:
            listener(({"gone": True}, b""))
        self.kill()

    # -- the end ---------------------------------------------------------------------------

    def kill(self) -> None:
        """End bubblewrap, and with it the broker; what the broker leaves the kernel ends."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGKILL)

    async def close(self) -> None:
        """End everything in the box, and wait until it is over. May be called twice."""
        streams, self._streams = self._streams, None
        if streams is not None:
            streams[1].close()  # the broker ends, and all others with it
        await asyncio.shield(spawn(self._gone()))

    async def _gone(self) -> None:
        try:
            await asyncio.wait_for(_ended(self.process), _PATIENCE)
        except TimeoutError:
            self.kill()
            await _ended(self.process)
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait([self._reading])


def _refused(said: bytes) -> SandboxUnavailable:
    text = said.decode(errors="replace").strip()
    return SandboxUnavailable(
        f"bubblewrap could not start: {text[-500:] or 'it said nothing'}",
        hint="it needs bubblewrap 0.8 or newer, and user namespaces that are allowed "
        "(kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns, "
        "a container's seccomp profile)",
    )


def _start(
    plan: Plan, theirs: socket.socket, inside: socket.socket, stderr: Any
) -> subprocess.Popen[bytes]:
    """Fork on this thread: a box ends with the thread that made it (PR_SET_PDEATHSIG)."""
    path = locating.bubblewrap(plan.program)
    interpreter, folder = locating.python()
    files = starting.small_files()
    if plan.authority:
        files |= dict.fromkeys(starting.trusted(), plan.authority)
    with contextlib.ExitStack() as held:
        fds = {name: _data(held, text.encode()) for name, text in files.items()}
        seccomp = _data(held, filtering.program())
        passed = [theirs.fileno(), seccomp, *fds.values()]
        if plan.authority:
            passed.append(inside.fileno())
        argv = starting.command(
            path, plan.limits, [*plan.readable, *([folder] if folder else [])], interpreter,
            theirs.fileno(), seccomp, fds, inside.fileno() if plan.authority else None,
        )  # fmt: skip
        user: dict[str, Any] = {}
        if not os.geteuid():
            user = {"user": locating.UID, "group": locating.UID, "extra_groups": []}
        return subprocess.Popen(  # noqa: S603 - its words are ours
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stderr,
            pass_fds=passed, env={}, cwd="/", **user,
        )  # fmt: skip


def _data(held: contextlib.ExitStack, content: bytes) -> int:
    """A descriptor from which exactly this can be read."""
    file = held.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
    file.write(content)
    file.flush()
    file.seek(0)
    return file.fileno()


async def _ended(process: subprocess.Popen[bytes]) -> None:
    """Wait for a process without a thread, and take it off the kernel's list."""
    if process.poll() is not None:
        return
    fd = os.pidfd_open(process.pid)
    ready = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(fd, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(fd)
        os.close(fd)
    process.wait()
