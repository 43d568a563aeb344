"""The calls into one isolate that are under way: their answers, and how they end early."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Protocol

from facets.isolates.calls import Pending
from facets.isolates.deaths import again, too_late
from facets.isolates.exports import Called
from facets.isolates.limits import GRACE
from facets.isolates.raised import raised

if TYPE_CHECKING:
    from facets.isolates.meter import Meter


class Guest(Protocol):
    """The one that is called, as its calls know it."""

    def post(self, message: list[Any]) -> None:
        """Send it, at once if it can be heard."""

    def interrupt(self, number: int) -> bool:
        """This call was told to stop: whether the guest's synchronous code waits in it."""

    def fell(self, error: BaseException) -> None:
        """The isolate is of no more use."""


class Calls:
    """All of one isolate. Numbers rise and are never used again."""

    __slots__ = ("_guest", "_idle", "_loop", "_sent", "_wall", "cancelling", "open")

    def __init__(self, guest: Guest, wall: float) -> None:
        self._guest = guest
        self._wall = wall
        self._loop = asyncio.get_running_loop()
        self.open: dict[int, Pending] = {}
        """Those that the guest has not answered."""
        self.cancelling: list[Pending] = []
        """Those that were told to stop and have not heard it."""
        self._idle: list[asyncio.Future[None]] = []
        self._sent = 0

    def __len__(self) -> int:
        """Calls that the guest has not answered."""
        return len(self.open)

    def cause_of(self, number: object) -> Any:
        """What a call that is open was caused by; None if it is not."""
        call = self.open.get(number) if type(number) is int else None
        return None if call is None else call.cause

    def begin(self, target: Called, streams: bool, cause: Any, meter: Meter | None) -> Pending:
        """One more, that is about to be sent."""
        self._sent += 1
        call = Pending(self._sent, streams, cause)
        if meter is not None:
            name = target if isinstance(target, str) else target[-1]
            started = meter.begin("stream" if streams else "call", name)
            call.meter, call.started = meter, started
        self.open[call.id] = call
        return call

    async def wait(self, call: Pending) -> None:
        """Return when there is something to see; after `Limits.wall`, the call is cancelled."""
        call.timer = self._loop.call_later(self._wall, self._overdue, call)
        try:
            await self._news(call)
        finally:
            if call.timer is not None and not call.cancelled:
                call.timer.cancel()
                call.timer = None

    async def wait_for_load(self, opening: Pending) -> None:
        """Return when it is over. A load cannot be cancelled, only killed."""
        opening.timer = self._loop.call_later(self._wall, self._ungraceful)
        try:
            await self._news(opening)
        finally:
            opening.disarm()

    async def _news(self, call: Pending) -> None:
        future = call.future = self._loop.create_future()
        try:
            await future
        except asyncio.CancelledError:
            self.cancel(call, "the caller was cancelled")
            raise
        finally:
            call.future = None

    async def idle(self, but: Collection[Any]) -> None:
        """Return when every call was answered, but those caused by one of these, and streams
        that wait to be asked for an item."""
        while any(call.cause not in but and not call.rests for call in self.open.values()):
            waiter = self._loop.create_future()
            self._idle.append(waiter)
            await waiter

    def _wake_idle(self) -> None:
        waiting, self._idle = self._idle, []
        for one in waiting:
            if not one.done():
                one.set_result(None)

    def end(self, reason: BaseException) -> None:
        """The isolate is gone; what is pending raises `reason`."""
        for call in self.open.values():
            call.disarm()
            call.finish(error=again(reason))
        self.open.clear()
        self._wake_idle()

    # -- ending one before its time ---------------------------------------------------------------

    def cancel(self, call: Pending, why: str) -> None:
        """Cancel it in the guest, which has `GRACE` seconds from when it hears of it."""
        if call.cancelled or call.id not in self.open:
            return
        call.cancelled = True
        self.cancelling.append(call)
        if self._guest.interrupt(call.id):
            self._limit_grace(call)
        self._guest.post(["cancel", call.id, why])

    def heard(self) -> None:
        """The guest hears now of those that were told to stop."""
        for call in self.cancelling:
            if call.id in self.open:
                self._limit_grace(call)
        self.cancelling.clear()

    def lost(self, number: int, error: Exception) -> None:
        """A step of this call could not be committed."""
        call = self.open.get(number)
        if call is not None:
            call.finish(error=error)
            self.cancel(call, "its step could not be committed")

    def _overdue(self, call: Pending) -> None:
        call.timer = None
        if call.id in self.open:
            call.overdue = True
            self._limit_grace(call)
            self.cancel(call, f"it took more than {self._wall} s")

    def _limit_grace(self, call: Pending) -> None:
        if call.grace is None:
            call.grace = self._loop.call_later(GRACE, self._ungraceful)

    def _ungraceful(self) -> None:
        """It was told to stop and did not."""
        self._guest.fell(too_late(self._wall, survived=False))

    # -- answers; LookupError and ValueError are violations ---------------------------------------

    def answer(self, number: int, value: Any) -> None:
        """The call returned this."""
        self._close(number, streams=False).finish(value)

    def exhausted(self, number: int) -> None:
        """The stream is over."""
        self._close(number, streams=True).finish()

    def fail(self, number: int, description: object) -> None:
        """The call raised."""
        error: Exception = raised(description)  # first: only a good answer closes a call
        call = self._closed(number)
        if call.overdue:
            late = too_late(self._wall, survived=True)
            late.__cause__ = error
            error = late
        call.finish(error=error)

    def item(self, number: int, value: object) -> None:
        """The stream has one more."""
        call = self.open[number]
        if call.items is None or call.credit <= 0:
            raise ValueError("an item that was not asked for")
        call.credit -= 1
        if not call.done:
            call.items.append(value)
            call.wake()
        if self._idle:
            self._wake_idle()

    def _close(self, number: int, *, streams: bool) -> Pending:
        if (self.open[number].items is not None) is not streams:
            raise ValueError("the answer of another kind of call")
        return self._closed(number)

    def _closed(self, number: int) -> Pending:
        call = self.open.pop(number)
        if call.timer is not None or call.grace is not None:
            call.disarm()
        if self._idle:
            self._wake_idle()
        return call
