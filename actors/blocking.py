"""The same runtime for code that is not asynchronous.

A portal keeps an event loop on a thread of its own; every call goes there and waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anyio.from_thread import BlockingPortal, start_blocking_portal

from actors.actor import Actor
from actors.errors import NotActive, RuntimeClosed
from actors.host import Stats
from actors.streams import Stream
from actors.stub import Stub
from storage.files.resolver import register_resolver

if TYPE_CHECKING:
    from actors.local import LocalRuntime
    from actors.ray.runtime import RayRuntime
    from actors.stat import ActorStat
    from storage.diff import Difference

_END = object()


class BlockingRuntime:
    """A runtime whose methods, and whose stubs' methods, return when they are done.

    `with LocalRuntime(root).blocking() as runtime:`, or of a `RayRuntime`. It has a loop
    and a thread of its own; any thread may use it. On the thread of a running event loop it
    refuses: waiting there would stop the loop, so use the runtime itself and `await`.
    """

    def __init__(self, runtime: LocalRuntime | RayRuntime) -> None:
        self._runtime = runtime
        self._stack = ExitStack()
        self._portal: BlockingPortal | None = None
        self.loop: asyncio.AbstractEventLoop | None = None
        """On which the actors run, since it was opened."""

    def __enter__(self) -> BlockingRuntime:
        _refuse_loop()
        portal = self._stack.enter_context(start_blocking_portal("asyncio"))
        self._portal = portal
        self.loop = portal.call(asyncio.get_running_loop)
        try:
            portal.call(self._runtime.open)
            self._stack.callback(portal.call, self._runtime.close)
            register_resolver(partial(BlockingFiles, self))
            self._stack.callback(register_resolver, None)
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._portal = None
        self._stack.close()

    def get(self, cls: type[Actor], name: str) -> Any:
        """A stub of the actor `name`: `runtime.get(Lead, "a").count("word")` returns the result."""
        return BlockingStub(self, self.run(_called, self._runtime.get, cls, name))

    def list(self, cls: type[Actor]) -> list[str]:
        """Names of the actors of this class that have state, sorted."""
        return self.run(_called, self._runtime.list, cls)  # type: ignore[no-any-return]

    def delete(self, cls: type[Actor], name: str) -> None:
        """Wipe an actor and all its facets."""
        self.run(self._runtime.delete, cls, name)

    def stat(
        self, cls: type[Actor], name: str, *, below: bool = False, rows: bool = False
    ) -> ActorStat:
        """What is known of an actor without waking it (see `LocalRuntime.stat`)."""
        asked = partial(self._runtime.stat, cls, name, below=below, rows=rows)
        return self.run(_called, asked)  # type: ignore[no-any-return]

    def tree(self, cls: type[Actor], name: str) -> Any:
        """An actor and its facets, in the order of their paths."""
        return self.run(_called, self._runtime.tree, cls, name)

    def rename(self, cls: type[Actor], name: str, new_name: str) -> None:
        """Give an actor another name."""
        self.run(self._runtime.rename, cls, name, new_name)

    def demote(self, cls: type[Actor], name: str, to: object, new_name: str) -> None:
        """Make an actor a facet of another one, which is given as a stub."""
        self.run(self._runtime.demote, cls, name, _plain(to), new_name)

    def clone(self, cls: type[Actor], source: str, target: str, *, at: str | None = None) -> None:
        """Copy an actor and all its facets over another, as of now or of a bookmark."""
        self.run(partial(self._runtime.clone, at=at), cls, source, target)

    def diff(
        self, cls: type[Actor], name: str, other: str | None = None, **moments: str
    ) -> Iterator[Difference]:
        """What differs between two actors or two moments (see `LocalRuntime.diff`)."""

        async def begin() -> Any:
            return self._runtime.diff(cls, name, other, **moments)

        yield from self.iterate(begin)

    def restore(self, cls: type[Actor], name: str, bookmark: str) -> str:
        """Put an actor and all its facets back; the bookmark that leads back."""
        return self.run(self._runtime.restore, cls, name, bookmark)  # type: ignore[no-any-return]

    def restore_from_replica(self, cls: type[Actor], name: str, at: Any = None, **of: Any) -> str:
        """Put an actor back to what a replica has (see `LocalRuntime.restore_from_replica`)."""
        work = partial(self._runtime.restore_from_replica, **of)
        return self.run(work, cls, name, at)  # type: ignore[no-any-return]

    def bookmark(self) -> str:
        """This moment."""
        return self.run(_called, self._runtime.bookmark)  # type: ignore[no-any-return]

    def export(self, cls: type[Actor], name: str, path: str | Path) -> None:
        """Write an actor and all its facets into one file."""
        self.run(self._runtime.export, cls, name, path)

    def import_(self, cls: type[Actor], name: str, path: str | Path) -> None:
        """Put what `export` wrote in the place of an actor."""
        self.run(self._runtime.import_, cls, name, path)

    def register(self, cls: type[Actor]) -> None:
        """Announce a class before anything is got."""
        self.run(_called, self._runtime.register, cls)

    def stats(self) -> Stats:
        """What runs now."""
        return self.run(_called, self._runtime.stats)  # type: ignore[no-any-return]

    def files(self, cls: type[Actor], name: str) -> BlockingFiles:
        """The files of an actor. With fsspec they are also at `facets://KIND/NAME/path`."""
        return BlockingFiles(self, cls.kind, name)

    def on_files(self, kind: str, name: str, method: str, *args: Any, **kwargs: Any) -> Any:
        """One operation on the files of an actor, as a step of its own."""

        async def call() -> Any:
            return await self._runtime.on_files(kind, name, method, *args, **kwargs)

        return self.run(call)

    def iterate(self, begin: Callable[[], Coroutine[Any, Any, Any]]) -> Iterator[Any]:
        """The items of an asynchronous generator that is made on the loop's thread."""

        async def following(items: Any) -> Any:
            return await anext(items, _END)

        items = self.run(begin)
        try:
            while (item := self.run(following, items)) is not _END:
                yield item
        finally:
            self.run(items.aclose)

    def run(self, function: Callable[..., Coroutine[Any, Any, Any]], *args: Any) -> Any:
        """Run a coroutine function on the loop's thread; its result."""
        _refuse_loop()
        return self.start(function, *args).result()

    def start(self, function: Callable[..., Coroutine[Any, Any, Any]], *args: Any) -> Future[Any]:
        """Begin a coroutine function on the loop's thread, from any thread, and do not wait.

        Cancelling the future cancels it.
        """
        if self._portal is None:
            raise RuntimeClosed("this runtime is not open", hint="use `with runtime.blocking()`")
        return self._portal.start_task_soon(function, *args)


class BlockingFiles:
    """The files of one actor for plain code: `storage.files.Files`, a step for each call.

    What a method returns is complete; streams and handles are not for here.
    """

    __slots__ = ("_kind", "_name", "_runtime")

    def __init__(self, runtime: BlockingRuntime, kind: str, name: str) -> None:
        self._runtime = runtime
        self._kind = kind
        self._name = name

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_") or name in {"open", "stream", "write_stream", "fsspec", "walk"}:
            raise AttributeError(f"files have no {name} here")
        return partial(self._runtime.on_files, self._kind, self._name, name)


class BlockingStub:
    """A reference to one actor; calling a method waits for its result.

    A streaming method gives an iterator, and so does one that returns a stream. As an argument
    it stands for the actor, like a stub.
    """

    __slots__ = ("_runtime", "_stub")

    def __init__(self, runtime: BlockingRuntime, stub: Stub) -> None:
        self._runtime = runtime
        self._stub = stub

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._stub, name)
        return partial(self._call, method)

    def _call(self, method: Any, *args: Any, **kwargs: Any) -> Any:
        args = tuple([_plain(value) for value in args])
        kwargs = {name: _plain(value) for name, value in kwargs.items()}

        async def call() -> Any:
            return await method(*args, **kwargs)

        result = self._runtime.run(call)
        return self._items(result) if isinstance(result, Stream) else result

    def _items(self, items: Stream) -> Iterator[Any]:
        async def begin() -> Any:
            return items

        yield from self._runtime.iterate(begin)

    def stream(self, method: str, *args: Any, **kwargs: Any) -> Iterator[Any]:
        """The items of a streaming method, one after the other."""

        async def begin() -> Any:
            return aiter(getattr(self._stub, method)(*args, **kwargs))

        yield from self._runtime.iterate(begin)

    def __repr__(self) -> str:
        return repr(self._stub)


def _plain(value: Any) -> Any:
    return value._stub if isinstance(value, BlockingStub) else value


async def _called(function: Callable[..., Any], *args: Any) -> Any:
    return function(*args)


def _refuse_loop() -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise NotActive(
        "this thread runs an event loop, and waiting would stop it",
        hint="use the runtime itself and await, or call from another thread",
    )
