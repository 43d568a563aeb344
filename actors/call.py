"""Which call is running: the thread from a method back to whoever caused it."""

from __future__ import annotations

from collections.abc import Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING, NamedTuple

from actors.errors import CallDepth

if TYPE_CHECKING:
    from actors.activation import Activation
    from actors.deadline import Deadline
    from actors.origin import Origin
    from actors.transaction import Transaction

DEPTH = 64
"""Calls that may be made one inside the other: down a tree of the deepest kind, and back. Python's
own stack of 1,000 frames has room for about 75 that are limited, counted and traced."""


class Terms(NamedTuple):
    """What a call passes on to every call that it makes."""

    transaction: Transaction | None = None
    """What its writes are part of."""
    deadline: Deadline | None = None
    """When it must be over."""
    origin: Origin | None = None
    """Where it comes from, if from another host."""


class Call:
    """One call of one method of one running actor."""

    __slots__ = ("activation", "depth", "method", "parent", "terms")

    def __init__(self, activation: Activation, method: str, parent: Call | None) -> None:
        self.activation = activation
        self.method = method
        self.parent = parent
        """The call that made this one; None when it came from outside."""
        self.terms: Terms | None
        """None for none, so that one test tells a call that needs no care."""
        if parent is None:
            self.terms = None
            self.depth = 1
            return
        self.terms = parent.terms
        self.depth = depth = parent.depth + 1
        if depth > DEPTH:
            raise too_deep(self)

    @property
    def transaction(self) -> Transaction | None:
        """What this call's writes are part of."""
        return None if self.terms is None else self.terms.transaction

    @property
    def deadline(self) -> Deadline | None:
        """When this call must be over."""
        return None if self.terms is None else self.terms.deadline

    def join(self, transaction: Transaction | None) -> None:
        """From here its writes are part of `transaction`."""
        terms = (self.terms or Terms())._replace(transaction=transaction)
        self.terms = None if terms == (None, None, None) else terms

    def ancestry(self) -> Iterator[Call]:
        """This call and those above it, innermost first; of a chain that crossed other hosts,
        what ran on this one."""
        yield from self.local()
        if self.terms is not None and self.terms.origin is not None:
            yield from self.terms.origin.calls()

    def local(self) -> Iterator[Call]:
        """The same, back to where the chain came in from outside."""
        call: Call | None = self
        while call is not None:
            yield call
            call = call.parent

    def __str__(self) -> str:
        return f"{self.activation.node.id}.{self.method}"


class Part(Call):
    """A stretch of a call's code that has terms of its own: what a `with` block is made of."""

    __slots__ = ()

    def __init__(self, call: Call, terms: Terms) -> None:
        self.activation, self.method, self.depth = call.activation, call.method, call.depth
        self.parent = call
        self.terms = terms


class Guest(Part):
    """What code in a sandbox makes, as part of the call that it acts for: trusted code of the same
    actor is not told apart from it otherwise."""

    __slots__ = ()

    def __init__(self, call: Call) -> None:
        self.activation, self.method, self.depth = call.activation, call.method, call.depth
        self.parent = call
        self.terms = call.terms


CURRENT: ContextVar[Call | None] = ContextVar("facets_call", default=None)
"""The call whose code is running; None in a script or a notebook cell."""


def whole(call: Call | None) -> Call | None:
    """The call that a stretch of code is part of."""
    while isinstance(call, Part):
        call = call.parent
    return call


def chain(call: Call) -> str:
    """The calls from outside to this one, for messages."""
    calls = [str(one) for one in call.local() if not isinstance(one, Part)]
    if call.terms is not None and call.terms.origin is not None:
        calls.append(call.terms.origin.path)
    return " -> ".join(reversed(calls))


def too_deep(call: Call) -> CallDepth:
    """Why a call was not made. The chain is long: its two ends tell the story."""
    links = chain(call).split(" -> ")
    return CallDepth(
        f"{call} would be call {call.depth} of one chain: "
        f"{' -> '.join(links[:3])} -> ... -> {' -> '.join(links[-3:])}",
        hint="calls that make calls must come to an end; let a loop do what repeats",
        depth=call.depth,
    )
