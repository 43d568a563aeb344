"""What follows when a facet breaks or does not start: restarts, and a breaker that stops them."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from actors.errors import FacetDown
from actors.hooks import tell

if TYPE_CHECKING:
    from actors.clock import Clock
    from actors.node import Node

MANY = 1_000
"""Breakers that a host has before it looks for those that are over."""


@dataclass(frozen=True, slots=True)
class Restart:
    """A facet that breaks is started again, after a pause that grows with each failure.

    A failure is that it breaks by itself (its isolate was killed, its storage failed) or that it
    does not start. Calls in progress fail with the reason, and are not repeated: how far they
    came is not known. Stubs of the facet go on: a call during the pause waits for the next start.
    It starts by itself too, so that its timers go on and what its `on_start` begins.

    After `limit` failures within `within` seconds its breaker opens: it is not started any more,
    and calls raise `FacetDown`. `most` seconds after the last failure the next call starts it for
    trial; the breaker closes if that start succeeds, and opens again at once if it fails. What was
    longer ago than both times is forgotten.

    What the parent does itself is no failure: `abort`, `replace` and `delete` end the facet for
    good, and close its breaker. Times are in seconds of the host's clock; the count is in
    memory, and begins anew with a new process.
    """

    first: float = 0.1
    """The first pause."""
    factor: float = 2.0
    """How much longer each is than the one before."""
    most: float = 30.0
    """The longest pause, and how long the breaker stays open."""
    limit: int = 5
    within: float = 60.0

    def __post_init__(self) -> None:
        if not (0 <= self.first <= self.most and self.factor >= 1):
            raise ValueError(f"pauses cannot grow from {self.first} s by {self.factor}")
        if self.limit < 1 or self.within <= 0:
            raise ValueError("a breaker needs at least one failure, and time for it")


UNSUPERVISED = Restart(first=0.0)
"""For facets without a policy. They are not started by themselves and nobody waits; but what
fails to start five times in a minute is left alone for half a minute."""


class Breaker:
    """The failures of one facet. Open: it is not started for now."""

    __slots__ = ("_failures", "_policy", "error", "open")

    def __init__(self) -> None:
        self._policy = UNSUPERVISED
        self._failures: deque[float] = deque()
        self.open = False
        self.error: BaseException | None = None
        """The last of them."""

    def add(self, now: float, error: BaseException, policy: Restart) -> None:
        """One more failure."""
        self._policy = policy
        self.error = error
        while self._failures and self._failures[0] <= now - policy.within:
            self._failures.popleft()
        self._failures.append(now)
        self.open = self.open or len(self._failures) >= policy.limit

    @property
    def due(self) -> float:
        """When it may be started again."""
        policy, count = self._policy, len(self._failures)
        if self.open:
            return self._failures[-1] + policy.most
        # Not the power itself, which may be too large for a float.
        pause = policy.first
        for _ in range(count - 1):
            if pause >= policy.most:
                break
            pause *= policy.factor
        return self._failures[-1] + min(pause, policy.most)

    def over(self, now: float) -> bool:
        """Whether nothing follows any more from what happened."""
        return now > self._failures[-1] + max(self._policy.most, self._policy.within)

    def down(self, node: Node, now: float) -> FacetDown:
        """The error of whoever calls while it is open."""
        began = node.host.clock.now() - (now - self._failures[0])
        return FacetDown(
            f"{node.id} failed {len(self._failures)} times and is left alone: {self.error}",
            failures=len(self._failures),
            since=began,
            retry_after=self.due - now,
        )


async def permit(node: Node) -> None:
    """Return when a node may be started; `FacetDown` if not for now."""
    breaker, clock = node.host.breakers.get(node.id), node.host.clock
    if breaker is None:
        return
    now = clock.time()
    if breaker.over(now):
        del node.host.breakers[node.id]
        return
    if breaker.due <= now:
        return
    if breaker.open:
        raise breaker.down(node, now) from breaker.error
    await _pause(clock, breaker.due)


async def _pause(clock: Clock, until: float) -> None:
    over = asyncio.Event()
    alarm = clock.call_at(until, over.set)
    try:
        await over.wait()
    finally:
        alarm.cancel()


def broke(node: Node, error: BaseException) -> None:
    """Remember why, and tell the parent, if it runs."""
    node.failure = error
    above = node.parent
    if above is not None and above.activation is not None:
        tell(above.activation, "on_facet_broken", node.name, error)


def failed(node: Node, error: BaseException, policy: Restart | None) -> None:
    """A facet did not start, or broke under a policy: see that it starts again, or not too soon."""
    host = node.host
    broke(node, error)
    if node.parent is None:
        return
    now = host.clock.time()
    breaker = host.breakers.get(node.id)
    if breaker is None:
        _forget_old(host.breakers, now)
        breaker = host.breakers[node.id] = Breaker()
    breaker.add(now, error, policy or UNSUPERVISED)
    if policy is not None and not breaker.open:
        node.start_again()


def started(node: Node, policy: Restart | None) -> None:
    """It runs: its breaker closes; what is supervised may yet break again soon."""
    breaker = node.host.breakers.get(node.id)
    if breaker is not None:
        breaker.open = False
        if policy is None:
            del node.host.breakers[node.id]


def forget(node: Node) -> None:
    """It is not there any more, nor is anybody below it: whoever comes has not failed yet."""
    breakers = node.host.breakers
    for name in [one for one in breakers if f"{one}/".startswith(f"{node.id}/")]:
        del breakers[name]


def _forget_old(breakers: dict[str, Breaker], now: float) -> None:
    if len(breakers) >= MANY:
        for name in [name for name, one in breakers.items() if one.over(now)]:
            del breakers[name]
