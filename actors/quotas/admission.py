"""What a call uses: one of so many in progress, and one of so many in a second."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from actors.contract import HOOKS
from actors.steps import Waiting

if TYPE_CHECKING:
    from actors.call import Call
    from actors.code import Body
    from actors.node import Node
    from actors.quotas.allowance import Allowance
    from actors.timers import TimerCall


class Admitting:
    """A body whose calls are counted, in place of the body itself.

    So that an actor for which no quota holds pays nothing, not even a look at a flag. What the
    runtime itself calls, the hooks, is not counted.
    """

    def __init__(self, body: Body, node: Node) -> None:
        self._body = body
        self._node = node
        self.contract = body.contract
        self.own_steps = body.own_steps

    def __getattr__(self, name: str) -> Any:
        return getattr(self._body, name)

    def call(self, call: Call, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Begin the call if it is admitted."""
        if call.method in HOOKS:
            return self._body.call(call, args, kwargs)
        return self._counted(partial(self._body.call, call, args, kwargs))

    def deliver(
        self,
        call: TimerCall,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        done: Callable[[], None],
    ) -> Any:
        """Deliver a timer if that is admitted; else it is tried again like one that raised."""
        return self._counted(partial(self._body.deliver, call, args, kwargs, done))

    def _counted(self, begin: Callable[[], Any]) -> Any:
        entered = self._enter()
        try:
            result = begin()
        except BaseException:
            _leave(entered)
            raise
        if type(result) is Waiting:
            return Waiting(_until_over(result.rest, entered))
        _leave(entered)
        return result

    async def stream(
        self, call: Call, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> AsyncGenerator[Any, None]:
        """The items, if the call is admitted; it is in progress until the stream is closed."""
        entered = self._enter()
        try:
            items = self._body.stream(call, args, kwargs)
            try:
                async for item in items:
                    yield item
            finally:
                await items.aclose()
        finally:
            _leave(entered)

    def _enter(self) -> tuple[Allowance, ...]:
        """Count it in all allowances, or in none."""
        entered = self._node.allowances
        for one in entered:
            one.admit(computes=self.own_steps)
        for one in entered:
            one.enter()
        return entered


async def _until_over(rest: Awaitable[Any], entered: tuple[Allowance, ...]) -> Any:
    try:
        return await rest
    finally:
        _leave(entered)


def _leave(entered: tuple[Allowance, ...]) -> None:
    for one in entered:
        one.calls -= 1
