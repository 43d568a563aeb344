"""One science interpreter: `boot` and `pump` as turns of its read-eval loop.

The interpreter exports `turn`, which runs source text in a namespace that it keeps. The first
turn runs `setup`, which brings the guest's own modules; each later one is a call of `_turn`. What
goes to and fro passes through a descriptor that has no file behind it, `wasi.CHANNEL`:

    write   "c" storage operation    parks the fiber; then the answer can be read
            "w" seconds              parks the fiber until they are over
            "l" stream, text         printed
            "o" outbox               what `boot` or `pump` returns
    read    8 bytes of length, then the text: the inbox of the turn, or the answer

It is as the two other imports of the Python guest, only carried otherwise, so what a session
allows is the same.
"""

from __future__ import annotations

import ctypes
import errno
from typing import TYPE_CHECKING, Any

from wasmtime import _ffi as ffi

from facets.isolates import capi
from facets.isolates.errors import ProtocolViolation
from facets.isolates.instance import BOOT, Parked, Trapped, too_large
from facets.isolates.science import setup, wasi
from facets.isolates.science.files import Failed, Files
from facets.isolates.wasm import capi as core
from facets.isolates.wasm.core import export, invoke, span
from facets.isolates.wasm.guest import Guest, Program, calling, proceed

if TYPE_CHECKING:
    from facets.isolates.science.image import ScienceImage

TABLE_ELEMENTS = 1 << 18
CALLS = 16
"""Calls of host functions in one slice; each takes some ten microseconds."""
SCRATCH = 16 << 20
"""Bytes of files that an interpreter may write; they are in the host's memory."""
_GO_ON = ctypes.create_string_buffer(b"\1")
_GO_ON_AT = ctypes.addressof(_GO_ON)


class ScienceInstance(Guest):
    """A minted interpreter."""

    __slots__ = (
        "_answer", "_calls", "_flag", "_image", "_memory", "_minted", "_outbox", "files",
        "memory_at",
    )  # fmt: skip

    def __init__(self, image: ScienceImage, memory: int, output: int) -> None:
        super().__init__(image.engine, memory, output)
        self._image = image
        self._memory: Any = None
        self.memory_at = 0
        """Address of the structure of its memory."""
        self._answer = b""
        """What is to be read next."""
        self._outbox: bytes | None = None
        self._minted = False
        self._calls = 0
        self._flag = ctypes.create_string_buffer(2)
        self.files = Files(image.library, SCRATCH)

    def memory(self) -> int | None:
        """Bytes of its memory. Not while a call is in progress."""
        return int(core.memory_size(self.context, self.memory_at))

    def limit(self, memory: int, output: int) -> None:
        """Other limits from now on."""
        self._store.set_limits(
            memory_size=memory, table_elements=TABLE_ELEMENTS, instances=1, tables=4, memories=1
        )
        self.output = output

    def begin(self, which: int, message: bytes) -> None:
        """Start a call of `BOOT` or `PUMP`."""
        self.prepare(self._turn("boot" if which == BOOT else "pump", message))
        super().begin(which, message)

    def take(self) -> bytes:
        """What the call returned."""
        super().take()
        outbox, self._outbox = self._outbox, None
        if outbox is None:
            raise ProtocolViolation("the interpreter returned without an answer")
        return outbox

    def resume(self, answer: bytes | None) -> None:
        """Let a parked call go on when it is polled next."""
        if self.parked is None:
            raise RuntimeError("nothing is parked")
        self.parked = None
        if answer is not None:
            self._send(answer)
        self._flag[0] = b"\x01"

    # -- turns ----------------------------------------------------------------------------------

    def _turn(self, which: str, message: bytes) -> Program:
        if not self._minted:
            yield from self._mint()
            yield from self._run(setup.SOURCE)
            self._minted = True
        self._outbox = None
        self._send(message)
        yield from self._run(f"_turn({which!r})".encode())

    def _mint(self) -> Program:
        self.instance = ffi.wasmtime_instance_t()
        yield core.instantiate_async(
            self._image.pre, self.context, ctypes.addressof(self.instance), self.trap_at,
            self.error_at,
        )  # fmt: skip
        self.check()
        self._memory = export(self, "memory", core.MEMORY)
        self.memory_at = ctypes.addressof(self._memory) + core.EXTERN_OF

    def _run(self, source: bytes) -> Program:
        """One turn of the interpreter's loop."""
        size = (core.I32, len(source))
        (start,) = yield from invoke(self, "host_alloc", [size], 1)
        start &= 0xFFFFFFFF
        if not start:
            raise Trapped("the interpreter has no memory for its next turn")
        ctypes.memmove(span(self, start, len(source)), source, len(source))
        (status,) = yield from invoke(self, "turn", [(core.I32, start), size], 1)
        if status:
            raise Trapped(f"the interpreter's turn ended with {status}")

    # -- the channel ----------------------------------------------------------------------------

    def _send(self, message: bytes) -> None:
        self._answer = len(message).to_bytes(8, "little") + message

    def received(self, size: int) -> bytes:
        """The next bytes for the interpreter to read."""
        found, self._answer = self._answer[:size], self._answer[size:]
        return found

    def said(self, message: bytes) -> Parked | None:
        """What the interpreter wrote; what it waits for, if it waits. ValueError if it is none."""
        kind, rest = message[:1], message[1:]
        if kind == b"c":
            return Parked(rest, 0.0, 0)
        if kind == b"w":
            return Parked(None, float(rest), 0)
        if kind == b"o":
            self._outbox = rest
        elif kind == b"l":
            self.say(int(rest[:1]), rest[1:])
        else:
            raise ValueError("an unknown message")
        return None

    def say(self, stream: int, text: bytes) -> None:
        """Keep what was printed; ValueError if it is too much."""
        buffer = ctypes.create_string_buffer(text, len(text))
        if not self.log(stream, capi.Text(len(text), ctypes.addressof(buffer))):
            raise ValueError("log limit")

    def wait(self, parked: Parked, continuation: int) -> None:
        """Suspend the fiber until `resume`."""
        self.parked = parked
        self._flag[0] = b"\x00"
        proceed(continuation, ctypes.addressof(self._flag))

    def step(self, continuation: int) -> None:
        """Count a call of a host function; every so often it ends the slice."""
        self._calls += 1
        if self._calls % CALLS:
            proceed(continuation, _GO_ON_AT)
        else:
            self.pause(continuation)


def _fd_write(
    _e: int, caller: int, arguments: int, count: int, results: int, _m: int, trap: int,
    continuation: int,
) -> None:  # fmt: skip
    """Write to a file, print, or talk to the host."""
    try:
        context = core.caller_context(caller)
        guest = calling(context)
        assert isinstance(guest, ScienceInstance)  # noqa: S101 - by its linker
        guest.step(continuation)
        memory = wasi.Memory(context, guest.memory_at)
        code, parked = _write(guest, memory, *wasi.numbers(arguments, count))
        wasi.put_code(results, code)
        if parked is not None:
            guest.wait(parked, continuation)
    except BaseException as error:
        message = f"host: fd_write: {type(error).__name__}".encode()
        core.pointer_at(trap).value = core.trap_new(message, len(message))


def _write(
    guest: ScienceInstance, memory: wasi.Memory, number: int, vectors: int, count: int, at: int
) -> tuple[int, Parked | None]:
    try:
        return 0, _written(guest, memory, number, vectors, count, at)
    except Failed as failed:
        return wasi.code_of(failed), None


def _written(
    guest: ScienceInstance, memory: wasi.Memory, number: int, vectors: int, count: int, at: int
) -> Parked | None:
    size = sum(size for _, size in memory.vectors(vectors, count))
    if number == wasi.CHANNEL and size > guest.output + 1:
        guest.fault = too_large(size - 1, guest.output)
        raise guest.fault
    if number <= 2 and size > guest.logs_allowed:
        guest.log(1, capi.Text(size, 0))  # too much, whatever it is
        raise ValueError("log limit")
    data = wasi.gather(memory, vectors, count)
    parked = None
    if number == wasi.CHANNEL:
        parked = guest.said(data)
    elif number in (1, 2):
        guest.say(number, data)
    elif number == 0:
        raise Failed(errno.EBADF)
    else:
        size = guest.files.write(number, data[: wasi.PIECE])
    memory.pack(at, "<I", size)
    return parked


on_write = core.HOST_FUNCTION_ASYNC(_fd_write)
