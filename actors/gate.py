"""The output gate at the edge of the process.

Nothing leaves before every commit it may depend on is durable. Between actors of one host
there is no wait: they share one journal whose order is the order of commits. What leaves
carries one integer, the newest commit it may depend on.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from storage import Store
from storage.errors import JournalFailed

FAIR = 0.002
"""Seconds after which a caller that syncs inline again and again lets the loop turn."""


class Gate:
    """Waits for durability on behalf of callers outside.

    A lone caller has its sync inline, without a future: 30 us less than a hand-over. It is no
    longer alone when another task comes within the same turn of the loop; then the rest of the
    turn collects behind one future and shares one sync.
    """

    def __init__(self, store: Store, on_failure: Callable[[JournalFailed], None]) -> None:
        self._store = store
        self._on_failure = on_failure
        self._crowd: asyncio.Future[None] | None = None
        self._alone: asyncio.Task[object] | None = None
        self._since = 0.0

    async def passed(self, sequence: int) -> None:
        """Return once commit `sequence` is durable; `JournalFailed` if it cannot become so."""
        if sequence <= self._store.durable:
            return
        task = asyncio.current_task()
        if self._alone is None:
            self._alone = task
            self._since = time.perf_counter()
            asyncio.get_running_loop().call_soon(self._turned)
        if self._alone is task and self._crowd is None:
            self.sync()
            if time.perf_counter() - self._since > FAIR:
                await asyncio.sleep(0)
            return
        if self._crowd is None:
            loop = asyncio.get_running_loop()
            self._crowd = loop.create_future()
            loop.call_soon(self._sync_crowd)
        await asyncio.shield(self._crowd)

    def _turned(self) -> None:
        self._alone = None

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
