"""The calls of one session: what was asked, and what came back."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from actors.errors import NoSuchMethod, NotCallable

if TYPE_CHECKING:
    from facets.isolates.meter import Meter, Started


class MethodInfo(NamedTuple):
    """How a method is called."""

    kind: str
    """"call" for `async def`, "stream" for an async generator."""
    exclusive: bool = False


class Pending:
    """One call on its way. `done` means that the guest has answered, or that nobody will."""

    __slots__ = (
        "cancelled", "cause", "credit", "done", "error", "future", "grace", "id", "items",
        "meter", "overdue", "started", "timer", "value",
    )  # fmt: skip

    def __init__(self, number: int, streams: bool, cause: Any = None) -> None:
        self.id = number
        self.cause = cause
        """The actor's call that this one is the inside of."""
        self.done = False
        self.cancelled = False
        """Told to stop."""
        self.overdue = False
        """Told to stop because its time was up."""
        self.value: Any = None
        self.error: BaseException | None = None
        self.items: deque[Any] | None = deque() if streams else None
        self.credit = 1
        """Items that were asked for and have not come."""
        self.future: asyncio.Future[None] | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.grace: asyncio.TimerHandle | None = None
        self.meter: Meter | None = None
        """Told when it is over."""
        self.started: Started

    @property
    def rests(self) -> bool:
        """It is a stream, and nothing of it runs until somebody asks for an item."""
        return self.items is not None and self.credit <= 0

    def finish(self, value: Any = None, error: BaseException | None = None) -> None:
        """Answer the call. What comes later is ignored."""
        if not self.done:
            self.done = True
            self.value, self.error = value, error
            if self.meter is not None:
                self.meter.end(self.started, error, self.cancelled)
        self.wake()

    def wake(self) -> None:
        """Let who waits look again."""
        if self.future is not None and not self.future.done():
            self.future.set_result(None)

    def result(self) -> Any:
        """The answer."""
        if self.error is not None:
            raise self.error
        return self.value

    def disarm(self) -> None:
        """Forget the timers."""
        for timer in (self.timer, self.grace):
            if timer is not None:
                timer.cancel()
        self.timer = self.grace = None


def not_callable(
    target: str,
    method: str,
    info: MethodInfo | None,
    plain: bool,
    methods: Mapping[str, MethodInfo],
) -> Exception:
    """Why `method` cannot be called as it was."""
    what = f"{target or 'the module'}.{method}"
    fields = {"actor": target, "method": method}
    if info is not None:
        better = "iterate it: `async for`" if info.kind == "stream" else "await it"
        return NotCallable(f"{what} is a {info.kind}", hint=better, **fields)
    if plain:
        better = "make it async def to call it from outside"
        return NotCallable(f"{what} is a plain def", hint=better, **fields)
    if method[:1] == "_":
        better = "names with an underscore are never called from outside"
        return NotCallable(f"{what} is private", hint=better, **fields)
    return NoSuchMethod(
        f"{what} does not exist", hint=f"there is {', '.join(methods) or 'nothing'}", **fields
    )
