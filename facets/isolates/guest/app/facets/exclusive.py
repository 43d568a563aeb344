"""Sections of an actor that calls enter one at a time."""

import asyncio
import contextvars
import functools
import inspect

from facets.errors import ExclusiveReentered

_holding = contextvars.ContextVar("holding", default=None)


class Exclusive:
    """`async with self.exclusive():`; entering again from within the same call chain raises."""

    __slots__ = ("_lock", "_owner")

    def __init__(self):
        self._lock = asyncio.Lock()
        self._owner = None

    async def __aenter__(self):
        if self._owner is not None and _holding.get() is self._owner:
            raise ExclusiveReentered("this call already holds the actor's exclusive section")
        await self._lock.acquire()
        self._owner = object()
        _holding.set(self._owner)

    async def __aexit__(self, *_):
        self._owner = None
        _holding.set(None)
        self._lock.release()


def exclusive(method):
    """Decorate an RPC method so that its calls, and all exclusive sections, run one at a time."""
    if inspect.isasyncgenfunction(method):

        @functools.wraps(method)
        async def wrapper(self, *args, **kwargs):
            async with self.exclusive():
                async for item in method(self, *args, **kwargs):
                    yield item

    else:

        @functools.wraps(method)
        async def wrapper(self, *args, **kwargs):
            async with self.exclusive():
                return await method(self, *args, **kwargs)

    wrapper.__facets_exclusive__ = True
    return wrapper
