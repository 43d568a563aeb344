"""When actors were last used, without a look at the clock in any call."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from storage.sizes import newest

if TYPE_CHECKING:
    from actors.activation import Activation
    from actors.clock import Clock
    from actors.node import Node

KEPT = 100_000
"""Actors that ended or fell asleep of which it is remembered; of others, their last write."""


class Uses:
    """Of the actors of one host, as seen by its rounds: a call only counts.

    What sleeps is remembered in memory: an entry on disk for each actor that falls asleep would
    make sleeping cost what a write costs.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._kept: OrderedDict[int, float] = OrderedDict()
        """By uid; the one that ended first comes first."""

    def look(self, activation: Activation) -> bool:
        """A round of the host: whether it was called since the one before."""
        called = activation.begun != activation.seen
        if called or activation.busy:
            activation.used = self._clock.now()
        activation.seen = activation.begun
        return called

    def ended(self, activation: Activation) -> None:
        """It fell asleep, or broke."""
        uid = activation.database.uid
        if uid is None:
            return  # it has nothing, and there is nothing to be told of it
        self._kept[uid] = self._of(activation)
        self._kept.move_to_end(uid)
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)

    def last(self, node: Node) -> float | None:
        """Seconds since 1970; None if that is not known, and it never wrote."""
        if node.activation is not None:
            return self._of(node.activation)
        node.database.look()
        kept = self._kept.get(node.database.uid or 0)
        return newest(node.database) if kept is None else kept

    def _of(self, activation: Activation) -> float:
        fresh = activation.begun != activation.seen or activation.busy
        return self._clock.now() if fresh else activation.used
