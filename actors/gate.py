"""The output gate at the edge of the process.

Nothing leaves before every commit it may depend on is durable. Between actors of one host
there is no wait: they share one journal whose order is the order of commits. What leaves
carries one integer, the newest commit it may depend on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from storage import Store
from storage.errors import JournalFailed


class Gate:
    """Waits for durability on behalf of callers outside.

    A lone caller has its sync inline, without a future: 30 us less than a hand-over. A crowd
    collects the rest of the loop's turn and shares one sync.
    """

    def __init__(self, store: Store, on_failure: Callable[[JournalFailed], None]) -> None:
        self._store = store
        self._on_failure = on_failure
        self._crowd: asyncio.Future[None] | None = None
        self.callers = 0
        """Calls from outside that are in progress."""

    async def passed(self, sequence: int) -> None:
        """Return once commit `sequence` is durable; `JournalFailed` if it cannot become so."""
        if sequence <= self._store.durable:
            return
        if self.callers <= 1:
            self.sync()
            return
        if self._crowd is None:
            loop = asyncio.get_running_loop()
            self._crowd = loop.create_future()
            loop.call_soon(self._sync_crowd)
        await asyncio.shield(self._crowd)

    def sync(self) -> None:
        """Make every commit durable now, on this thread."""
        try:
            self._store.sync()
        except JournalFailed as failure:
            self._on_failure(failure)
            raise

    def _sync_crowd(self) -> None:
        crowd, self._crowd = self._crowd, None
        assert crowd is not None  # noqa: S101 - scheduled only together with it
        try:
            self.sync()
        except JournalFailed as failure:
            crowd.set_exception(failure)
            crowd.exception()  # retrieved here: every waiter may have been cancelled
        else:
            crowd.set_result(None)
