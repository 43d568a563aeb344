"""What a call takes along to another process besides its arguments: its deadline, the chain of
calls that waits for it, and the trace that it is part of."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

from actors import origin, tracing
from actors.call import CURRENT
from actors.deadline import Deadline, present
from actors.logs import OUTSIDE
from actors.origin import ARRIVED, Origin
from actors.transaction import refuse


class CallContext(NamedTuple):
    """None stands for nothing to say, in each part and instead of the whole."""

    remaining: float | None
    """Seconds until the deadline, counted from here: clocks of machines differ."""
    seconds: float
    """How long the block was to take, for messages."""
    origin: Origin | None
    trace: dict[str, str] | None
    outside: str
    """The call from outside that everything here is done for, for logs; empty if it is this one."""


def depart() -> CallContext | None:
    """The context for a call that the running code is about to make; `over` ends it.

    `DeadlineExceeded` if the call comes too late.
    """
    call, deadline = CURRENT.get(), present()
    trace = tracing.depart(call)
    if call is None and deadline is None and trace is None:
        return None
    if deadline is not None and deadline.remaining == 0:
        raise deadline.exceeded(call)
    return CallContext(
        None if deadline is None else deadline.remaining,
        0.0 if deadline is None else deadline.seconds,
        None if call is None else origin.depart(call),
        trace,
        OUTSIDE.get(),
    )


def over(context: CallContext | None) -> None:
    """The call has ended."""
    if context is not None and context.origin is not None:
        origin.over(context.origin)


async def left(what: object) -> None:
    """A call leaves the host: what it depends on must be durable, and its step is over."""
    caller = CURRENT.get()
    if caller is None:
        return
    refuse(caller, f"calling {what} on another host")
    source = caller.activation
    source.leave()
    await source.node.host.gate.passed(source.dependency, source.remote)


@contextmanager
def arrived(context: CallContext | None) -> Iterator[None]:
    """Run the call of another process in here: on its terms."""
    if context is None:
        yield
        return
    with ExitStack() as stack:
        if context.trace is not None:
            stack.enter_context(tracing.arrived(context.trace))
        ARRIVED.set(context.origin)
        if context.outside:
            OUTSIDE.set(context.outside)
        if context.remaining is not None:
            stack.enter_context(Deadline(context.remaining, of=context.seconds))
        yield
