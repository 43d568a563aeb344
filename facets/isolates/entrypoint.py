"""Functions and classes of an isolate that have no storage."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from actors.call import CURRENT, Call
from actors.tasks import spawn
from facets.isolates.cputime import check_cpu
from facets.isolates.errors import IsolateClosed, IsolateDead, IsolateError
from facets.isolates.fetching import Fetching
from facets.isolates.limits import Limits
from facets.isolates.own import Own
from facets.isolates.printed import Printed
from facets.isolates.using import Desk

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from facets.isolates.isolate import Isolate
    from facets.isolates.opening import AnySession
    from facets.isolates.serving import Asked


class Entrypoint:
    """Call it if it names a function; call its methods if it names a class.

    Its sandbox is minted by the first call, and again by the next one after it was killed.
    """

    def __init__(
        self,
        isolate: Isolate,
        name: str,
        props: Any,
        limits: Limits,
        waits: Mapping[str, Callable[..., Awaitable[Any]]] = MappingProxyType({}),
    ) -> None:
        self.waits = waits
        """Services besides those of the runtime, for which synchronous code inside may wait."""
        self._isolate = isolate
        self._name = name
        self._props = props
        self._limits = limits
        self._opening: asyncio.Task[AnySession] | None = None
        self._session: AnySession | None = None
        self.ended: BaseException | None = None
        self.output = Printed()

    @property
    def _label(self) -> str:
        """The isolate and the function or class."""
        return f"{self._isolate.label}.{self._name}" if self._name else self._isolate.label

    async def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function."""
        return await self._call("", args, kwargs)

    def __getattr__(self, method: str) -> Any:
        if method.startswith("_"):
            raise AttributeError(method)

        async def call(*args: Any, **kwargs: Any) -> Any:
            return await self._call(method, args, kwargs)

        return call

    async def _call(self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        check_cpu(self._isolate.owner)
        session = await self._open()
        call = CURRENT.get()
        if call is not None:
            call.activation.leave()  # the code inside may act for it before this returns
        return await session.call(method, args, kwargs, call)

    async def _open(self) -> AnySession:
        if self.ended is not None:
            raise self.ended
        if self._session is not None and self._session.alive:
            return self._session
        if self._opening is None:
            self._opening = spawn(self._start())
        return await asyncio.shield(self._opening)

    async def _start(self) -> AnySession:
        try:
            self._session = await self._isolate.open(
                self._name,
                actor=False,
                props=self._props,
                limits=self._limits,
                services=_Stateless(self),
            )
            return self._session
        finally:
            self._opening = None

    def kill(self, reason: BaseException) -> None:
        """Drop the sandbox; calls in progress fail with `reason`."""
        self.ended = self.ended or reason
        if self._opening is not None:
            self._opening.cancel()
        if self._session is not None:
            self._session.kill(reason)

    def forget(self) -> None:
        """The sandbox is dead."""
        self._session = None

    def close(self) -> None:
        """Drop the sandbox when nothing is in progress."""
        self.kill(IsolateClosed(f"{self._isolate.label} was closed"))


class _Stateless:
    """Services without storage."""

    def __init__(self, entrypoint: Entrypoint) -> None:
        isolate = entrypoint._isolate
        self._entrypoint = entrypoint
        self.home = self.giver = isolate.owner
        self.own: Own | None = Own()
        Fetching(isolate.egress, isolate.owner, isolate.owner, entrypoint._label).offer(self.own)
        for name, service in entrypoint.waits.items():
            self.own.offer(name, service, waits=True)
        self._desk = Desk(isolate.owner, isolate.owner, f"{isolate.label}.{entrypoint._name}")

    def granter(self, cause: Call | None) -> Any:
        return None if cause is None else cause.activation

    def own_now(
        self, cause: Any, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        raise PermissionError(f"an entrypoint has no {method}")

    def expect(self, several: Sequence[Asked]) -> None:
        self._desk.expect(several)

    async def use(self, asked: Asked) -> Any:
        return await self._desk.use(asked)

    def iterate(self, asked: Asked) -> AsyncGenerator[Any, None]:
        return self._desk.iterate(asked)

    def storage(self, op: str, args: list[Any]) -> object:
        raise IsolateError(
            f"an entrypoint has no storage for {op}", hint="start an Actor class as a facet"
        )

    def commit(self) -> None: ...

    def rollback(self) -> None: ...

    def log(self, stream: str, text: str) -> None:
        self._entrypoint.output.add(stream, text)

    def died(self, error: IsolateDead) -> None:
        """The next call mints another."""
        self._entrypoint.forget()
