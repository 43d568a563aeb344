"""Stubs: how everything outside an actor speaks to it."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Generator
from inspect import isasyncgenfunction
from typing import Any

from actors.activation import Activation
from actors.call import CURRENT, Call
from actors.contract import parameters
from actors.errors import EffectInTransaction, NotCopyable
from actors.mailbox import MAILBOX, full
from actors.node import Node
from actors.origin import call_from_outside
from actors.steps import Waiting
from actors.streams import Stream, lend
from actors.values import ATOMS, Memo, Stuck, copied_by, copy_arguments, named, pass_by_reference


class Stub:
    """A reference to one actor. Lazy: it costs nothing and starts nothing until it is called.

    `await stub.method(...)` calls; `async for item in stub.method(...)` streams. Arguments
    and results are copied. A stub of a facet belongs to one incarnation: when that one is
    aborted, deleted or broken, the stub raises the reason, and `facets.get` gives the next.
    An actor that merely sleeps wakes on the call. Stubs may be passed as values.
    """

    __slots__ = ("__dict__", "_incarnation", "_node")
    _refers = True
    """Two that look the same refer to the same, in every process."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._incarnation = node.incarnation

    def __getattr__(self, name: str) -> Method:
        if name.startswith("__"):
            raise AttributeError(f"a stub has no {name}; call its public async methods")
        # Kept, so that the next call finds it as a plain attribute.
        method = self.__dict__[name] = Method(self._node, self._incarnation, name)
        return method

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Stub):
            return self._node is other._node and self._incarnation == other._incarnation
        return NotImplemented

    def __hash__(self) -> int:
        return hash((id(self._node), self._incarnation))

    def __repr__(self) -> str:
        return f"<stub of {self._node.id}>"

    def __reduce__(self) -> Any:
        raise TypeError("a stub is a reference into its runtime; it cannot be stored or sent away")


pass_by_reference(Stub)


class Method:
    """One method of a stub, ready to be called. May be passed as a value, like the stub."""

    __slots__ = ("_incarnation", "_name", "_node")
    _refers = True

    def __init__(self, node: Node, incarnation: int, name: str) -> None:
        self._node = node
        self._incarnation = incarnation
        self._name = name

    def __call__(self, *args: Any, **kwargs: Any) -> Reply:
        """Make the call; it runs when it is awaited or iterated."""
        if not kwargs:
            for value in args:
                if type(value) not in ATOMS:
                    break
            else:
                return Reply(self, args, kwargs)
        try:
            args, kwargs = copy_arguments(args, kwargs)
        except NotCopyable as error:
            raise named(error, parameters(self._node.cls, self._name)) from error.__cause__
        return Reply(self, args, kwargs)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Method):
            return self._target == other._target
        return NotImplemented

    def __hash__(self) -> int:
        return hash(self._target)

    @property
    def _target(self) -> tuple[int, int, str]:
        return id(self._node), self._incarnation, self._name

    def __repr__(self) -> str:
        return f"<method {self._name} of {self._node.id}>"

    @property
    def streams(self) -> bool:
        """Whether it may be iterated, as far as is known without waking the actor."""
        node = self._node
        if node.activation is not None:
            return node.activation.body.contract.methods.get(self._name) == "stream"
        return node.cls is None or isasyncgenfunction(getattr(node.cls, self._name, None))

    def __reduce__(self) -> Any:
        raise TypeError("a method of a stub is a reference; it cannot be stored or sent away")


pass_by_reference(Method)


class Reply(Coroutine[Any, Any, Any]):
    """What a call returns before it runs: await it, make a task of it, or iterate it.

    Both, because a lazy facet's class, and with it the kind of its methods, may not be known
    before it starts.
    """

    __slots__ = ("_args", "_kwargs", "_method", "_running")

    def __init__(self, method: Method, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._method: Method | None = method
        self._args = args
        self._kwargs = kwargs
        self._running: Generator[Any, Any, Any] | None = None

    def _begin(self) -> Method:
        """The method to call; nobody can ask twice."""
        method, self._method = self._method, None
        if method is None:
            raise _awaited_already()
        return method

    def __await__(self) -> Generator[Any, Any, Any]:
        # A generator, so that a call costs no coroutine besides the method's own.
        # `_begin` is written out here, and `copy_arguments` in `Method.__call__`: each call into
        # Python that a call of a facet makes is 3% of what it costs.
        method, self._method = self._method, None
        if method is None:
            raise _awaited_already()
        caller = CURRENT.get()
        if caller is None:
            from_outside = _from_outside(method, self._args, self._kwargs)
            return (yield from from_outside.__await__())
        source = caller.activation
        if source.broken is not None or source.database.in_step:
            source.leave()
        node, name = method._node, method._name
        target = node.activation
        if target is None or method._incarnation != node.incarnation:
            target = yield from _woken(method).__await__()
        if name not in target.plain:
            target.body.contract.check(name, "call")
        call = Call(target, name, caller)
        if target.transaction is not None or call.terms is not None:
            yield from target.admit(call).__await__()
        if source.dependency > target.dependency:
            target.dependency = source.dependency
        if source.remote > target.remote:
            target.remote = source.remote
        begun = target.begun = target.begun + 1
        try:
            if begun > target.allowed:
                yield from target.mailbox.enter().__await__()
            result = target.body.call(call, self._args, self._kwargs)
            if type(result) is Waiting:
                return (yield from result.rest.__await__())
            return result
        except asyncio.CancelledError:
            if call.deadline is not None:
                call.deadline.note(call)
            raise
        finally:
            target.ended += 1
            if target.dependency > source.dependency:
                source.dependency = target.dependency
            if target.remote > source.remote:
                source.remote = target.remote
            if source.broken is not None:
                raise source.reason()

    def __aiter__(self) -> AsyncIterator[Any]:
        return stream(self._begin(), self._args, self._kwargs)

    def send(self, value: Any) -> Any:
        """Part of the coroutine protocol, for tasks."""
        if self._running is None:
            self._running = self.__await__()
        return self._running.send(value)

    def throw(self, *error: Any) -> Any:
        """Part of the coroutine protocol, for tasks."""
        if self._running is None:
            self._running = self.__await__()
        return self._running.throw(*error)

    def close(self) -> None:
        """Part of the coroutine protocol: give the call up."""
        self._method = None
        if self._running is not None:
            self._running.close()

    def __del__(self) -> None:
        if self._method is not None:
            warnings.warn(f"{self._method!r} was called and never awaited", RuntimeWarning, 2)


def _lend_reply(reply: Reply, memo: Memo) -> Stream:
    """The items of a streaming method, passed on before anybody iterated it."""
    method = reply._method
    if method is None or not method.streams:
        raise Stuck("", f"{reply._method!r} was called and not awaited", "pass what it returns")
    return lend(stream(reply._begin(), reply._args, reply._kwargs), memo)


copied_by(Reply, _lend_reply)


def _awaited_already() -> RuntimeError:
    """Why a call is not made again."""
    return RuntimeError("this call was awaited already; make it again")


async def _from_outside(method: Method, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The call of a script, a test, a notebook cell: its answer passes the gate."""
    host, name = method._node.host, method._name
    host.check_open()
    if host.store.congested:
        await host.gate.room()
    target = await _woken(method)
    target.body.contract.check(name, "call")
    call = call_from_outside(target, name)
    if target.transaction is not None or call.terms is not None:
        await target.admit(call)
    target.begun += 1
    try:
        if target.begun > target.allowed:
            await target.mailbox.enter()
        result = target.body.call(call, args, kwargs)
        if type(result) is Waiting:
            result = await result.rest
    except Exception:
        await host.gate.passed(target.dependency, target.remote)
        raise
    except asyncio.CancelledError:
        if call.deadline is not None:
            call.deadline.note(call)
        raise
    finally:
        target.ended += 1
    await host.gate.passed(target.dependency, target.remote)
    return result


async def stream(
    method: Method, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> AsyncGenerator[Any, None]:
    """Iterate a streaming method; each item passes the gate like a reply."""
    caller = CURRENT.get()
    source = caller.activation if caller is not None else None
    host, name = method._node.host, method._name
    if source is None:
        host.check_open()
    else:
        source.leave()
    target = await _woken(method)
    target.body.contract.check(name, "stream")
    call = call_from_outside(target, name) if caller is None else Call(target, name, caller)
    await target.admit(call)
    if source is not None:
        target.learn(source.dependency, source.remote)
    target.begun += 1
    try:
        if target.begun > target.allowed:
            await target.mailbox.enter()
        items = target.body.stream(call, args, kwargs)
        try:
            while True:
                item = await _pull(items, source, target)
                if item is _END:
                    return
                yield item
        finally:
            await items.aclose()
    except asyncio.CancelledError:
        if call.deadline is not None:
            call.deadline.note(call)
        raise
    finally:
        target.ended += 1


_END = object()


async def _pull(
    items: AsyncGenerator[Any, None], source: Activation | None, target: Activation
) -> Any:
    if source is not None:
        source.leave()
    if target.broken is not None:
        raise target.reason()
    gate = target.node.host.gate
    try:
        item = await anext(items, _END)
        if source is None:
            if target.transaction is not None and item is not _END:
                raise EffectInTransaction(
                    f"{target.id} yields an item to the outside from within a transaction",
                    hint="collect items inside, and yield them after the block",
                )
            await gate.passed(target.dependency, target.remote)
        else:
            source.learn(target.dependency, target.remote)
        return item
    except Exception:
        if source is None:
            await gate.passed(target.dependency, target.remote)
        raise


async def _woken(method: Method) -> Activation:
    """The running incarnation that the stub meant; the reason, if it ended."""
    node = method._node
    if method._incarnation != node.incarnation and node.parent is not None:
        raise node.ended or asyncio.InvalidStateError(f"{node.id} has ended")
    if node.activation is not None:
        if not node.waiting:
            return node.activation
    elif node.waiting >= MAILBOX:
        raise full(node.id, node.waiting, MAILBOX)
    turn = node.admitted + node.waiting
    node.waiting += 1
    try:
        activation = await node.wake()
        while node.admitted < turn:  # those who came before it was awake are about to go on
            await asyncio.sleep(0)
        if activation.broken is not None:
            raise activation.reason()
        return activation
    finally:
        node.waiting -= 1
        node.admitted += 1
