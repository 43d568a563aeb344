"""Telling an actor's own code of something that nobody called it for."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from actors.steps import finish

if TYPE_CHECKING:
    from actors.activation import Activation


def tell(activation: Activation, hook: str, *args: Any) -> asyncio.Task[Any] | None:
    """Run a hook of a running actor soon, as a call of its own; None if its code has none.

    It waits for a transaction that holds the actor. What it raises concerns nobody who waits, so
    it goes to the exception handler of the loop; the actor goes on.
    """
    if hook not in activation.body.contract.hooks:
        return None
    return activation.node.host.background(_run(activation, hook, args))


async def _run(activation: Activation, hook: str, args: tuple[Any, ...]) -> None:
    activation.begun += 1  # so that it is not put to sleep meanwhile
    try:
        while activation.transaction is not None:
            await activation.transaction.over()
        if activation.broken is None:
            await finish(activation.body.call(activation.new_call(hook), args, {}))
    except Exception as error:
        report(activation, hook, error)
    finally:
        activation.ended += 1


def report(activation: Activation, hook: str, error: BaseException) -> None:
    """A hook failed: tell whoever watches the loop."""
    message = f"{hook} of {activation.id} failed"
    activation.node.host.loop.call_exception_handler({"message": message, "exception": error})
