"""Where a call from another host comes from: the chain of calls that waits for it there."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Iterator
from contextvars import ContextVar
from typing import NamedTuple

from actors.call import DEPTH, Call, Terms, chain, too_deep
from actors.deadline import outside_deadline


class Origin(NamedTuple):
    """The calls above a call that crossed hosts, as what it brings along."""

    path: str
    """All of them, for messages."""
    depth: int
    marks: tuple[str, ...]
    """For each host on the way the call that waits there; only that host knows which it is."""

    def calls(self) -> Iterator[Call]:
        """Those of them that run in this process, innermost first."""
        for mark in reversed(self.marks):
            call = _waiting.get(mark)
            if call is not None:
                yield from call.ancestry()  # which goes on with what is above that
                return


def depart(call: Call) -> Origin:
    """What a call that `call` makes on another host brings along, until `over` is told."""
    mark = f"{_PROCESS}-{next(_marks)}"
    _waiting[mark] = call
    above = None if call.terms is None else call.terms.origin
    return Origin(chain(call), call.depth, (*(above.marks if above else ()), mark))


def over(origin: Origin) -> None:
    """The call that brought it has ended."""
    _waiting.pop(origin.marks[-1], None)


def call_from_outside(target: object, method: str) -> Call:
    """A call that no actor of this host makes, on the terms of whoever does.

    `CallDepth` if it is one too many of a chain that crosses hosts.
    """
    call = Call(target, method, None)  # type: ignore[arg-type]  # an Activation
    deadline, origin = outside_deadline(), ARRIVED.get()
    if deadline is not None or origin is not None:
        call.terms = Terms(None, deadline, origin)
    if origin is not None:
        call.depth = origin.depth + 1
        if call.depth > DEPTH:
            raise too_deep(call)
    return call


ARRIVED: ContextVar[Origin | None] = ContextVar("facets_origin", default=None)
"""Where the call comes from that this task runs for another host."""
_PROCESS = uuid.uuid4().hex
_marks = itertools.count(1)
_waiting: dict[str, Call] = {}
"""Calls of this process that wait for another host."""
