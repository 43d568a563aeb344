"""Pools of connections: one for each rule, on each loop, closed when idle."""

from __future__ import annotations

import asyncio
import ssl
from contextvars import Context
from weakref import WeakKeyDictionary

from actors.tasks import spawn
from facets.egress import idle
from facets.egress.resolving import Resolver
from facets.egress.rules import Rule
from facets.egress.transport import KEEP, Transport, tls_context

_TURNS = 100
"""Turns of the loop that requests which were just cancelled get to unwind."""


class Connections:
    """The transports of an Egress. An Egress may be used on several loops; a connection cannot."""

    def __init__(self, resolver: Resolver, tls: ssl.SSLContext | None) -> None:
        self._resolver = resolver
        self._tls = tls
        self._loops: WeakKeyDictionary[asyncio.AbstractEventLoop, _Pools] = WeakKeyDictionary()

    def here(self) -> _Pools:
        """Those of the running loop."""
        loop = asyncio.get_running_loop()
        if loop not in self._loops:
            self._tls = self._tls or tls_context()
            self._loops[loop] = _Pools(self._resolver, self._tls)
            idle.enter(self._loops[loop])
        return self._loops[loop]

    async def close(self) -> None:
        """Close those of the running loop; they open again when they are asked for."""
        pools = self._loops.pop(asyncio.get_running_loop(), None)
        if pools is not None:
            await pools.close()


class _Pools:
    def __init__(self, resolver: Resolver, tls: ssl.SSLContext) -> None:
        self._resolver = resolver
        self._tls = tls
        # By identity: rules that are equal may carry different credentials functions.
        self._transports: dict[int, Transport] = {}
        self._busy = 0
        self._keep = KEEP
        self._timer: asyncio.TimerHandle | None = None
        self._closing: set[asyncio.Task[None]] = set()

    def take(self, rule: Rule) -> Transport:
        """The transport of a rule, to be given back."""
        self._busy += 1
        self._disarm()
        transport = self._transports.get(id(rule))
        if transport is None:
            transport = self._transports[id(rule)] = Transport(rule, self._resolver, self._tls)
        return transport

    def give_back(self) -> None:
        """Whoever took a transport is done with it."""
        self._busy -= 1
        if not self._busy:
            # An empty context: the timer belongs to no actor's call.
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._keep, self._retire, context=Context())
            self._keep = KEEP

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _retire(self) -> None:
        task = spawn(self.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def retire(self) -> None:
        """Close what nobody uses, now or as soon as nobody does."""
        for _ in range(_TURNS):
            if not self._busy:
                await self.close()
                return
            await asyncio.sleep(0)
        self._keep = 0.0

    async def close(self) -> None:
        """Close every connection; requests under way fail."""
        self._disarm()
        transports, self._transports = self._transports, {}
        for transport in transports.values():
            await transport.aclose()
