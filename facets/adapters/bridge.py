"""From the threads and event loops of a framework to those where actors run.

Calls of a `LocalRuntime` belong to its event loop. Frameworks run tools on loops of their own, or
on threads; a bridge takes a call to the right loop, and its result, error and cancellation back.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import Future
from typing import Any, TypeVar, cast

from actors.blocking import BlockingRuntime, BlockingStub
from actors.errors import NotActive
from actors.local import LocalRuntime
from actors.stub import Stub
from facets.children import Facets

T = TypeVar("T")
_END = object()


class Bridge:
    """Runs coroutine functions where the calls of a stub, or of a runtime, belong.

    `to` is a stub or a runtime, of any kind, also of `blocking()`, or `self.facets`. What is bound
    to no loop, a cluster, is called from the loop on which the bridge is made.
    """

    __slots__ = ("_blocking", "_loop")

    def __init__(self, to: object) -> None:
        self._blocking: BlockingRuntime | None = None
        if isinstance(to, BlockingStub):
            self._blocking = to._runtime
        elif isinstance(to, BlockingRuntime):
            self._blocking = to
        self._loop = None if self._blocking else _loop_of(to)

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """That of the actors; None if any will do."""
        return self._loop if self._blocking is None else self._blocking.loop

    async def run(self, function: Callable[..., Coroutine[Any, Any, T]], *args: Any) -> T:
        """Its result. Cancelling this cancels it."""
        if self.loop in (None, asyncio.get_running_loop()):
            return await function(*args)
        return await asyncio.wrap_future(self._start(function, *args))

    def wait(self, function: Callable[..., Coroutine[Any, Any, T]], *args: Any) -> T:
        """Its result, for plain code on another thread than the loop's; `NotActive` on that one.

        An interrupt of the waiting thread cancels it.
        """
        begun = self.start(function, *args)
        try:
            return begun.result()
        except BaseException:
            begun.cancel()
            raise

    def start(self, function: Callable[..., Coroutine[Any, Any, T]], *args: Any) -> Future[T]:
        """The same without waiting: cancelling the future cancels it."""
        running = asyncio._get_running_loop()
        if running is not None and running is self.loop:
            raise NotActive(
                "this thread runs the event loop of the actors, and waiting would stop it",
                hint="use the asynchronous method, or asyncio.to_thread",
            )
        return self._start(function, *args)

    def iterate(self, items: AsyncIterator[T]) -> Iterator[T]:
        """The items, for plain code like `wait`."""

        async def following() -> T | object:
            return await anext(items, _END)

        while (item := self.wait(following)) is not _END:
            yield cast("T", item)

    def _start(self, function: Callable[..., Coroutine[Any, Any, T]], *args: Any) -> Future[T]:
        if self._blocking is not None:
            return self._blocking.start(function, *args)
        if self._loop is None:
            raise NotActive(
                "there is no event loop to call from",
                hint="make the adapter inside a running loop, or use runtime.blocking()",
            )
        return asyncio.run_coroutine_threadsafe(function(*args), self._loop)


def plain(stub: Any) -> Any:
    """The stub that is awaited, of one that blocks."""
    return stub._stub if isinstance(stub, BlockingStub) else stub


def _loop_of(to: object) -> asyncio.AbstractEventLoop | None:
    if isinstance(to, Stub):
        return to._node.host.loop
    if isinstance(to, LocalRuntime):
        return to.host.loop
    if isinstance(to, Facets):
        return to._activation.node.host.loop
    return asyncio._get_running_loop()
