"""Cancellation and transactions: what comes from outside a block waits for its end.

A transaction over several actors is kept or undone as a whole, and others wait for its
participants meanwhile. A caller that loses patience must not decide which of the two it is.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from actors.transaction import Transaction


class Shield(asyncio.Future[None]):
    """What a task waits for in a transaction, in place of `waiting`.

    A task cancels what it waits for, and hears of it from there. So this is the place to put
    a cancellation off: the task goes on waiting as if nothing had been.
    """

    def __init__(self, waiting: asyncio.Future[Any], transaction: Transaction) -> None:
        super().__init__(loop=waiting.get_loop())
        self._waiting = waiting
        self._transaction = transaction
        waiting.add_done_callback(self._over)
        self._asyncio_future_blocking = True

    def cancel(self, msg: object = None) -> bool:
        """Put it off; pass it on if the transaction has to end for it."""
        return self._transaction.put_off() or self._waiting.cancel(msg)

    def _over(self, _: asyncio.Future[Any]) -> None:
        if not self.done():
            self.set_result(None)


def shield(waiting: Any, transaction: Transaction) -> Any:
    """What to wait for instead of what a coroutine waits for inside `transaction`."""
    if getattr(waiting, "_asyncio_future_blocking", None) is not True:
        return waiting
    waiting._asyncio_future_blocking = False
    return Shield(waiting, transaction)
