"""One guest in memory: its store, its two exports, and the fiber of the call in progress.

A host function never does its work inside the guest's call. `call` and `wait` leave a note in
`parked` and suspend the fiber; whoever polls it sees the note, and `resume` lets it go on. So
storage runs on the loop's own stack and thread, whichever thread the fiber was on, and an
instance may be dropped at any moment at which it is not being polled.
"""

from __future__ import annotations

import ctypes
from itertools import count
from typing import TYPE_CHECKING, NamedTuple

import wasmtime
from wasmtime import WasmtimeError
from wasmtime import _ffi as ffi

from facets.isolates import capi
from facets.isolates.ambient import HOST, Ambient
from facets.isolates.errors import CallLimit, IsolateDead, LogLimit, OutputLimit

if TYPE_CHECKING:
    from facets.isolates.image import Image

TABLES = 100_000
"""Entries of all tables of a guest, 8 bytes each; a Python guest has 5,700."""
BOOT, PUMP, MEMORY = 0, 1, 2
PAGE = 1 << 16
"""The exports, for `begin`."""
_numbers = count(1)
_instances: dict[int, Instance] = {}
"""By the number in the store's data: what finds the instance that a host function is called by."""

# "May the fiber go on?" is asked in C: strlen of a two-byte buffer is 0 or 1, which is a bool.
# A Python callback in its place costs a microsecond for each poll.
_STRLEN = ctypes.cast(ctypes.CDLL(None).strlen, ctypes.c_void_p).value
_Export = tuple[object, int]
"""A function of the instance, and its address."""


class Parked(NamedTuple):
    """What the guest asked for and waits on."""

    message: bytes | None
    """A storage operation; None if it sleeps."""
    seconds: float
    result: int
    """Address of the value to fill in; 0 if there is none."""


class Trapped(Exception):
    """The guest's code trapped. The instance is dead."""


class Instance:
    """A minted guest. One call at a time; any thread may poll it, one after the other."""

    __slots__ = (
        "_argument", "_argument_at", "_context", "_error", "_error_at", "_flag", "_flag_at",
        "_functions", "_future", "_number", "_result", "_result_at", "_returned", "_sent", "_store",
        "ambient", "fault", "log_bytes", "log_calls", "log_calls_allowed", "logged",
        "logs_allowed", "output", "parked",
    )  # fmt: skip

    def __init__(self, image: Image, memory: int, output: int, ambient: Ambient = HOST) -> None:
        self.parked: Parked | None = None
        self.ambient = ambient
        """The clocks and the randomness that the guest sees."""
        self.fault: IsolateDead | None = None
        self.logged: list[tuple[int, bytes]] = []
        self.log_bytes = self.log_calls = 0
        self.logs_allowed = self.log_calls_allowed = 0
        self.output = output
        self._future: int | None = None
        self._store = wasmtime.Store(image.engine)
        self._store.set_limits(memory_size=memory, table_elements=TABLES)
        self._context = capi.address(self._store._context())
        self._make_values()
        capi.check(capi.set_fuel(self._context, image.fuel))
        capi.check(capi.yield_interval(self._context, image.slice))
        self._number = next(_numbers)
        _instances[self._number] = self
        capi.set_data(self._context, self._number)
        try:
            self._functions = self._mint(image)
        except BaseException:
            self.close()
            raise

    def _make_values(self) -> None:
        self._argument, self._result = capi.VAL(), capi.VAL()
        self._argument.kind = capi.STRING
        self._argument_at = ctypes.addressof(self._argument)
        self._result_at = ctypes.addressof(self._result)
        self._sent = capi.TextIn.from_address(self._argument_at + capi.OF)
        self._returned = capi.text_at(self._result_at + capi.OF)
        self._error = ctypes.c_void_p()
        self._error_at = ctypes.addressof(self._error)
        self._flag = ctypes.create_string_buffer(2)
        self._flag_at = ctypes.addressof(self._flag)

    def _mint(self, image: Image) -> tuple[_Export, ...]:
        raw = ffi.wasmtime_component_instance_t()
        at = ctypes.addressof(raw)
        future = capi.instantiate_async(
            image.linker_at, self._context, image.component_at, at, self._error_at
        )
        while not capi.poll(future):
            pass
        capi.drop(future)
        self._check()
        exports = [image.boot, image.pump, *([image.measure] if image.measure else [])]
        return tuple([self._function(at, one) for one in exports])

    def _function(self, instance: int, export: int) -> _Export:
        function = ffi.wasmtime_component_func_t()
        at = ctypes.addressof(function)
        if not capi.get_func(instance, self._context, export, at):
            raise RuntimeError("the guest lacks an export")
        return function, at

    def _check(self) -> None:
        error = self._error.value
        if error:
            self._error.value = None
            try:
                capi.check(error)
            except WasmtimeError as trap:
                raise Trapped(str(trap)) from None

    def limit(self, memory: int, output: int) -> None:
        """Other limits from now on."""
        self._store.set_limits(memory_size=memory, table_elements=TABLES)
        self.output = output

    # -- one call -----------------------------------------------------------------------------

    def begin(self, export: int, message: bytes) -> None:
        """Start a call of `BOOT` or `PUMP`; nothing runs before the first poll."""
        self._sent.size = len(message)
        self._sent.data = message  # ctypes keeps it alive
        _, at = self._functions[export]
        self._future = capi.call_async(
            at, self._context, self._argument_at, 1, self._result_at, 1, self._error_at
        )

    def poll(self) -> bool:
        """Run one slice; whether the call is over. If not, `parked` says whether it waits."""
        return bool(capi.poll(self._future))

    def resume(self, answer: bytes | None) -> None:
        """Let a parked call go on when it is polled next."""
        parked = self.parked
        if parked is None:
            raise RuntimeError("nothing is parked")
        self.parked = None
        if parked.message is None:
            self.ambient.slept(parked.seconds)
        if answer is not None:
            capi.put_text(parked.result, answer)
        self._flag[0] = b"\x01"

    def take(self) -> bytes:
        """What the call returned; `Trapped` if it trapped, `OutputLimit` if that is too long."""
        capi.drop(self._future)
        self._future = None
        self._check()
        text = self._returned
        size = text.size
        try:
            if size > self.output:
                raise too_large(size, self.output)
            return capi.string_at(text.data, size)
        finally:
            capi.bytes_delete(self._result_at + capi.OF)

    def memory(self) -> int | None:
        """Bytes of its memory; None if it does not say. Not while a call is in progress.

        Takes some ten microseconds.
        """
        if len(self._functions) <= MEMORY:
            return None
        _, at = self._functions[MEMORY]
        future = capi.call_async(at, self._context, 0, 0, self._result_at, 1, self._error_at)
        while not capi.poll(future):
            pass
        capi.drop(future)
        self._check()
        return int(capi.u32_at(self._result_at + capi.OF).value) * PAGE

    def close(self) -> None:
        """Free everything at once, a call in progress too. Not while it is being polled."""
        if self._future is not None:
            capi.drop(self._future)
            self._future = None
        _instances.pop(self._number, None)
        self._store.close()

    # -- called by the host functions -----------------------------------------------------------

    def park(self, parked: Parked, continuation: int) -> None:
        """Suspend the fiber until `resume`."""
        self.parked = parked
        self._flag[0] = b"\x00"
        asked = capi.Continuation.from_address(continuation)
        asked.callback = _STRLEN
        asked.env = self._flag_at
        asked.finalizer = None

    def log(self, stream: int, text: capi.Text) -> bool:
        """Keep what was printed; False if it is too much."""
        self.log_bytes += text.size
        if self.log_bytes > self.logs_allowed:
            self.fault = LogLimit(
                f"the isolate printed more than {self.logs_allowed} bytes", limit=self.logs_allowed
            )
            return False
        self.log_calls += 1  # each takes memory of the host, even an empty one
        if self.log_calls > self.log_calls_allowed:
            self.fault = too_often(self.log_calls_allowed)
            return False
        self.logged.append((stream, capi.string_at(text.data, text.size)))
        return True


def too_often(limit: int) -> CallLimit:
    """The error for printing too often."""
    return CallLimit(
        f"the isolate printed more than {limit} times in one call",
        hint="print more at a time, or raise Limits(calls=...)",
        limit=limit,
    )


def too_large(size: int, limit: int) -> OutputLimit:
    """The error for a message over its limit."""
    return OutputLimit(
        f"a message of {size} bytes left the isolate; the limit is {limit}",
        hint="return less, or in a stream",
        size=size,
        limit=limit,
    )


def calling(context: int) -> Instance:
    """Whose store this is."""
    return _instances[capi.get_data(context)]


def _log(_e: int, context: int, _t: int, arguments: int, _n: int, _r: int, _m: int) -> int:
    try:
        stream = capi.u32_at(arguments + capi.OF).value
        text = capi.text_at(arguments + capi.VAL_SIZE + capi.OF)
        return 0 if calling(context).log(stream, text) else int(capi.error_new(b"log limit"))
    except BaseException:
        return int(capi.error_new(b"host: log"))


def _call(
    _e: int, context: int, _t: int, arguments: int, _n: int, results: int, _m: int,
    error: int, continuation: int,
) -> None:  # fmt: skip
    try:
        instance = calling(context)
        text = capi.text_at(arguments + capi.OF)
        if text.size > instance.output:
            instance.fault = too_large(text.size, instance.output)
            raise instance.fault
        message = capi.string_at(text.data, text.size)
        instance.park(Parked(message, 0.0, results), continuation)
    except BaseException:
        capi.u64_at(error).value = capi.error_new(b"host: call")


def _wait(
    _e: int, context: int, _t: int, arguments: int, _n: int, _r: int, _m: int,
    error: int, continuation: int,
) -> None:  # fmt: skip
    try:
        seconds = capi.f64_at(arguments + capi.OF).value
        calling(context).park(Parked(None, seconds, 0), continuation)
    except BaseException:
        capi.u64_at(error).value = capi.error_new(b"host: wait")


on_log = capi.HOST_FUNCTION(_log)
on_call = capi.HOST_FUNCTION_ASYNC(_call)
on_wait = capi.HOST_FUNCTION_ASYNC(_wait)
