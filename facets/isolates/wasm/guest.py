"""One minted module, driven by a `Runner` like any other guest.

What is asked of it is a **program**: a generator that yields the addresses of futures of
Wasmtime, each polled to its end before the program goes on. Minting is one (a start function may
run for ever), a call is another (it may first ask the module for memory). The program that ran
last leaves what it returned, or raised, in `outcome`.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Generator
from itertools import count
from typing import Any, NamedTuple

import wasmtime
from wasmtime import WasmtimeError

from facets.isolates import capi
from facets.isolates.engine import FUEL, SLICE
from facets.isolates.errors import GuestError, IsolateDead, LogLimit, OutputLimit
from facets.isolates.instance import Parked, Trapped, too_often
from facets.isolates.wasm import capi as core
from facets.isolates.wasm import engine

Program = Generator[int, None, Any]
"""Yields futures, or 0 to go on on a thread; returns the result of a call."""
_numbers = count(1)

# "May the fiber go on?" is asked in C: strlen of a two-byte buffer is 0 or 1, which is a bool.
_STRLEN = ctypes.cast(ctypes.CDLL(None).strlen, ctypes.c_void_p).value
_guests: dict[int, Guest] = {}
"""By the number in the store's data: what finds the guest that a host function is called by."""


class Outcome(NamedTuple):
    """What a program came to."""

    value: Any = None
    error: GuestError | None = None
    """The module said that it failed; it goes on."""


class Guest:
    """A module in memory. One program at a time; any thread may poll it, one after the other."""

    __slots__ = (
        "_error", "_failure", "_future", "_home", "_number", "_pace", "_prepared", "_program",
        "_store", "_trap", "context", "error_at", "fault", "instance", "log_bytes", "log_calls",
        "log_calls_allowed", "logged", "logs_allowed", "outcome", "output", "parked", "trap_at",
    )  # fmt: skip

    def __init__(self, made: wasmtime.Engine, memory: int, output: int) -> None:
        self.parked: Parked | None = None
        """Nothing ever waits for the host."""
        self.fault: IsolateDead | None = None
        self.logged: list[tuple[int, bytes]] = []
        self.log_bytes = self.log_calls = 0
        self.logs_allowed = self.log_calls_allowed = 0
        self.output = output
        self.outcome = Outcome()
        self.instance: Any = None
        """Wasmtime's structure, once a program has minted it."""
        self._pace = ctypes.create_string_buffer(b"\1")
        self._home = threading.get_ident()
        self._program: Program | None = None
        self._prepared: Program | None = None
        self._future: int | None = None
        self._failure: BaseException | None = None
        self._trap, self._error = ctypes.c_void_p(), ctypes.c_void_p()
        self.trap_at, self.error_at = ctypes.addressof(self._trap), ctypes.addressof(self._error)
        self._store = wasmtime.Store(made)
        self.limit(memory, output)
        self.context = capi.address(self._store._context())
        capi.check(capi.set_fuel(self.context, FUEL))
        capi.check(capi.yield_interval(self.context, SLICE))
        self._number = next(_numbers)
        _guests[self._number] = self
        capi.set_data(self.context, self._number)

    # -- what a runner does -------------------------------------------------------------------

    def prepare(self, program: Program) -> None:
        """What `begin` will start."""
        self._prepared = program

    def begin(self, export: int, message: bytes) -> None:
        """Start the program that was prepared."""
        del export, message
        self._program, self._prepared = self._prepared, None
        self._failure = None
        self._go_on()

    def poll(self) -> bool:
        """Run one slice; whether the program is over."""
        if self._future is None:
            if self._program is None:
                return True
            # What is large is read on a thread; the loop gives this up when its slice is over.
            return threading.get_ident() != self._home and self._go_on()
        self._pace[0] = b"\1"
        return bool(capi.poll(self._future)) and self._go_on()

    def resume(self, answer: bytes | None) -> None:
        """Nothing parks here."""
        raise RuntimeError("nothing is parked")

    def take(self) -> bytes:
        """`Trapped` or an `IsolateDead` if that is how it ended; see `outcome` otherwise."""
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure
        return b""

    def limit(self, memory: int, output: int) -> None:
        """Other limits from now on."""
        engine.limit(self._store, memory)
        self.output = output

    def close(self) -> None:
        """Free everything at once. Not while it is being polled."""
        self._drop()
        if self._program is not None:
            self._program.close()
            self._program = None
        _guests.pop(self._number, None)
        self._store.close()

    # -- for programs -------------------------------------------------------------------------

    @property
    def at_home(self) -> bool:
        """Whether this is the thread of the loop."""
        return threading.get_ident() == self._home

    def check(self) -> None:
        """Raise how the future ended, if it did not end well."""
        if self._trap.value:
            trap, self._trap.value = self._trap.value, None
            raise Trapped(core.trap_text(trap))
        if self._error.value:
            error, self._error.value = self._error.value, None
            try:
                capi.check(error)
            except WasmtimeError as failed:
                raise Trapped(str(failed)) from None

    def pause(self, continuation: int) -> None:
        """End the slice with this call of a host function: its time is in no fuel."""
        self._pace[0] = b"\0"
        proceed(continuation, ctypes.addressof(self._pace))

    def log(self, stream: int, text: capi.Text) -> bool:
        """Keep what was printed; False if it is too much."""
        self.log_bytes += text.size
        if self.log_bytes > self.logs_allowed:
            self.fault = LogLimit(
                f"the isolate printed more than {self.logs_allowed} bytes", limit=self.logs_allowed
            )
            return False
        self.log_calls += 1
        if self.log_calls > self.log_calls_allowed:
            self.fault = too_often(self.log_calls_allowed)
            return False
        self.logged.append((stream, capi.string_at(text.data, text.size)))
        return True

    # -----------------------------------------------------------------------------------------

    def _go_on(self) -> bool:
        """Let the program take its next step; whether it is over."""
        program = self._program
        if program is None:
            return True
        self._drop()
        try:
            self._future = program.send(None) or None
            return False
        except StopIteration as stop:
            self.outcome = Outcome(stop.value)
        except GuestError as error:
            self.outcome = Outcome(error=error)
        except BaseException as error:
            self._failure = error
        self._program = None
        return True

    def _drop(self) -> None:
        if self._future is not None:
            capi.drop(self._future)
            self._future = None


def proceed(continuation: int, flag: int) -> None:
    """Let a fiber go on when the byte at `flag` is not 0; it is looked at with each poll."""
    asked = capi.Continuation.from_address(continuation)
    asked.callback = _STRLEN
    asked.env = flag
    asked.finalizer = None


def calling(context: int) -> Guest:
    """Whose store this is."""
    return _guests[capi.get_data(context)]


def too_large(size: int, limit: int) -> OutputLimit:
    """The error for a result over the limit."""
    return OutputLimit(
        f"a result of {size} bytes left the isolate; the limit is {limit}",
        hint="return less, or in several calls",
        size=size,
        limit=limit,
    )
