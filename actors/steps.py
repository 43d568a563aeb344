"""Driving a method's coroutine step by step.

The runtime sends into the coroutine itself, so it sees every suspension: what ran up to it
is one step, and its writes are one transaction, committed before control leaves. A step that
raises is rolled back. An awaitable is built only for a coroutine that does suspend.

Each driven coroutine has a context of its own, so nothing that an actor sets in a context
variable leaks to its caller, and `CURRENT` is right in every task made inside.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from contextvars import Context, copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from actors.call import CURRENT, Call
from actors.shield import shield
from storage.errors import StorageError, TransactionAcrossAwait

if TYPE_CHECKING:
    from actors.activation import Activation
    from actors.transaction import Transaction


class Resumable(Protocol):
    """A coroutine, or one `asend` of an async generator."""

    def send(self, value: Any, /) -> Any:
        """Go on with a value."""

    def throw(self, error: BaseException, /) -> Any:
        """Go on with an error."""


class Waiting:
    """The rest of a call that did not finish in its first step: something to await."""

    __slots__ = ("rest",)

    def __init__(self, rest: Awaitable[Any]) -> None:
        self.rest = rest


def begin(call: Call, coroutine: Resumable, context: Context | None = None) -> Any:
    """Run the first step of `coroutine` as the code of `call`: its result, or a `Waiting`.

    In a context that is given, what is current stays so: it may be a part of `call`."""
    if context is None:
        context = copy_context()
        context.run(CURRENT.set, call)
    activation = call.activation
    database = activation.database
    if database.in_step:
        activation.settle()
    outer, activation.driven = activation.driven, True
    # `step`, written out for the case that most calls are: one step and no suspension.
    try:
        waiting = context.run(coroutine.send, None)
        if database.in_step:
            waiting = step(activation, context, coroutine, partial(_already, waiting))
    except StopIteration as stop:
        if database.in_step:
            activation.commit()
        return stop.value
    except StopAsyncIteration:  # of a generator that has come to its end
        if database.in_step:
            activation.commit()
        raise
    except BaseException:
        activation.errors += 1
        if database.in_step:
            database.rollback()
        raise
    finally:
        activation.driven = outer
    return Waiting(_Suspended(call, coroutine, context, waiting))


def _already(waiting: Any) -> Any:
    return waiting


async def drive(call: Call, coroutine: Resumable, context: Context | None = None) -> Any:
    """Run `coroutine` to its end as the code of `call`; its result."""
    return await finish(begin(call, coroutine, context))


async def finish(result: Any) -> Any:
    """The result itself, or what the `Waiting` leads to."""
    return await result.rest if type(result) is Waiting else result


async def drive_task(call: Call, coroutine: Resumable) -> Any:
    """Run a coroutine that became a task inside `call`, in the task's own context."""
    context = copy_context()
    context.run(CURRENT.set, call)
    return await drive(call, coroutine, context)


class _Suspended:
    """The rest of a coroutine after its first suspension."""

    __slots__ = ("_activation", "_call", "_context", "_coroutine", "_waiting", "aborted", "task")

    def __init__(self, call: Call, coroutine: Resumable, context: Context, waiting: Any) -> None:
        self._call = call
        self._activation = call.activation
        self._coroutine = coroutine
        self._context = context
        self._waiting = waiting
        self.task = asyncio.current_task()
        self.aborted = False

    def __await__(self) -> Generator[Any, Any, Any]:
        activation = self._activation
        activation.suspended.add(self)
        try:
            return (yield from self._run())
        except BaseException:
            activation.errors += 1
            if not self.aborted:
                raise
            return self._convert()
        finally:
            activation.suspended.discard(self)

    def _run(self) -> Generator[Any, Any, Any]:
        activation, context, coroutine = self._activation, self._context, self._coroutine
        waiting = self._waiting
        while True:
            resume: Callable[[], Any]
            held = activation.transaction
            if held is not None and held.holds(self.task):
                waiting = shield(waiting, held)
            try:
                value = yield waiting
                resume = partial(coroutine.send, value)
                # Going on is like a call that begins while another ends: both take a turn.
                activation.ended += 1
                begun = activation.begun = activation.begun + 1
                if begun > activation.allowed:
                    yield from activation.mailbox.turn().__await__()
            except BaseException as error:
                resume = partial(coroutine.throw, error)
                if held is not None and _is_for_later(error, held, self.task):
                    resume = partial(coroutine.send, None)
            if activation.transaction is not None or activation.congested:
                resume = yield from self._held(resume)
            try:
                waiting = step(activation, context, coroutine, resume)
            except StopIteration as stop:
                if self.aborted:
                    self._convert()
                return stop.value

    def _held(self, resume: Callable[[], Any]) -> Generator[Any, Any, Callable[[], Any]]:
        """Wait until the next step may run; an error meanwhile is what it begins with."""
        activation, call = self._activation, self._call
        asked = False
        while activation.broken is None:
            held = activation.transaction
            if held is not None and held is not call.transaction:
                if held.is_below(call, self.task):
                    break
                wait = held.over()
            elif held is None and activation.congested and not asked:
                asked = True  # once: the gate knows whether waiting would help
                wait = activation.node.host.gate.room()
            else:
                break
            try:
                yield from wait.__await__()
            except (Exception, asyncio.CancelledError) as error:
                # A cancellation, or that there will be no room: the coroutine must hear of it.
                resume = partial(self._coroutine.throw, error)
        return resume

    def abort(self) -> None:
        """Interrupt the coroutine where it waits; its caller gets the activation's reason.

        Not if it waits for the very task that aborts it: that task is needed to unwind it,
        and the caller's side raises the reason as soon as control is back.
        """
        if self.task is None or self.task is asyncio.current_task():
            return
        self.aborted = True
        self.task.cancel()

    def _convert(self) -> Any:
        """Raise the reason in place of the cancellation that carried it here."""
        reason = self._activation.broken
        if reason is None or self.task is None or self.task.uncancel() > 0:
            raise asyncio.CancelledError
        raise reason


def _is_for_later(error: BaseException, held: Transaction, task: asyncio.Task[Any] | None) -> bool:
    """A cancellation that came while the task waited for nothing but its turn."""
    return isinstance(error, asyncio.CancelledError) and held.holds(task) and held.put_off()


def step(
    activation: Activation, context: Context, coroutine: Resumable, resume: Callable[[], Any]
) -> Any:
    """Run to the next suspension as one step of `activation`; what it waits for.

    Raises StopIteration with the result when the coroutine returned, whatever it raised
    when it failed. A commit that fails at a suspension is raised inside the coroutine,
    where the step's own code can see it.
    """
    database = activation.database
    if database.in_step:
        activation.settle()
    outer, activation.driven = activation.driven, True
    try:
        while True:
            waiting = context.run(resume)
            if not database.in_step:
                return waiting
            try:
                if database.transaction_depth:
                    raise TransactionAcrossAwait("a `with transaction():` block met an await")
                activation.commit()
                return waiting
            except StorageError as error:
                _give_up(waiting)
                resume = partial(coroutine.throw, error)
    except (StopIteration, StopAsyncIteration):
        if database.in_step:
            activation.commit()
        raise
    except BaseException:
        if database.in_step:
            database.rollback()
        raise
    finally:
        activation.driven = outer


def _give_up(waiting: Any) -> None:
    """Nobody will await this future after all: take back the mark that says so."""
    if getattr(waiting, "_asyncio_future_blocking", None):
        waiting._asyncio_future_blocking = False
