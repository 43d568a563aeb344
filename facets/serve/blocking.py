"""The client for code that is not asynchronous."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack
from typing import Any

from anyio.from_thread import BlockingPortal, start_blocking_portal

from actors.actor import Actor
from facets.serve.client import Client

_END = object()


class BlockingClient:
    """A `Client` whose calls return when they are done: `with client.blocking() as client:`.

    `client.get("Tally", "a").add("octopus")` is the result; `.stream("words")` of an actor are the
    items of a streaming method. It has a loop and a thread of its own; any thread may use it.
    """

    def __init__(self, client: Callable[[], Client]) -> None:
        self._make = client
        self._stack = ExitStack()
        self._client: Client
        self._portal: BlockingPortal

    def __enter__(self) -> BlockingClient:
        self._portal = self._stack.enter_context(start_blocking_portal("asyncio"))
        self._client = self._portal.call(self._make)
        self._stack.callback(self._portal.call, self._client.close)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def get(self, cls: type[Actor] | str, name: str) -> BlockingActor:
        """An actor by its kind or class."""
        return BlockingActor(self, self._client.get(cls, name))

    def list(self, cls: type[Actor] | str) -> Iterator[str]:
        """The names of a kind, sorted."""
        return self.iterate(lambda: self._client.list(cls))

    def run(self, work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        """The result of a coroutine that is made and run on the loop."""
        return self._portal.call(work)

    def iterate(self, make: Callable[[], Any]) -> Iterator[Any]:
        """The items of what is made and iterated on the loop."""

        async def begin() -> Any:
            return aiter(make())

        async def following() -> Any:
            return await anext(items, _END)

        items = self.run(begin)
        try:
            while (item := self.run(following)) is not _END:
                yield item
        finally:
            self.run(items.aclose)


class BlockingActor:
    """One actor or facet of a server; calling a method waits for its result."""

    __slots__ = ("_actor", "_client")

    def __init__(self, client: BlockingClient, actor: Any) -> None:
        self._client = client
        self._actor = actor

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._actor, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            return self._client.run(lambda: method(*args, **kwargs))

        return call

    def stream(self, method: str, *args: Any, **kwargs: Any) -> Iterator[Any]:
        """The items of a streaming method, one after the other."""
        return self._client.iterate(lambda: getattr(self._actor, method)(*args, **kwargs))

    def facet(self, name: str, cls: type[Actor] | None = None) -> BlockingActor:
        """A facet below it."""
        return BlockingActor(self._client, self._actor.facet(name, cls))

    def __repr__(self) -> str:
        return repr(self._actor)
