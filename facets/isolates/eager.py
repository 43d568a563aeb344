"""Tasks that run to their first suspension at once, so that what needs no wait costs no turn.

Python 3.12 has them. Before, the first step is run here by hand as the code of the task that
will run the others: it must see that task as the current one, or a timeout or a cancellation
would hit whoever happens to be on the stack.
"""

from __future__ import annotations

import asyncio
import sys
from asyncio import tasks
from collections.abc import Coroutine
from contextvars import Context
from typing import Any


def start(coroutine: Coroutine[Any, Any, None], loop: asyncio.AbstractEventLoop) -> Task:
    """A task of `coroutine` that has begun; it inherits no context. The loop must be running."""
    context = Context()
    if sys.version_info >= (3, 12):
        return asyncio.Task(coroutine, loop=loop, eager_start=True, context=context)
    begun = _Begun(coroutine)
    task: Task = asyncio.Task(begun, loop=loop, context=context)
    outer = asyncio.current_task(loop)
    if outer is not None:
        tasks._leave_task(loop, outer)
    tasks._enter_task(loop, task)
    try:
        context.run(begun.begin)
    finally:
        tasks._leave_task(loop, task)
        if outer is not None:
            tasks._enter_task(loop, outer)
    return task


class _Begun(Coroutine[Any, Any, None]):
    """A coroutine after its first step; the task's own first step finds what that led to."""

    __slots__ = ("_blocking", "_coroutine", "_error", "_first")

    def __init__(self, coroutine: Coroutine[Any, Any, None]) -> None:
        self._coroutine = coroutine
        self._first: list[Any] = []
        self._blocking = False
        """Whether the task must find a future that is being awaited."""
        self._error: BaseException | None = None

    def begin(self) -> None:
        try:
            waited = self._coroutine.send(None)
            self._first.append(waited)
            self._blocking = getattr(waited, "_asyncio_future_blocking", False)
            if self._blocking:
                # Only from here to the task: others may await the same future meanwhile.
                waited._asyncio_future_blocking = False
        except BaseException as error:  # the task's to report, StopIteration too
            self._error = error

    def send(self, value: Any) -> Any:
        """Part of the coroutine protocol."""
        if self._error is not None:
            raise self._error
        if not self._first:
            return self._coroutine.send(value)
        waited = self._first.pop()
        if self._blocking:
            waited._asyncio_future_blocking = True
        return waited

    def throw(self, *error: Any) -> Any:
        """Part of the coroutine protocol."""
        if self._error is not None:
            raise self._error
        self._first.clear()
        return self._coroutine.throw(*error)

    def close(self) -> None:
        """Part of the coroutine protocol."""
        self._coroutine.close()

    def __await__(self) -> Any:
        raise NotImplementedError


Task = asyncio.Task[None]
