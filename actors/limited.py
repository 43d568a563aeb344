"""Methods that run only so many at once, or so often."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import wraps
from inspect import isasyncgenfunction
from typing import TYPE_CHECKING, Any, TypeVar

from actors.call import CURRENT, Call, chain
from actors.errors import ExclusiveReentered, NotActive

if TYPE_CHECKING:
    from actors.activation import Activation
    from actors.clock import Clock

F = TypeVar("F", bound=Callable[..., Any])


class Lane:
    """The calls of one limited method of one activation, in the order in which they came."""

    __slots__ = ("_clock", "_holders", "_most", "_next", "_places", "_rate")

    def __init__(self, clock: Clock, concurrent: int | None, rate: float | None) -> None:
        self._clock = clock
        self._most = concurrent
        self._places = None if concurrent is None else asyncio.Semaphore(concurrent)
        self._holders: list[Call] = []
        self._rate = rate
        self._next = 0.0
        """When a steady stream of calls would have its next one."""

    async def enter(self, call: Call) -> None:
        """Return when the call may run."""
        if self._places is not None:
            self._check(call)
            await self._places.acquire()
            self._holders.append(call)
        if self._rate is None:
            return
        try:
            await self._pace(1 / self._rate, max(self._rate, 1.0))
        except BaseException:
            self.leave(call)
            raise

    def leave(self, call: Call) -> None:
        """It is over."""
        if self._places is not None:
            self._holders.remove(call)
            self._places.release()

    def _check(self, call: Call) -> None:
        """Raise if those that hold all places wait for `call` themselves."""
        above = set(call.ancestry())
        if len(self._holders) == self._most and above.issuperset(self._holders):
            raise ExclusiveReentered(
                f"{call} waits for a place that its own chain of calls holds",
                hint=f"the chain is {chain(call)}",
            )

    async def _pace(self, interval: float, burst: float) -> None:
        """A second's worth may come at once; the rest keeps its distance."""
        now = self._clock.time()
        mine = max(self._next, now)
        self._next = mine + interval
        wait = mine - (burst - 1) * interval
        if wait <= now:
            return
        due = asyncio.get_running_loop().create_future()
        alarm = self._clock.call_at(wait, lambda: _wake(due))
        try:
            await due
        except asyncio.CancelledError:
            self._next -= interval
            raise
        finally:
            alarm.cancel()


def _wake(due: asyncio.Future[None]) -> None:
    if not due.done():
        due.set_result(None)


def limited(*, concurrent: int | None = None, rate: float | None = None) -> Callable[[F], F]:
    """`@facets.limited(concurrent=2, rate=10)` on a method of an actor.

    At most `concurrent` calls of it run at once in one actor, across awaits, and at most `rate` a
    second begin, a second's worth of them at once. Others wait in order; how many may is bounded
    by the actor's `mailbox` (`Busy`), and how long by the caller's deadline. Calls of other
    methods are not held back. A chain of calls that waits for places which it holds itself gets
    `ExclusiveReentered`. Counted in memory: an actor that restarts begins afresh. On a stream, the
    limits hold from its first item to its end.
    """
    if concurrent is not None and concurrent < 1:
        raise ValueError(f"concurrent={concurrent} is less than 1")
    if rate is not None and not rate > 0:
        raise ValueError(f"rate={rate} is not more than 0")

    def limit(method: F) -> F:
        def entry(actor: Any) -> tuple[Lane, Call]:
            call, activation = CURRENT.get(), actor._activation
            if call is None or activation is None:
                raise NotActive("a limited method is called on a running actor")
            return _lane(activation, method, concurrent, rate), call

        return _streaming(method, entry) if isasyncgenfunction(method) else _calling(method, entry)

    return limit


def _lane(
    activation: Activation, method: Callable[..., Any], concurrent: int | None, rate: float | None
) -> Lane:
    found = activation.lanes.get(method)
    if found is None:
        found = activation.lanes[method] = Lane(activation.node.host.clock, concurrent, rate)
    return found


def _calling(method: F, entry: Callable[[Any], tuple[Lane, Call]]) -> F:
    @wraps(method)
    async def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        lane, call = entry(self)
        await lane.enter(call)
        try:
            return await method(self, *args, **kwargs)
        finally:
            lane.leave(call)

    return call  # type: ignore[return-value]


def _streaming(method: F, entry: Callable[[Any], tuple[Lane, Call]]) -> F:
    @wraps(method)
    async def stream(self: Any, *args: Any, **kwargs: Any) -> Any:
        lane, call = entry(self)
        await lane.enter(call)
        try:
            async for item in method(self, *args, **kwargs):
                yield item
        finally:
            lane.leave(call)

    return stream  # type: ignore[return-value]
