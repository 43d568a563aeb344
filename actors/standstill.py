"""Some trees of a host brought to a standstill: asleep, and nobody wakes them.

Who wants to take them away waits until they are idle, puts them to sleep and keeps them so; calls
of other actors of this host wait meanwhile, as they do for an actor that is about to stop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from actors.errors import ActorMoved

if TYPE_CHECKING:
    from actors.activation import Activation
    from actors.host import Host
    from actors.node import Node

PAUSE = 0.002
"""Seconds between two looks at whether calls are over, at first; they grow."""
LONGEST = 0.05


class Standstill:
    """The roots of one host that `wanted` picks, with all below them.

    `busy` tells whether anything is under way with them that no actor knows of, and `bound` whether
    it can only be waited for. `begin`, and then `leave` or `go_on`. On the loop of the host.
    """

    def __init__(
        self,
        host: Host,
        wanted: Callable[[str, str], bool],
        busy: Callable[[], bool],
        bound: Callable[[], bool],
    ) -> None:
        self._host = host
        self._wanted = wanted
        self._busy = busy
        self._bound = bound
        self._over: asyncio.Future[None] = host.loop.create_future()
        self._nodes: list[Node] = []

    async def begin(self, grace: float, reason: Callable[[Node], ActorMoved]) -> None:
        """Wait until what runs is over, for `grace` seconds; then end it with `reason`. Returns
        when all are asleep, and stay so."""
        until = self._host.loop.time() + grace
        while True:
            await self._idle(until)
            late = self._host.loop.time() >= until
            if late:
                for node in self._roots():
                    if node.activation is not None or node.starting is not None:
                        node.abort(reason(node))
            await self._sleep(until)
            busy = self._bound if late else self._busy
            if not self._awake() and not self._is_starting() and not busy():
                break
            await asyncio.sleep(PAUSE)
        self._nodes = self._roots()
        for node in self._nodes:
            node.stopping = self._over

    def leave(self, reason: Callable[[Node], ActorMoved]) -> None:
        """End them for good: what they were is somewhere else."""
        for node in self._nodes:
            node.stopping = None
            node.leave(reason(node))
        self._end()

    def go_on(self) -> None:
        """Let them wake again."""
        for node in self._nodes:
            node.stopping = None
        self._end()

    def _end(self) -> None:
        self._nodes = []
        if not self._over.done():
            self._over.set_result(None)

    async def _idle(self, until: float) -> None:
        pause = PAUSE
        awake = self._awake()
        while self._host.loop.time() < until:
            awake = [one for one in awake if one.busy and one.broken is None]
            if not awake and not self._is_starting() and not self._busy():
                return
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST)

    async def _sleep(self, until: float) -> None:
        """Those that are idle, facets before parents; who does not stop in time is cancelled."""
        awake = self._awake()
        for depth in sorted({one.node.depth for one in awake}, reverse=True):
            stopping = []
            for one in awake:
                if one.node.depth == depth and not one.busy and one.node.activation is one:
                    one.node.sleep()
                    stopping += [] if one.node.stopping is None else [one.node.stopping]
            if stopping:
                left = max(until - self._host.loop.time(), LONGEST)
                _, late = await asyncio.wait(stopping, timeout=left)
                for task in late:
                    task.cancel()
                    with suppress(asyncio.CancelledError):
                        await task

    def _roots(self) -> list[Node]:
        return [node for key, node in self._host.roots.items() if self._wanted(*key)]

    def _awake(self) -> list[Activation]:
        picked: dict[Node, bool] = {}
        found = []
        for one in self._host.awake:
            top = one.node
            while top.parent is not None:
                top = top.parent
            if top not in picked:
                picked[top] = self._wanted(top.kind, top.name)
            if picked[top]:
                found.append(one)
        return found

    def _is_starting(self) -> bool:
        return any(node.starting is not None for node in self._roots())
