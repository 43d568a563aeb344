"""Drives the fiber of one instance: first slice on the loop, then in fair rounds on a thread.

States of a call, and who may touch the instance:

    on the loop      `_advance` polls it; ends in one of the others
    on a thread      `_round` polls it for 10 ms, then queues behind other fibers or hands it back
    waiting          parked in a sleep or a request; a timer of the loop, or `answer`, brings it
                     back

How long a guest holds the loop at a time: it is given up behind the first poll that ends after
`SLICE` (`LOADING` for a load), and a poll uses `engine.SLICE` of fuel, about a millisecond. Not
divided, and so on top of it, are one bulk operation on the guest's memory (a copy of 20 MB takes
2 to 13 ms) and one storage operation, which `body.SQL` bounds.

Only one of them holds the instance at a time. `stop` may come at any moment: on the loop and
while waiting it frees the instance at once, on a thread it leaves a mark and the thread frees it
at the end of its slice.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

from facets.isolates.cputime import CpuTime
from facets.isolates.deaths import too_long
from facets.isolates.errors import IsolateDead
from facets.isolates.instance import BOOT, Parked, Trapped
from facets.isolates.workers import ROUND, pool

SLICE = 0.001
"""Seconds a call may take on the loop before it moves to a thread."""
LOADING = 0.002
"""The same for `boot`, which happens once: a tool of common size loads within it, and on a busy
machine the way to a thread and back takes longer than all of the load."""


class Fiber(Protocol):
    """What a runner drives: an instance of some guest. `instance.Instance` says more."""

    parked: Parked | None
    fault: IsolateDead | None

    def begin(self, export: int, message: bytes) -> None:
        """Start a call of `BOOT` or `PUMP`; nothing runs before the first poll."""

    def poll(self) -> bool:
        """Run one slice; whether the call is over."""

    def resume(self, answer: bytes | None) -> None:
        """Let a parked call go on when it is polled next."""

    def take(self) -> bytes:
        """What the call returned; `Trapped` or an IsolateDead if it ended otherwise."""

    def close(self) -> None:
        """Free everything at once."""


class Owner(Protocol):
    """Who a runner works for. Called on the loop, never inside a poll."""

    def serve(self, message: bytes) -> bytes | None:
        """Answer an operation; an IsolateDead kills. None if `Runner.answer` will be called."""

    def finished(self, answer: bytes) -> None:
        """The call returned."""

    def fell(self, error: BaseException) -> None:
        """The call trapped or crossed a limit: the instance is of no more use."""


class Runner:
    """One instance and the call in progress."""

    __slots__ = (
        "_allowed", "_instance", "_last", "_limit", "_loop", "_on_thread", "_owner", "_stopped",
        "_timer", "budget", "busy", "cpu",
    )  # fmt: skip

    def __init__(self, instance: Fiber, owner: Owner, cpu: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._instance = instance
        self._owner = owner
        self._limit = cpu
        self.cpu = 0.0
        """Seconds that the guest has computed since it was minted."""
        self.budget: CpuTime | None = None
        """What its actor may use; None if it works for none."""
        self._last = cpu
        """What `cpu` may become before the uninterrupted stretch is too long."""
        self._allowed = SLICE
        self._timer: asyncio.TimerHandle | None = None
        self._on_thread = False
        self._stopped = False
        self.busy = False

    def start(self, export: int, message: bytes) -> None:
        """Begin a call and run its first slice; it may be over when this returns."""
        self.busy = True
        if not self._allow():
            self._owner.fell(self._too_long())
            return
        self._allowed = LOADING if export == BOOT else SLICE
        self._instance.begin(export, message)
        self._advance()

    def _allow(self) -> bool:
        """A stretch begins: how long it may be; whether it may be at all."""
        self._last = self.cpu + self._limit
        if self.budget is None:
            return True
        left = self.budget.left(self.cpu)
        self._last = min(self._last, self.cpu + left)
        return left > 0

    def _too_long(self) -> IsolateDead:
        if self.budget is not None and self.budget.left(self.cpu) <= 0:
            return self.budget.over() or too_long(self._limit)
        return too_long(self._limit)

    def stop(self) -> None:
        """Kill: free the instance as soon as nothing runs in it. Idempotent."""
        if self._stopped:
            return
        self._stopped = True
        self.busy = True
        if self._timer is not None:
            self._timer.cancel()
        if not self._on_thread:
            self._instance.close()

    # -- on the loop --------------------------------------------------------------------------

    def _advance(self) -> None:
        instance = self._instance
        began = polled = time.perf_counter()
        while not instance.poll():
            now = time.perf_counter()
            self.cpu += now - polled
            if instance.parked is not None:
                if not self._unpark():
                    return
                polled = time.perf_counter()
                if polled - began > self._allowed:
                    self._loop.call_soon(self._again)  # many operations: let others have a turn
                    return
            elif now - began > self._allowed:
                self._to_thread()
                return
            else:
                polled = now
        self.cpu += time.perf_counter() - polled
        self._end()

    def _again(self) -> None:
        if not self._stopped:
            self._advance()

    def _end(self) -> None:
        instance = self._instance
        try:
            answer = instance.take()
        except (Trapped, IsolateDead) as error:
            self._owner.fell(instance.fault or error)
            return
        self.busy = False
        if self.budget is not None:
            self.budget.left(self.cpu)
        self._owner.finished(answer)

    def _unpark(self) -> bool:
        """Serve what the fiber waits for; whether it may be polled again now."""
        instance = self._instance
        parked = instance.parked
        if parked is None:
            return True
        if parked.message is None:
            self._allow()
            self._timer = self._loop.call_later(max(0.0, min(parked.seconds, 1e8)), self._woken)
            return False
        try:
            answer = self._owner.serve(parked.message)
        except BaseException as error:
            self._owner.fell(error)
            if not isinstance(error, Exception):
                raise
            return False
        if self._stopped:
            return False
        if answer is None:
            self._allow()
            return False
        instance.resume(answer)
        return True

    def answer(self, answer: bytes) -> None:
        """What the owner could not serve at once."""
        if not self._stopped:
            self._instance.resume(answer)
            self._advance()

    def _woken(self) -> None:
        self._timer = None
        self._instance.resume(None)
        self._advance()

    def _to_thread(self) -> None:
        self._on_thread = True
        pool().submit(self._round)

    def _back(self) -> None:
        """The thread is done with the instance for now."""
        self._on_thread = False
        if self._stopped:
            self._instance.close()
        elif self.cpu > self._last:
            self._owner.fell(self._too_long())
        elif self._instance.parked is not None:
            if self._unpark():
                self._advance()
        else:
            self._end()

    # -- on a thread --------------------------------------------------------------------------

    def _round(self) -> None:
        """Poll until the call is over, parks, is stopped or its round is up."""
        instance, poll = self._instance, self._instance.poll
        began, before = time.perf_counter(), time.thread_time()
        spent = self.cpu
        while not self._stopped:
            over = poll()
            self.cpu = spent + time.thread_time() - before
            if over or instance.parked is not None or self.cpu > self._last:
                break
            if time.perf_counter() - began > ROUND:
                self._hand_over(lambda: pool().submit(self._round))
                return
        self._hand_over(lambda: self._loop.call_soon_threadsafe(self._back))

    def _hand_over(self, to: Callable[[], object]) -> None:
        try:
            to()
        except RuntimeError:  # the loop is closed or the process ends: nobody is left to ask
            self._instance.close()
