"""References to actors of a cluster: they may be sent anywhere, and those of roots be stored."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Generator
from contextlib import aclosing
from dataclasses import dataclass
from functools import reduce
from typing import Any

from actors.names import facet_id, root_id
from actors.ray.context import depart, left, over
from actors.ray.here import hosting
from actors.ray.parcels import Data, pack_arguments
from actors.ray.repeating import may_repeat, repeat
from actors.ray.router import router
from actors.ray.wire import Target
from actors.values import pass_by_reference


@dataclass(frozen=True)
class ActorRef:
    """A root actor by its name, or a facet that its host remembers."""

    runtime: str
    kind: str
    name: str
    path: tuple[str, ...] = ()
    """From the root down to the facet."""
    lent: int = 0
    """What the host remembers the facet by."""
    token: str = ""
    """The incarnation of the host that does."""

    def __str__(self) -> str:
        return reduce(facet_id, self.path, root_id(self.kind, self.name))

    @property
    def target(self) -> Target:
        """What a message says of it."""
        return (self.kind, self.name, self.lent, self.token)


class RemoteStub:
    """A reference to one actor of a cluster.

    Used like any stub: `await stub.method(...)`, `async for item in stub.method(...)`. It works
    in the driver, in Ray tasks and actors and inside durable actors, may be pickled, and finds
    its actor again when a host came back. A call from inside an actor leaves when everything it
    depends on is durable, and cannot be part of a transaction.

    Errors: what the method raised, with the host's traceback as a note; `HostLost` if the host
    ended meanwhile: the call may have run. A call with `idempotency_key=` is made again then, until
    its deadline or for 60 s, and has one effect.
    """

    __slots__ = ("_ref",)
    _refers = True

    def __init__(self, ref: ActorRef) -> None:
        self._ref = ref

    def __getattr__(self, name: str) -> RemoteMethod:
        if name.startswith("__"):
            raise AttributeError(f"a stub has no {name}; call its public async methods")
        return RemoteMethod(self._ref, name)

    def __eq__(self, other: object) -> bool:
        return self._ref == other._ref if isinstance(other, RemoteStub) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._ref)

    def __repr__(self) -> str:
        return f"<stub of {self._ref}>"

    def __reduce__(self) -> Any:
        return arrived, (self._ref,)


def arrived(ref: ActorRef) -> Any:
    """A stub for a reference: the local one where its actor lives."""
    here = hosting(ref.runtime)
    return (here and here.local(ref.target)) or RemoteStub(ref)


def method_arrived(ref: ActorRef, name: str) -> Any:
    """The same for a method of a stub."""
    return getattr(arrived(ref), name)


class RemoteMethod:
    """One method of a stub, ready to be called."""

    __slots__ = ("name", "ref")
    _refers = True

    def __init__(self, ref: ActorRef, name: str) -> None:
        self.ref = ref
        self.name = name

    def __repr__(self) -> str:
        return f"<method {self.name} of {self.ref}>"

    def __eq__(self, other: object) -> bool:
        if isinstance(other, RemoteMethod):
            return (self.ref, self.name) == (other.ref, other.name)
        return NotImplemented

    def __hash__(self) -> int:
        return hash((self.ref, self.name))

    def __reduce__(self) -> Any:
        return method_arrived, (self.ref, self.name)

    def __call__(self, *args: Any, **kwargs: Any) -> RemoteReply:
        """Make the call; it leaves when it is awaited or iterated."""
        again = bool(kwargs) and may_repeat(kwargs)
        return RemoteReply(self, pack_arguments(args, kwargs), again)


class RemoteReply(Coroutine[Any, Any, Any]):
    """What a call returns before it leaves: await it, make a task of it, or iterate it."""

    __slots__ = ("_again", "_data", "_method", "_running")

    def __init__(self, method: RemoteMethod, data: Data, again: bool) -> None:
        self._method = method
        self._data = data
        self._again = again
        """It has one effect however often it is made."""
        self._running: Coroutine[Any, Any, Any] | None = None

    async def _call(self) -> Any:
        ref, method = self._method.ref, self._method.name
        await left(ref)
        if self._again:
            return await repeat(self._attempt, ref, method)
        return await self._attempt()

    async def _attempt(self) -> Any:
        ref, method = self._method.ref, self._method.name
        context = depart()
        try:
            return await router(ref.runtime).call(ref.target, method, self._data, context)
        finally:
            over(context)

    async def _stream(self) -> AsyncGenerator[Any, None]:
        ref, method = self._method.ref, self._method.name
        await left(ref)
        context = depart()
        try:
            items = router(ref.runtime).stream(ref.target, method, self._data, context)
            async with aclosing(items):
                async for item in items:
                    yield item
        finally:
            over(context)

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._call().__await__()

    def __aiter__(self) -> AsyncIterator[Any]:
        return self._stream()

    def send(self, value: Any) -> Any:
        """Part of the coroutine protocol, for tasks."""
        if self._running is None:
            self._running = self._call()
        return self._running.send(value)

    def throw(self, *error: Any) -> Any:
        """Part of the coroutine protocol, for tasks."""
        if self._running is None:
            self._running = self._call()
        return self._running.throw(*error)

    def close(self) -> None:
        """Part of the coroutine protocol: give the call up."""
        if self._running is not None:
            self._running.close()


pass_by_reference(RemoteStub)
pass_by_reference(RemoteMethod)
