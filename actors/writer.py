"""The thread that writes batches while the loop goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from storage.journal import Batch


class Writer:
    """Writes one batch after the other; its thread exists from the first one on."""

    def __init__(self, write: Callable[[Batch], None]) -> None:
        self._write = write
        self._queue: SimpleQueue[tuple[Batch, Callable[[], None]] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def submit(self, batch: Batch, written: Callable[[], None]) -> None:
        """Write it on the thread, then call `written` there. Failures are the batch's own."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="facets-journal", daemon=True)
            self._thread.start()
        self._queue.put((batch, written))

    def _run(self) -> None:
        while (one := self._queue.get()) is not None:
            batch, written = one
            with suppress(BaseException):  # whatever it was, `settle` of the batch raises it
                self._write(batch)
            written()

    def close(self) -> None:
        """End the thread after what was submitted."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
            self._thread = None
