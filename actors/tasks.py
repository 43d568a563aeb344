"""Tasks made inside actors are driven like the method that made them.

asyncio.gather, TaskGroup, create_task and anyio all ask the loop's task factory. Ours acts
only where a call is current and passes everything to the factory that was there before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context
from typing import Any

from actors.call import CURRENT, Call
from actors.clock import Clock, SystemClock
from actors.steps import drive_task

_Factory = Callable[..., "asyncio.Future[Any]"]


class Driven(Coroutine[Any, Any, Any]):
    """The coroutine of a task made inside a call, driven once the task begins.

    A task that is cancelled earlier throws into a coroutine that has not begun. One of our own
    would end there and leave the other behind, never awaited.
    """

    __slots__ = ("_call", "_coroutine", "_running")

    def __init__(self, call: Call, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._call = call
        self._coroutine = coroutine
        self._running: Coroutine[Any, Any, Any] | None = None

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._begun().__await__()

    def _begun(self) -> Coroutine[Any, Any, Any]:
        if self._running is None:
            self._running = drive_task(self._call, self._coroutine)
        return self._running

    def send(self, value: Any) -> Any:
        """Part of the coroutine protocol."""
        return self._begun().send(value)

    def throw(self, *error: Any) -> Any:
        """Part of the coroutine protocol."""
        if self._running is None:
            self._coroutine.close()
        return self._begun().throw(*error)

    def close(self) -> None:
        """Part of the coroutine protocol."""
        (self._coroutine if self._running is None else self._running).close()


class TaskFactory:
    """The chained factory of one loop; installed once, taken out when the last host closes."""

    def __init__(self, before: _Factory | None, clock: Clock) -> None:
        self.before = before
        self.users = 0
        self.clock = clock
        """That of the newest host here."""

    def __call__(
        self, loop: asyncio.AbstractEventLoop, coroutine: Any, **kwargs: Any
    ) -> asyncio.Future[Any]:
        """A task, driven if an actor makes it."""
        call = CURRENT.get()
        if call is not None and asyncio.iscoroutine(coroutine):
            coroutine = Driven(call, coroutine)
        if self.before is not None:
            return self.before(loop, coroutine, **kwargs)
        return asyncio.Task(coroutine, loop=loop, **kwargs)


def install(loop: asyncio.AbstractEventLoop, clock: Clock) -> None:
    """Drive the tasks that actors make on `loop`."""
    factory: Any = loop.get_task_factory()
    if not isinstance(factory, TaskFactory):
        factory = TaskFactory(factory, clock)
        loop.set_task_factory(factory)
    factory.clock = clock
    factory.users += 1


def clock_of(loop: asyncio.AbstractEventLoop) -> Clock:
    """The clock that the runtime on `loop` lives by; the machine's if there is none."""
    factory = loop.get_task_factory()
    return factory.clock if isinstance(factory, TaskFactory) else SystemClock()


def uninstall(loop: asyncio.AbstractEventLoop) -> None:
    """Undo one `install`."""
    factory: Any = loop.get_task_factory()
    if isinstance(factory, TaskFactory):
        factory.users -= 1
        if not factory.users:
            loop.set_task_factory(factory.before)


def spawn(coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    """A task of the runtime's own: it inherits no call, so it is not driven."""
    return Context().run(asyncio.get_running_loop().create_task, coroutine)
