"""Deadlines: how long a block, and every call made in it, may take."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from types import TracebackType

from actors.call import CURRENT, Call, Part, Terms, chain
from actors.clock import Alarm, Clock
from actors.errors import DeadlineAcrossYield, DeadlineExceeded, NotActive
from actors.tasks import clock_of


class Bounded(Part):
    """What runs under a deadline of its own."""

    __slots__ = ()


def check_yield(call: Call | None) -> None:
    """Raise if `call`, which yields an item, is under a deadline that it opened itself: the one to
    be cancelled in time would be whoever works with the item, outside of the block."""
    while isinstance(call, Part):
        if isinstance(call, Bounded):
            raise DeadlineAcrossYield(f"{call} yields an item inside `with deadline(...)`")
        call = call.parent


class Deadline:
    """What `deadline(seconds)` returns: enter it once."""

    __slots__ = (
        "_alarm", "_before", "_cancelling", "_clock", "_left", "_outer", "_part", "_task", "_where",
        "at", "passed", "seconds",
    )  # fmt: skip

    def __init__(self, seconds: float, of: float | None = None) -> None:
        self._left = seconds
        self.seconds = seconds if of is None else of
        """What the block was given; when it crossed hosts, some of that had passed."""
        self.at = 0.0
        """When it passes, by the clock of the runtime."""
        self.passed = False
        """Its task was told."""
        self._clock: Clock
        self._task: asyncio.Task[object]
        self._cancelling = 0
        self._alarm: Alarm | None = None
        self._outer: Deadline | None = None
        self._before: Call | None = None
        self._part: Call | None = None
        self._where: Call | None = None
        """What was running when it passed."""

    # -- the block --------------------------------------------------------------------------

    def __enter__(self) -> None:
        task = asyncio.current_task()
        if task is None:
            raise NotActive("a deadline is for code that awaits: enter it in a task")
        call = self._before = CURRENT.get()
        loop = task.get_loop()
        self._clock = clock_of(loop) if call is None else call.activation.node.host.clock
        self.at = self._clock.time() + self._left
        self._outer = outer = _present(call)
        if outer is not None and outer.at <= self.at:
            return  # that one comes first, and says what there is to say
        self._task, self._cancelling = task, task.cancelling()
        self._alarm = self._clock.call_at(self.at, self._pass)
        self._begin(call)

    def _begin(self, call: Call | None) -> None:
        if call is None:
            _OUTSIDE.set(self)
        else:
            self._part = Bounded(call, (call.terms or Terms())._replace(deadline=self))
            CURRENT.set(self._part)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        _: TracebackType | None,
    ) -> None:
        if self._alarm is None:
            return
        self._alarm.cancel()
        # By value and not by token: a generator may be closed in another context.
        if self._part is None:
            _OUTSIDE.set(self._outer)
        elif CURRENT.get() is self._part:
            CURRENT.set(self._before)
        if not self.passed:
            return
        others = self._task.uncancel() > self._cancelling
        if kind is not None and issubclass(kind, asyncio.CancelledError) and not others:
            raise self.exceeded(self._where) from error

    def _pass(self) -> None:
        if asyncio.current_task() is self._task:
            # A virtual clock was moved by the very task: it is told when it awaits.
            self._alarm = self._task.get_loop().call_soon(self._pass)
            return
        self.passed = True
        self._task.cancel()

    # -- the calls inside -------------------------------------------------------------------

    @property
    def remaining(self) -> float:
        """Seconds that are left; 0 if it has passed."""
        return max(0.0, self.at - self._clock.time())

    def check(self, call: Call) -> None:
        """Raise if it has passed: `call` is not begun."""
        if self.passed or self._clock.time() >= self.at:
            raise self.exceeded(call)

    def note(self, call: Call) -> None:
        """`call` was interrupted; the innermost is told first."""
        one: Deadline | None = self
        while one is not None:
            if one.passed and one._where is None:
                one._where = call
            one = one._outer

    def exceeded(self, call: Call | None) -> DeadlineExceeded:
        """The error, with `call` as what was running."""
        where = "the block" if call is None else chain(call)
        return DeadlineExceeded(
            f"{where} took longer than the {self.seconds:g} s it had",
            hint="steps that were committed are kept; allow more time, or do less in one call",
            seconds=self.seconds,
            method="" if call is None else str(call),
            chain="" if call is None else where,
        )


_OUTSIDE: ContextVar[Deadline | None] = ContextVar("facets_deadline", default=None)
"""The deadline of a script's own code; that of an actor's is in its call."""


def deadline(seconds: float) -> Deadline:
    """`with facets.deadline(2.0):` - what the block does is over in time, or it raises.

    It holds for every call made inside, at any depth: of actors and facets, into isolates, of
    streams, from tasks. Of several, the earliest holds. When it passes, the task that is in the
    block is cancelled at its next await, and what it waits for: a step that is open there is
    undone, those before it are kept. Code in a sandbox is cancelled too, and killed if it goes
    on for a second. A `facets.transaction()` ends first, kept or undone as a whole. A call under
    a deadline that has passed is not begun.

    The block raises `DeadlineExceeded`, a TimeoutError that names the chain of calls. What ends
    in time, or catches the cancellation and returns, raises nothing. A stream may not yield inside
    its own block: `DeadlineAcrossYield`. Tasks that outlive the
    block keep its deadline for their calls; they are not cancelled. Time is that of the
    runtime's clock; a block costs some microseconds, and each call in it half of one.
    """
    return Deadline(seconds)


def remaining() -> float | None:
    """Seconds until the deadline that holds here, 0 if it has passed; None without one."""
    found = present()
    return None if found is None else found.remaining


def present() -> Deadline | None:
    """The deadline that holds for the code that runs."""
    return _present(CURRENT.get())


def _present(call: Call | None) -> Deadline | None:
    return _OUTSIDE.get() if call is None else call.deadline


def outside_deadline() -> Deadline | None:
    """The deadline of a script's own code, which it passes on to its calls."""
    return _OUTSIDE.get()
