"""WASI preview 1 as the science interpreter imports it: `files`, two clocks, random bytes.

No environment of the host, no arguments, no sockets, no other directory. Everything else that
the interpreter imports answers ENOSYS, and `proc_exit` ends it. Reads and writes of descriptor
`CHANNEL` are the way to the host: see `instance`. All functions but `fd_write` answer at once, on
whichever thread the fiber runs, and end its slice from time to time, as their time is in no fuel.
Each pointer is checked against the interpreter's memory.
"""

# ruff: noqa: D103 - the functions are WASI's, and do what its names say

from __future__ import annotations

import ctypes
import errno
import os
import struct
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from facets.isolates.science.files import ROOT, Failed, Open
from facets.isolates.wasm import capi
from facets.isolates.wasm.guest import calling

if TYPE_CHECKING:
    from facets.isolates.science.instance import ScienceInstance

MODULE = "wasi_snapshot_preview1"
CHANNEL = 1000
ARGUMENTS = (b"python",)
ENVIRONMENT = (
    b"TMPDIR=/tmp", b"HOME=/tmp", b"PYTHONTZPATH=", b"MPLBACKEND=agg", b"MPLCONFIGDIR=/tmp",
)  # fmt: skip
NOSYS = 52
MAX_RANDOM = 1 << 16
VECTORS = 1_024
PIECE = 1 << 20
"""Bytes that one call reads from a file or writes to one; callers come back for the rest."""
_TICK = 1_000_000
_CODES = {
    errno.ENOENT: 44, errno.EEXIST: 20, errno.EISDIR: 31, errno.ENOTDIR: 54, errno.ENOTEMPTY: 55,
    errno.EBADF: 8, errno.EMFILE: 33, errno.ENAMETOOLONG: 37, errno.ENOSPC: 51, errno.EROFS: 69,
    errno.EINVAL: 28, errno.EFAULT: 21,
}  # fmt: skip
_FILE, _FOLDER, _TERMINAL = 4, 3, 2
_CREATE, _EXCLUSIVE, _EMPTY = 1, 4, 8
_WRITE = 1 << 6
_APPEND = 1
Function = Callable[..., None]


class Memory:
    """The interpreter's memory, for the time of one function."""

    def __init__(self, context: int, memory: int) -> None:
        self._base = capi.memory_data(context, memory) or 0
        self._size = capi.memory_size(context, memory)

    def _at(self, start: int, size: int) -> int:
        if start + size > self._size:
            raise Failed(errno.EFAULT)
        return int(self._base) + start

    def read(self, start: int, size: int) -> bytes:
        """A copy of these bytes."""
        return ctypes.string_at(self._at(start, size), size)

    def write(self, start: int, data: bytes) -> None:
        """Copy bytes in."""
        ctypes.memmove(self._at(start, len(data)), data, len(data))

    def pack(self, start: int, shape: str, *values: int) -> None:
        """Write numbers."""
        self.write(start, struct.pack(shape, *values))

    def vectors(self, start: int, count: int) -> list[tuple[int, int]]:
        """The pieces of memory that a read or write names."""
        if count > VECTORS:
            raise Failed(errno.EINVAL)
        raw = self.read(start, 8 * count)
        return [(at, size) for at, size in struct.iter_unpack("<II", raw)]


# -- the functions: instance, memory, then what WASI passes -------------------------------------


def _sizes(memory: Memory, texts: tuple[bytes, ...], count: int, size: int) -> None:
    memory.pack(count, "<I", len(texts))
    memory.pack(size, "<I", sum(len(text) + 1 for text in texts))


def _texts(memory: Memory, texts: tuple[bytes, ...], pointers: int, at: int) -> None:
    for index, text in enumerate(texts):
        memory.pack(pointers + 4 * index, "<I", at)
        memory.write(at, text + b"\0")
        at += len(text) + 1


def args_sizes_get(_guest: ScienceInstance, memory: Memory, count: int, size: int) -> None:
    _sizes(memory, ARGUMENTS, count, size)


def args_get(_guest: ScienceInstance, memory: Memory, pointers: int, at: int) -> None:
    _texts(memory, ARGUMENTS, pointers, at)


def environ_sizes_get(_guest: ScienceInstance, memory: Memory, count: int, size: int) -> None:
    _sizes(memory, ENVIRONMENT, count, size)


def environ_get(_guest: ScienceInstance, memory: Memory, pointers: int, at: int) -> None:
    _texts(memory, ENVIRONMENT, pointers, at)


def clock_res_get(_guest: ScienceInstance, memory: Memory, _clock: int, at: int) -> None:
    memory.pack(at, "<Q", _TICK)


def clock_time_get(
    _guest: ScienceInstance, memory: Memory, clock: int, _precision: int, at: int
) -> None:
    now = time.time_ns() if clock == 0 else time.monotonic_ns()
    memory.pack(at, "<Q", now // _TICK * _TICK)


def random_get(_guest: ScienceInstance, memory: Memory, at: int, size: int) -> None:
    if size > MAX_RANDOM:
        raise Failed(errno.EINVAL)
    memory.write(at, os.urandom(size))


def nothing(_guest: ScienceInstance, _memory: Memory, *_arguments: int) -> None:
    """What may be asked for and has no meaning here: syncing, advice."""


def fd_prestat_get(_guest: ScienceInstance, memory: Memory, number: int, at: int) -> None:
    if number != ROOT:
        raise Failed(errno.EBADF)
    memory.pack(at, "<II", 0, 1)


def fd_prestat_dir_name(
    _guest: ScienceInstance, memory: Memory, number: int, at: int, size: int
) -> None:
    if number != ROOT or size < 1:
        raise Failed(errno.EBADF)
    memory.write(at, b"/")


def fd_fdstat_get(guest: ScienceInstance, memory: Memory, number: int, at: int) -> None:
    kind, appends = _TERMINAL, False
    if number > 2 and number != CHANNEL:
        opened = guest.files.at(number)
        kind, appends = _FOLDER if opened.content is None else _FILE, opened.appends
    memory.pack(at, "<BxHxxxxQQ", kind, _APPEND if appends else 0, (1 << 30) - 1, (1 << 30) - 1)


def fd_fdstat_set_flags(guest: ScienceInstance, _memory: Memory, number: int, flags: int) -> None:
    guest.files.at(number).appends = bool(flags & _APPEND)


def _put_stat(memory: Memory, at: int, kind: int, size: int, number: int) -> None:
    memory.pack(at, "<QQB7xQQQQQ", 1, number, kind, 1, size, 0, 0, 0)


def fd_filestat_get(guest: ScienceInstance, memory: Memory, number: int, at: int) -> None:
    if number <= 2 or number == CHANNEL:
        _put_stat(memory, at, _TERMINAL, 0, number)
        return
    opened = guest.files.at(number)
    _put_open(memory, at, opened)


def _put_open(memory: Memory, at: int, opened: Open) -> None:
    folder = opened.content is None
    size = 0 if opened.content is None else len(opened.content)
    _put_stat(memory, at, _FOLDER if folder else _FILE, size, hash(opened.path) & 0xFFFFFFFF)


def fd_filestat_set_size(guest: ScienceInstance, _memory: Memory, number: int, size: int) -> None:
    guest.files.resize(number, size)


def fd_close(guest: ScienceInstance, _memory: Memory, number: int) -> None:
    if number > 2 and number != CHANNEL:
        guest.files.close(number)


def fd_seek(
    guest: ScienceInstance, memory: Memory, number: int, offset: int, whence: int, at: int
) -> None:
    opened = guest.files.at(number)
    if opened.content is None or whence > 2:
        raise Failed(errno.EINVAL)
    base = (0, opened.position, len(opened.content))[whence]
    signed = offset - (1 << 64) if offset >> 63 else offset
    if not 0 <= base + signed < 1 << 62:
        raise Failed(errno.EINVAL)
    opened.position = base + signed
    memory.pack(at, "<Q", opened.position)


def fd_tell(guest: ScienceInstance, memory: Memory, number: int, at: int) -> None:
    memory.pack(at, "<Q", guest.files.at(number).position)


def fd_read(
    guest: ScienceInstance, memory: Memory, number: int, vectors: int, count: int, at: int
) -> None:
    _read(guest, memory, number, vectors, count, None, at)


def fd_pread(
    guest: ScienceInstance, memory: Memory, number: int, vectors: int, count: int, offset: int,
    at: int,
) -> None:  # fmt: skip
    _read(guest, memory, number, vectors, count, offset, at)


def _read(
    guest: ScienceInstance, memory: Memory, number: int, vectors: int, count: int,
    offset: int | None, at: int,
) -> None:  # fmt: skip
    total = 0
    for start, size in memory.vectors(vectors, count):
        if number == CHANNEL:
            found = guest.received(size)
        elif number == 0:
            break
        else:
            place = None if offset is None else offset + total
            found = guest.files.read(number, min(size, PIECE), place)
        memory.write(start, found)
        total += len(found)
        if len(found) < size:
            break
    memory.pack(at, "<I", total)


def fd_pwrite(
    guest: ScienceInstance, memory: Memory, number: int, vectors: int, count: int, offset: int,
    at: int,
) -> None:  # fmt: skip
    data = gather(memory, vectors, count)[:PIECE]
    memory.pack(at, "<I", guest.files.write(number, data, offset))


def gather(memory: Memory, vectors: int, count: int) -> bytes:
    """What a write names, in one piece."""
    pieces = memory.vectors(vectors, count)
    return b"".join(memory.read(start, size) for start, size in pieces)


def fd_readdir(
    guest: ScienceInstance, memory: Memory, number: int, at: int, size: int, cookie: int, used: int
) -> None:
    opened = guest.files.at(number)
    if opened.content is not None:
        raise Failed(errno.ENOTDIR)
    data = b""
    for index, name in enumerate(opened.names[cookie:], cookie):
        if len(data) >= size:
            break
        text = name.encode("utf-8", "surrogateescape")
        kind = _FILE
        try:
            if guest.files.find(f"{opened.path.rstrip('/')}/{name}") is None:
                kind = _FOLDER
        except Failed:
            continue  # it was removed since
        data += struct.pack("<QQIB3x", index + 1, index + 1, len(text), kind) + text
    memory.write(at, data[:size])
    memory.pack(used, "<I", min(len(data), size))


def path_filestat_get(
    guest: ScienceInstance, memory: Memory, base: int, _flags: int, path: int, size: int, at: int
) -> None:
    found = guest.files.path(base, memory.read(path, size))
    _put_open(memory, at, Open(found, guest.files.find(found)))


def path_open(
    guest: ScienceInstance, memory: Memory, base: int, _dirflags: int, path: int, size: int,
    oflags: int, rights: int, _inheriting: int, flags: int, at: int,
) -> None:  # fmt: skip
    found = guest.files.path(base, memory.read(path, size))
    number = guest.files.open(
        found,
        create=bool(oflags & _CREATE),
        exclusive=bool(oflags & _EXCLUSIVE) and bool(oflags & _CREATE),
        empty=bool(oflags & _EMPTY),
        write=bool(rights & _WRITE),
    )
    guest.files.at(number).appends = bool(flags & _APPEND)
    memory.pack(at, "<I", number)


def path_create_directory(
    guest: ScienceInstance, memory: Memory, base: int, path: int, size: int
) -> None:
    guest.files.make_folder(guest.files.path(base, memory.read(path, size)))


def path_remove_directory(
    guest: ScienceInstance, memory: Memory, base: int, path: int, size: int
) -> None:
    guest.files.remove_folder(guest.files.path(base, memory.read(path, size)))


def path_unlink_file(
    guest: ScienceInstance, memory: Memory, base: int, path: int, size: int
) -> None:
    guest.files.remove(guest.files.path(base, memory.read(path, size)))


def path_rename(
    guest: ScienceInstance, memory: Memory, base: int, path: int, size: int, other: int,
    to: int, to_size: int,
) -> None:  # fmt: skip
    old = guest.files.path(base, memory.read(path, size))
    guest.files.rename(old, guest.files.path(other, memory.read(to, to_size)))


def path_readlink(_guest: ScienceInstance, _memory: Memory, *_arguments: int) -> None:
    raise Failed(errno.EINVAL)


FUNCTIONS: dict[str, Function] = {
    one.__name__: one
    for one in (
        args_get, args_sizes_get, clock_res_get, clock_time_get, environ_get, environ_sizes_get,
        fd_close, fd_fdstat_get, fd_fdstat_set_flags, fd_filestat_get, fd_filestat_set_size,
        fd_pread, fd_prestat_dir_name, fd_prestat_get, fd_pwrite, fd_read, fd_readdir, fd_seek,
        fd_tell, path_create_directory, path_filestat_get, path_open, path_readlink,
        path_remove_directory, path_rename, path_unlink_file, random_get,
    )
} | dict.fromkeys(
    ("fd_advise", "fd_datasync", "fd_sync", "fd_filestat_set_times", "path_filestat_set_times",
     "sched_yield"),
    nothing,
)  # fmt: skip


def callback(name: str) -> Any:
    """The C function for an import that waits for nothing."""
    function = FUNCTIONS.get(name)

    def call(
        _e: int, caller: int, arguments: int, count: int, results: int, returned: int, trap: int,
        continuation: int,
    ) -> None:  # fmt: skip
        try:
            context = capi.caller_context(caller)
            guest: Any = calling(context)
            guest.step(continuation)
            if not returned:
                raise _Ended
            memory = Memory(context, guest.memory_at)
            code = NOSYS
            if function is not None:
                code = _answer(function, guest, memory, numbers(arguments, count))
            put_code(results, code)
        except BaseException as error:
            message = f"host: {name}: {type(error).__name__}".encode()
            capi.pointer_at(trap).value = capi.trap_new(message, len(message))

    return capi.HOST_FUNCTION_ASYNC(call)


class _Ended(Exception):
    """The interpreter ended itself."""


def _answer(function: Function, guest: Any, memory: Memory, arguments: list[int]) -> int:
    try:
        function(guest, memory, *arguments)
    except Failed as failed:
        return code_of(failed)
    return 0


def code_of(failed: Failed) -> int:
    """The number that WASI has for an error."""
    return _CODES.get(failed.code, _CODES[errno.EINVAL])


def numbers(arguments: int, count: int) -> list[int]:
    """The arguments of a call; all of WASI's are unsigned."""
    found = []
    for index in range(count):
        at = arguments + index * capi.VAL_SIZE
        wide = capi.kind_at(at).value == capi.I64
        value = (capi.i64_at if wide else capi.i32_at)(at + capi.OF).value
        found.append(value & (0xFFFFFFFFFFFFFFFF if wide else 0xFFFFFFFF))
    return found


def put_code(results: int, code: int) -> None:
    """Return an error number."""
    capi.kind_at(results).value = capi.I32
    capi.i32_at(results + capi.OF).value = code
