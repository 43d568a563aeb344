"""Reading what a guest wrote: at once if it is short, on a thread if it is not.

Nothing is done here but to make values, so where it happens makes no difference, and the rest of
the isolate waits meanwhile: the guest does not run, and nothing else of it is read. Handles are
looked up and exports noted, which the loop does not do at that time; the loop may end the isolate
at any moment, and what was read of it then is dropped.

The thread gives way every few tenths of a millisecond. Undivided are the JSON parser's run over
the message, and to free what it made: `weigh` bounds both before they begin.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from facets.isolates import workers
from facets.isolates.codec import MALFORMED, References, Tail, lift, unpack
from facets.isolates.errors import IsolateClosed, ProtocolViolation
from facets.isolates.held import weigh

if TYPE_CHECKING:
    from concurrent.futures import Future

OPERATIONS = frozenset({
    "sql", "unsafe", "many", "kv", "fs", "begin", "release", "rollback_to", "own",
    "timers", "meters", "outcome",
})  # fmt: skip
FILE = "file"
"""Not storage and of no step: a question to `files`."""
LARGE = 1 << 18
"""Bytes of a message that is read on a thread: below, it takes less to read it than to go there."""
Pause = Callable[[], None]


class Operation(NamedTuple):
    """What the guest asks of the host in the middle of a step."""

    step: int
    call: int
    op: str
    args: list[Any]


class Reader:
    """What one isolate says, as values. An IsolateDead kills it."""

    __slots__ = ("_limit", "_references")

    def __init__(self, references: References, limit: int) -> None:
        self._references = references
        self._limit = limit
        """Bytes of the host's memory that may be taken."""

    def outbox(self, frame: bytes, pause: Pause | None = None) -> list[list[Any]]:
        """The messages of a pump, the values in them lifted."""
        weigh(frame, self._limit, pause)
        try:
            messages, tail = unpack(frame, self._references, pause)
            if tail is not None:
                for message in messages:
                    _lift_message(message, tail)
        except MALFORMED as error:
            raise ProtocolViolation(f"a malformed message: {error}"[:500]) from None
        return messages  # type: ignore[no-any-return]  # believed in `hearing`, one by one

    def operation(self, frame: bytes, pause: Pause | None = None) -> Operation:
        """A storage operation, or a call of the runtime's own services."""
        weigh(frame, self._limit, pause)
        try:
            header, tail = unpack(frame, None, pause)
            return self._operation(header, tail)
        except MALFORMED as error:
            raise ProtocolViolation(f"a malformed storage operation: {error}"[:500]) from None

    def _operation(self, header: Any, tail: Tail | None) -> Operation:
        step, call, op, args = header
        if type(step) is not int or type(call) is not int or type(args) is not list:
            raise ValueError("wrong types")
        if op not in ("undo", FILE) and op not in OPERATIONS:
            raise ValueError(f"unknown operation {op!r}")
        if op == "own" and tail is not None:
            tail.references = self._references  # everywhere else only data has a place
        return Operation(step, call, op, [lift(arg, tail) for arg in args])


def _lift_message(message: list[Any], tail: Tail) -> None:
    tag = message[0]
    if tag == "ok" or tag == "item":
        message[2] = lift(message[2], tail)
    elif tag == "call":
        message[4], message[5] = lift(message[4], tail), lift(message[5], tail)


class Aside:
    """Something that is read or made on a thread. `then` is called on the loop when it is over."""

    __slots__ = ("_loop", "_outcome", "_read", "over", "seconds")

    def __init__(self, read: Callable[[Pause], Any], then: Callable[[Aside], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._read = read
        self.over = False
        """Nobody wants it any more."""
        self.seconds = 0.0
        """Processor time that it took."""
        self._outcome: Future[Any] = workers.reader().submit(self._run)
        self._outcome.add_done_callback(lambda _: self._tell(then))

    def result(self) -> Any:
        """What was read; raises what reading it raised."""
        return self._outcome.result()

    def _run(self) -> Any:
        began = time.thread_time()
        try:
            with _uncollected():
                return self._read(self._pause)
        finally:
            self.seconds = time.thread_time() - began

    def _pause(self) -> None:
        if self.over:
            raise IsolateClosed("nobody waits for what is read")
        time.sleep(0)  # who waits for the interpreter's lock has it

    def _tell(self, then: Callable[[Aside], None]) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody is left to tell
            self._loop.call_soon_threadsafe(then, self)


@contextmanager
def _uncollected() -> Iterator[None]:
    """No garbage is collected: there is none in a message, and each collection would look at all
    of what was read so far, undivided. That took up to four fifths of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
