"""Which call is running: the thread from a method back to whoever caused it."""

from __future__ import annotations

from collections.abc import Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from actors.activation import Activation
    from actors.transaction import Transaction


class Call:
    """One call of one method of one running actor."""

    __slots__ = ("activation", "method", "parent", "transaction")

    def __init__(self, activation: Activation, method: str, parent: Call | None) -> None:
        self.activation = activation
        self.method = method
        self.parent = parent
        """The call that made this one; None when it came from outside."""
        self.transaction: Transaction | None = None if parent is None else parent.transaction
        """What this call's writes are part of."""

    def ancestry(self) -> Iterator[Call]:
        """This call and those above it, innermost first."""
        call: Call | None = self
        while call is not None:
            yield call
            call = call.parent

    def __str__(self) -> str:
        return f"{self.activation.node.id}.{self.method}"


CURRENT: ContextVar[Call | None] = ContextVar("facets_call", default=None)
"""The call whose code is running; None in a script or a notebook cell."""


def chain(call: Call) -> str:
    """The calls from outside to this one, for messages."""
    return " -> ".join(reversed([str(one) for one in call.ancestry()]))
