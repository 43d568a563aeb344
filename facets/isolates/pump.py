"""The conversation with one guest: what waits goes in with a pump, what comes back is heard.

A pump is one call of the guest's. It begins as soon as there is something to say and the guest
does not run; what is said meanwhile waits for the next.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, final

from facets.isolates.calling import Calls
from facets.isolates.calls import Pending
from facets.isolates.codec import MALFORMED, Blob, pack
from facets.isolates.cputime import cpu_time
from facets.isolates.deaths import too_long_behind, why_trapped
from facets.isolates.errors import IsolateDead, ProtocolViolation
from facets.isolates.exports import Exports
from facets.isolates.files import Answers
from facets.isolates.grants import Grants
from facets.isolates.hearing import Hearing
from facets.isolates.held import CALL, too_much, weigh
from facets.isolates.inbox import Inbox
from facets.isolates.instance import BOOT, PUMP, Trapped
from facets.isolates.limits import Limits
from facets.isolates.minting import Oversight, mint
from facets.isolates.reading import LARGE, Aside, Reader
from facets.isolates.runner import SLICE
from facets.isolates.services import Services
from facets.isolates.serving import Serving
from facets.isolates.steps import Steps
from facets.isolates.waiting import Waiting

if TYPE_CHECKING:
    from facets.isolates.exports import Guest
    from facets.isolates.languages import AnyImage

_STREAMS = {1: "stdout", 2: "stderr"}


@final
class Pump:
    """One guest and what goes in and out of it. `kill` is called with why it is of no more use."""

    __slots__ = (
        "_aside",
        "_began",
        "_clock",
        "_hearer",
        "_hearing",
        "_inbox",
        "_kill",
        "_left_behind",
        "_loop",
        "_meter",
        "_more",
        "_opening",
        "_reader",
        "_scheduled",
        "_seat",
        "_services",
        "_unasked",
        "blob",
        "calls",
        "dead",
        "grants",
        "instance",
        "limits",
        "runner",
        "serving",
        "steps",
        "waiting",
    )  # fmt: skip

    def __init__(
        self,
        found: AnyImage,
        actor: bool,
        limits: Limits,
        services: Services,
        files: Answers,
        oversight: Oversight,
        surface: Guest,
        kill: Callable[[BaseException], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._services = services
        self._kill = kill
        self.limits = limits
        self.instance, self.runner, self._clock, self._seat = mint(
            found, limits, oversight, self, lambda: self.post(["tick"])
        )
        self.runner.budget = cpu_time(services.home)
        self._meter = oversight.meter
        self.calls = calls = Calls(self, limits.wall)
        self._inbox = Inbox()
        exports = Exports(surface, services.home)
        exports.on_drop = self._flush
        self.grants = grants = Grants(exports, services.own, services.giver)
        self._reader = Reader(grants, limits.host)
        self.waiting = Waiting(grants, services, limits.output, self.runner.answer)
        self.steps = Steps(
            services, actor, calls.lost, files, grants, self._own, self._wait_own, self._late
        )
        self.serving = Serving(self, grants, services, limits.output)
        self._hearer = Hearing(
            calls, self.serving, self.steps, grants, self._clock, limits, self._meter
        )
        self.blob = Blob(grants)
        """Attachments of what waits to go in."""
        self._scheduled = self._hearing = self._more = False
        self._began = 0.0  # when this turn of the loop began to run the guest
        self._unasked: float | None = None  # processor time at the start of a pump without calls
        self._left_behind = 0.0
        self._opening: Pending | None = None
        self._aside: Aside | None = None
        self.dead: BaseException | None = None
        """Why it ended."""

    def open(self, order: bytes) -> Pending:
        """Boot the guest with this order; its answer comes as it is."""
        opening = self._opening = Pending(0, streams=False)
        self.runner.start(BOOT, order)
        return opening

    def stop(self, reason: BaseException) -> None:
        """End it: the open step is rolled back, and whoever waits for it is told why."""
        self.dead = reason
        self._clock.stop()
        self.runner.stop()
        if self._seat is not None:
            self._seat.leave()
        self.steps.abandon()
        self._flush_log()
        if self._meter is not None:
            self._meter.dead = True
        if self._aside is not None:
            self._aside.over = True
        if self._opening is not None:
            self._opening.finish(error=reason)
        self.calls.end(reason)
        self.serving.end()
        self.waiting.end()
        self.grants.clear()

    def held(self) -> int:
        """Bytes of the host's memory that calls and what waits to go in take, about."""
        return self._inbox.size + self.blob.size + CALL * len(self.calls)

    def cause_of(self, number: object) -> Any:
        """What a call of the host's that is open was caused by."""
        return self.calls.cause_of(number)

    def interrupt(self, number: int) -> bool:
        """This call was told to stop: whether the guest's synchronous code waits in it."""
        return self.waiting.cancel(number)

    # -- going in ---------------------------------------------------------------------------------

    def post(self, message: list[Any]) -> None:
        """Send it, at once if the guest does not run."""
        if self.dead is None:
            self._inbox.put(message)
            self._start()

    def say(self, message: list[Any]) -> None:
        """Send it with the next pump, which comes within a turn of the loop."""
        self._inbox.put(message)
        size = self.held()
        if size > self.limits.host:
            self.fell(too_much(size, self.limits.host, f"answers to it take {size} bytes"))
            return
        if not self._scheduled and not self._hearing:
            self._scheduled = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._scheduled = False
        if self._inbox or self._more or self.grants.exports.dropped:
            self._start()

    def _start(self) -> None:
        if self.dead is None and not self.runner.busy and not self._hearing:
            self._began = self._loop.time()
            self._pump()

    def _pump(self) -> None:
        """Give the guest its inbox. It may have answered when this returns."""
        header = self._inbox.take(self._clock.now())
        if self.grants.exports.dropped:
            # Last: what goes in with this pump may still name what was let go of since.
            header.append(["drop", self.grants.exports.take_dropped()])
        self.grants.sent()
        blob = self.blob
        if blob.parts:
            self.blob = Blob(self.grants, blob.arrays)
        if self.calls.cancelling:
            self.calls.heard()
        self._unasked = None if self.calls.open else self.runner.cpu
        self.runner.start(PUMP, pack(header, blob))

    # -- coming out, called by the runner ---------------------------------------------------------

    def serve(self, message: bytes) -> bytes | None:
        """A storage operation, or one that waits for something outside."""
        self._flush_log()
        if self._meter is not None:
            self._meter.operations += 1
            self._meter.sent += len(message)
        if len(message) > LARGE:
            self._aside = Aside(partial(self._reader.operation, message), self._read_operation)
            return None
        return self.steps.serve(self._reader.operation(message))

    def _read_operation(self, aside: Aside) -> None:
        """A long one was read."""
        if self.dead is not None:
            return
        self.runner.cpu += aside.seconds
        try:
            answer = self.steps.serve(aside.result())
        except BaseException as error:
            self.fell(error)
            if not isinstance(error, Exception):
                raise
            return
        if answer is not None:
            self.runner.answer(answer)

    def _late(self, make: Callable[[Callable[[], None]], bytes]) -> None:
        """The answer to an operation is long: it is made on the thread as well."""
        self._aside = Aside(make, self._made)

    def _made(self, aside: Aside) -> None:
        if self.dead is None:
            self.runner.cpu += aside.seconds
            self.runner.answer(aside.result())

    def finished(self, answer: bytes) -> None:
        """The pump returned. Its step is committed before it is heard."""
        self.steps.end()
        lost = self.steps.take_lost()
        self._flush_log()
        if self.dead is not None:
            return
        if self._meter is not None:
            self._meter.answered(self.instance, len(answer))
        if self._opening is not None:
            self._loaded(self._opening, answer)
            return
        self._hearing = True  # what is said meanwhile goes with the next pump
        if len(answer) > LARGE:
            self._aside = Aside(
                partial(self._reader.outbox, answer),
                lambda aside: self._read_outbox(aside, len(answer), lost),
            )
        else:
            self._hear(self._reader.outbox, answer, len(answer), lost)

    def _loaded(self, opening: Pending, answer: bytes) -> None:
        try:
            weigh(answer, self.limits.host)
        except IsolateDead as error:
            self.fell(error)
            return
        self._opening = None
        opening.finish(answer)

    def _read_outbox(self, aside: Aside, size: int, lost: Exception | None) -> None:
        """A long one was read."""
        if self.dead is None:
            self.runner.cpu += aside.seconds
            self._began = self._loop.time()
            self._hear(Aside.result, aside, size, lost)

    def _hear(
        self, read: Callable[[Any], Any], message: object, size: int, lost: Exception | None
    ) -> None:
        try:
            self._more = self._hearer.hear(read(message), size)
            self.serving.start(lost)
        except IsolateDead as error:
            self.fell(error)
        except MALFORMED as error:
            self.fell(ProtocolViolation(f"a malformed message: {error}"[:500]))
        self._hearing = False
        self._go_on()

    def asked(self) -> None:
        """A call begins, after none: what calls leave behind has its time again."""
        self._left_behind, self._unasked = 0.0, None

    def _charge(self, since: float) -> None:
        """The tasks that ran since then are no call's."""
        self._left_behind += self.runner.cpu - since
        if self._left_behind > self.limits.cpu:
            self.fell(too_long_behind(self.limits.cpu))

    def _go_on(self) -> None:
        """With what was said while the guest was heard."""
        if self._unasked is not None:
            self._charge(self._unasked)
        if self.dead is not None or not (self._inbox or self._more):
            return
        if self._inbox and self._loop.time() - self._began < SLICE:
            self._pump()  # this turn of the loop was short so far
        elif not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._flush)

    def fell(self, error: BaseException) -> None:
        """The isolate is of no more use."""
        if isinstance(error, Trapped):
            error = why_trapped(str(error), self.limits)
        if self.dead is None:
            self._kill(error)
            if isinstance(error, IsolateDead):
                self._services.died(error)

    def _own(self, number: int, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """One of the runtime's own services, called in the middle of a step."""
        self.grants.home = self._services.home
        return self._services.own_now(self.calls.cause_of(number), method, args, kwargs)

    def _wait_own(
        self, number: int, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> bytes | None:
        """One that takes time, for synchronous code."""
        return self.waiting.begin(number, self.calls.cause_of(number), method, args, kwargs)

    def _flush_log(self) -> None:
        logged, self.instance.logged = self.instance.logged, []
        for number, printed in logged:
            stream, text = _STREAMS.get(number, "stdout"), printed.decode("utf-8", "replace")
            if self._meter is not None:
                self._meter.log(stream, text)
            self._services.log(stream, text)
