"""Code of one actor that runs for another: what calls do besides calling.

The same as for a call by stub: the caller's step ends first, a transaction is joined or waited
for, what either side's state depends on becomes known to the other, and the one that is visited
does not fall asleep.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import TYPE_CHECKING, Any

from actors.call import CURRENT, Call

if TYPE_CHECKING:
    from actors.activation import Activation

_END = object()


async def visit(target: Activation | None, run: Callable[[], Awaitable[Any]]) -> Any:
    """What `run` returns, run for the current call in `target` (None: nowhere in particular)."""
    if target is None:
        return await run()
    caller = CURRENT.get()
    await enter(target, caller)
    try:
        return await run()
    finally:
        leave(target, caller)
        if caller is None:
            await target.node.host.gate.passed(target.dependency, target.remote)


async def visit_stream(
    target: Activation | None, run: Callable[[], AsyncGenerator[Any, None]]
) -> AsyncGenerator[Any, None]:
    """The same for a stream; each item is a reply."""
    caller = CURRENT.get()
    if target is not None:
        await enter(target, caller)
    items = run()
    try:
        while (item := await anext(items, _END)) is not _END:
            if target is not None:
                await _told(target, caller)
            yield item
            if target is not None and target.transaction is not None:
                await target.admit(CURRENT.get())
    finally:
        await items.aclose()
        if target is not None:
            leave(target, caller)


async def enter(target: Activation, caller: Call | None) -> None:
    """Before a call: raises if `target` has ended."""
    source = None if caller is None else caller.activation
    if source is not None and source is not target:
        source.leave()
    if target.broken is not None:
        raise target.reason()
    if target.transaction is not None or (caller is not None and caller.terms is not None):
        await target.admit(caller)
    if source is not None:
        target.learn(source.dependency, source.remote)
    target.begun += 1


def leave(target: Activation, caller: Call | None) -> None:
    """After it, however it went."""
    target.ended += 1
    if caller is not None:
        caller.activation.learn(target.dependency, target.remote)


async def _told(target: Activation, caller: Call | None) -> None:
    if caller is None:
        await target.node.host.gate.passed(target.dependency, target.remote)
    else:
        caller.activation.learn(target.dependency, target.remote)
