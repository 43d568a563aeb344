"""Critical sections of one actor."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import wraps
from inspect import isasyncgenfunction
from typing import Any, TypeVar

from actors.call import CURRENT, Call, chain
from actors.errors import ExclusiveReentered, NotActive

F = TypeVar("F", bound=Callable[..., Any])


class Exclusive:
    """One lock for one activation; the holder is a call, not a task.

    The call, because a call chain crosses tasks (gather) and comes back through other
    actors: in both cases waiting for itself would never end.
    """

    __slots__ = ("_holder", "_lock")

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._holder: Call | None = None

    async def __aenter__(self) -> None:
        call = CURRENT.get()
        if call is None:
            raise NotActive("an exclusive section is entered by the actor's own code")
        holder = self._holder
        if holder is not None and any(one is holder for one in call.ancestry()):
            raise ExclusiveReentered(
                f"{holder} already holds the exclusive section that {call} waits for",
                hint=f"the chain is {chain(call)}",
            )
        await self._lock.acquire()
        self._holder = call

    async def __aexit__(self, *_: object) -> None:
        self._holder = None
        self._lock.release()


def exclusive(method: F) -> F:
    """Run the whole method inside `async with self.exclusive():`."""
    if isasyncgenfunction(method):

        @wraps(method)
        async def stream(self: Any, *args: Any, **kwargs: Any) -> Any:
            async with self.exclusive():
                async for item in method(self, *args, **kwargs):
                    yield item

        return stream  # type: ignore[return-value]

    @wraps(method)
    async def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        async with self.exclusive():
            return await method(self, *args, **kwargs)

    return call  # type: ignore[return-value]
