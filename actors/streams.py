"""Async generators that travel: their other end is a `Stream`.

The generator stays where it was made and runs there, as code of its actor. What travels is the
right to ask for the next item: nothing runs ahead of whoever iterates.
"""

from __future__ import annotations

import types
import weakref
from asyncio.events import _get_running_loop
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Generator
from contextvars import Context, copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, final

from actors.call import CURRENT, Call
from actors.errors import NotCopyable
from actors.origin import call_from_outside
from actors.steps import begin, finish
from actors.tasks import spawn
from actors.transaction import refuse
from actors.values import OWNER, Memo, copied_by, copy, pass_by_reference
from actors.visit import enter, leave

if TYPE_CHECKING:
    from actors.activation import Activation

Items = AsyncGenerator[Any, None]


@final
class Stream(AsyncIterator[Any]):
    """The items of an async generator of somebody else's, each made when it is asked for.

    An async generator becomes one when it is passed to another actor or returned by one, also
    inside another value: iterate it, once. The generator runs in steps of the actor that made it,
    in the transaction of whoever asks; items are copied, and an error arrives after the items
    before it. Cancelling who waits for an item cancels the generator where it awaits.

    `aclose()` closes the generator and runs its `finally`. So does letting go of the stream, and
    the end of the actor that iterates it; after the end of the actor that made it the stream
    raises the reason. Until then that actor does not fall asleep. A stream may be passed on, and
    gives the next item to whoever asks next; it belongs to the loop of its runtime.
    """

    __slots__ = (
        "__weakref__", "_at_home", "_began", "_context", "_home", "_items", "_loop", "_open",
        "_user", "_watch",
    )  # fmt: skip

    def __init__(self, items: Items, home: Activation | None, *, at_home: bool = True) -> None:
        self._items = items
        self._home = home
        self._at_home = at_home
        """The generator must be run as code of `home`; False if it sees to that itself."""
        self._open = True
        self._began = False
        self._user: Activation | None = None
        self._watch = _Watch(weakref.ref(self))
        self._loop = _get_running_loop()
        self._context = context = copy_context()
        context.run(CURRENT.set, None)
        if home is not None:
            home.lent += 1
            home.on_end.append(self._watch)

    @property
    def began(self) -> bool:
        """Whether an item was asked for, or nobody will ask for one."""
        return self._began or not self._open

    @property
    def name(self) -> str:
        """The generator's own."""
        return str(getattr(self._items, "__qualname__", "a stream"))

    async def __anext__(self) -> Any:
        """The next item; StopAsyncIteration at the end, whatever the generator raised."""
        home, caller = self._home, CURRENT.get()
        if home is not None and home.broken is not None:
            raise home.reason()
        if not self._open:
            raise StopAsyncIteration
        self._began = True
        if caller is not None and caller.activation is not home and self._user is None:
            self._user = caller.activation
            self._user.on_end.append(self._watch)
        try:
            item = await self._pull(home, caller)
        except BaseException:
            if self._items.ag_frame is None:  # type: ignore[attr-defined]
                self._release()
            raise
        if not self._at_home:
            return item
        try:
            return self._context.run(copy, item, "item", home)
        except NotCopyable:
            await self.aclose()
            raise

    async def _pull(self, home: Activation | None, caller: Call | None) -> Any:
        if not self._at_home or (caller is not None and caller.activation is home):
            return await anext(self._items)
        if home is None:
            await _leave_host(caller, self.name)
            return await _within(self._context, self._items.asend(None))
        try:
            return await _visited(home, self.name, self._context, self._items.asend(None))
        finally:
            if caller is None:
                await home.node.host.gate.passed(home.dependency, home.remote)

    async def aclose(self) -> None:
        """Close the generator; what its `finally` raises is raised. Idempotent."""
        if self._open:
            self._release()
            await _close(self._items, self._home, self._at_home, self._context)

    def _release(self) -> None:
        """Nobody will ask for an item any more."""
        if self._open:
            self._open = False
            _let_go(self._home, self._user, self._watch)

    def _ended(self) -> None:
        """One side's actor has ended. An item on its way has been interrupted with it."""
        if self._open:
            self._release()
            if not self._items.ag_running:  # type: ignore[attr-defined]
                spawn(_close(self._items, self._home, self._at_home, self._context))

    def __reduce__(self) -> Any:
        raise TypeError("a stream is a reference into its runtime; it cannot be stored")

    def __repr__(self) -> str:
        return f"<stream of {self.name}>"

    def __del__(self) -> None:
        # On any thread, in the middle of anything.
        if self._open and self._loop is not None and not self._loop.is_closed():
            ends = self._home, self._user, self._watch
            closing = partial(_abandon, ends, self._items, self._at_home, self._context)
            self._loop.call_soon_threadsafe(closing)


pass_by_reference(Stream)


def lend(items: Items, memo: Memo) -> Stream:
    """What arrives in the place of an async generator."""
    call = CURRENT.get()
    owner = memo.get(OWNER) or (None if call is None else call.activation)
    made = memo[id(items)] = Stream(items, owner)
    return made


copied_by(types.AsyncGeneratorType, lend)


# -- running what does not belong to the current call ----------------------------------------------


async def _visited(home: Activation, name: str, context: Context, awaited: Any) -> Any:
    """Run it as code of `home`, called by the current call; also in one that has ended."""
    caller = CURRENT.get()
    visits = home.broken is None
    if visits:
        await enter(home, caller)
    try:
        call = call_from_outside(home, name) if caller is None else Call(home, name, caller)
        context.run(CURRENT.set, call)
        return await finish(begin(call, awaited, context))
    finally:
        if visits:
            leave(home, caller)


@types.coroutine
def _within(context: Context, coroutine: Coroutine[Any, Any, Any]) -> Generator[Any, Any, Any]:
    """Run a coroutine in a context of its own: code of nobody, though an actor waits for it."""
    resume: Callable[[], Any] = partial(coroutine.send, None)
    while True:
        try:
            waiting = context.run(resume)
        except StopIteration as stop:
            return stop.value
        try:
            value = yield waiting
            resume = partial(coroutine.send, value)
        except BaseException as error:
            resume = partial(coroutine.throw, error)


async def _leave_host(caller: Call | None, name: str) -> None:
    """Before an actor asks something of the outside: what it may depend on is durable."""
    if caller is None:
        return
    refuse(caller, f"an item of {name}")
    source = caller.activation
    source.leave()
    await source.node.host.gate.passed(source.dependency, source.remote)


async def _close(items: Any, home: Activation | None, at_home: bool, context: Context) -> None:
    if not at_home:
        await items.aclose()
    elif home is None:
        await _within(context, items.aclose())
    else:
        await _visited(home, "aclose", context, items.aclose())


# -- the ends of either side -----------------------------------------------------------------------


class _Watch:
    """Tells a stream that an actor has ended; keeps it not alive."""

    __slots__ = ("_stream",)

    def __init__(self, stream: weakref.ref[Stream]) -> None:
        self._stream = stream

    def __call__(self, reason: BaseException) -> None:
        stream = self._stream()
        if stream is not None:
            stream._ended()


def _let_go(home: Activation | None, user: Activation | None, watch: _Watch) -> None:
    if home is not None:
        home.lent -= 1
        home.idle_since = None
    for one in (home, user):
        if one is not None and one.broken is None:  # else it is telling them all
            one.on_end.remove(watch)


def _abandon(
    ends: tuple[Activation | None, Activation | None, _Watch],
    items: Items,
    at_home: bool,
    context: Context,
) -> None:
    """The stream is gone, and nobody closed it."""
    _let_go(*ends)
    spawn(_close(items, ends[0], at_home, context))
