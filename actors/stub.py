"""Stubs: how everything outside an actor speaks to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Generator
from typing import Any

from actors.activation import Activation
from actors.call import CURRENT, Call
from actors.errors import EffectInTransaction
from actors.node import Node
from actors.steps import Waiting
from actors.values import copy_arguments, pass_by_reference


class Stub:
    """A reference to one actor. Lazy: it costs nothing and starts nothing until it is called.

    `await stub.method(...)` calls; `async for item in stub.method(...)` streams. Arguments
    and results are copied. A stub of a facet belongs to one incarnation: when that one is
    aborted, deleted or broken, the stub raises the reason, and `facets.get` gives the next.
    An actor that merely sleeps wakes on the call. Stubs may be passed as values.
    """

    __slots__ = ("_incarnation", "_node")

    def __init__(self, node: Node) -> None:
        self._node = node
        self._incarnation = node.incarnation

    def __getattr__(self, name: str) -> Method:
        if name.startswith("__"):
            raise AttributeError(f"a stub has no {name}; call its public async methods")
        return Method(self, name)

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
    """One method of a stub, ready to be called."""

    __slots__ = ("_name", "_stub")

    def __init__(self, stub: Stub, name: str) -> None:
        self._stub = stub
        self._name = name

    def __call__(self, *args: Any, **kwargs: Any) -> Reply:
        """Make the call; it runs when it is awaited or iterated."""
        args, kwargs = copy_arguments(args, kwargs)
        return Reply(self._stub, self._name, args, kwargs)

    def __repr__(self) -> str:
        return f"<method {self._name} of {self._stub!r}>"


class Reply(Coroutine[Any, Any, Any]):
    """What a call returns before it runs: await it, make a task of it, or iterate it.

    Both, because a lazy facet's class, and with it the kind of its methods, may not be known
    before it starts.
    """

    __slots__ = ("_coroutine", "_made")

    def __init__(
        self, stub: Stub, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        self._made = (stub, method, args, kwargs)
        self._coroutine = invoke(stub, method, args, kwargs)

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._coroutine.__await__()

    def __aiter__(self) -> AsyncIterator[Any]:
        self._coroutine.close()
        return stream(*self._made)

    def send(self, value: Any) -> Any:
        """Part of the coroutine protocol, for tasks."""
        return self._coroutine.send(value)

    def throw(self, *error: Any) -> Any:
        """Part of the coroutine protocol, for tasks."""
        return self._coroutine.throw(*error)

    def close(self) -> None:
        """Part of the coroutine protocol: give the call up."""
        self._coroutine.close()


async def invoke(stub: Stub, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call a method: from another actor of this host, or from outside through the gate."""
    caller = CURRENT.get()
    if caller is None:
        return await _from_outside(stub, method, args, kwargs)
    source = caller.activation
    if source.broken is not None or source.database.in_step:
        source.leave()
    node = stub._node
    target = node.activation
    if target is None or stub._incarnation != node.incarnation:
        target = await _woken(stub)
    if target.methods.get(method) != "call":
        target.body.contract.check(method, "call")
    if target.transaction is not None or caller.transaction is not None:
        await target.admit(caller)
    if source.dependency > target.dependency:
        target.dependency = source.dependency
    target.calls += 1
    try:
        result = target.body.call(Call(target, method, caller), args, kwargs)
        return await result.rest if type(result) is Waiting else result
    finally:
        target.calls -= 1
        target.idle_since = None
        if target.dependency > source.dependency:
            source.dependency = target.dependency
        if source.broken is not None:
            raise source.reason()


async def _from_outside(
    stub: Stub, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    host = stub._node.host
    host.check_open()
    if host.store.congested:
        await host.gate.room()
    target = await _woken(stub)
    target.body.contract.check(method, "call")
    if target.transaction is not None:
        await target.admit(None)
    target.calls += 1
    try:
        result = target.body.call(Call(target, method, None), args, kwargs)
        if type(result) is Waiting:
            result = await result.rest
    except Exception:
        await host.gate.passed(target.dependency)
        raise
    finally:
        target.calls -= 1
        target.idle_since = None
    await host.gate.passed(target.dependency)
    return result


async def stream(
    stub: Stub, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> AsyncGenerator[Any, None]:
    """Iterate a streaming method; each item passes the gate like a reply."""
    caller = CURRENT.get()
    source = caller.activation if caller is not None else None
    host = stub._node.host
    if source is None:
        host.check_open()
    else:
        source.leave()
    target = await _woken(stub)
    target.body.contract.check(method, "stream")
    await target.admit(caller)
    if source is not None:
        target.learn(source.dependency)
    target.calls += 1
    items = target.body.stream(Call(target, method, caller), args, kwargs)
    try:
        while True:
            item = await _pull(items, source, target)
            if item is _END:
                return
            yield item
    finally:
        await items.aclose()
        target.calls -= 1
        target.idle_since = None


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
            await gate.passed(target.dependency)
        else:
            source.learn(target.dependency)
        return item
    except Exception:
        if source is None:
            await gate.passed(target.dependency)
        raise


async def _woken(stub: Stub) -> Activation:
    """The running incarnation that the stub means; the reason, if it ended."""
    node = stub._node
    if stub._incarnation != node.incarnation and node.parent is not None:
        raise node.ended or asyncio.InvalidStateError(f"{node.id} has ended")
    return node.activation or await node.wake()
