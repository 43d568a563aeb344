"""The asyncio loop of an isolate: it runs what is ready and returns; the host is its selector."""

import asyncio
import heapq

MOST = 500


class Loop(asyncio.BaseEventLoop):
    """Runs ready callbacks until none is left.

    `step` numbers the uninterrupted runs between suspensions: one callback is one step.
    `after_step` is called behind each, where a suspended transaction is found.
    """

    def __init__(self, after_step):
        super().__init__()
        self.now = 0.0
        self.step = 0
        self.after_step = after_step

    def __del__(self):
        """Holds nothing that must be closed, and so does not complain that it was not."""

    def is_running(self):
        """True, or no task could start eagerly."""
        return True

    def time(self):
        """The host's clock, as of the start of this pump."""
        return self.now

    def spin(self):
        """Run what is due and what becomes ready by it.

        After `MOST` callbacks the host has its turn: a task that only awaits `sleep(0)` must not
        keep a cancellation out.
        """
        ready, scheduled = self._ready, self._scheduled
        while scheduled and (scheduled[0]._cancelled or scheduled[0]._when <= self.now):
            handle = heapq.heappop(scheduled)
            handle._scheduled = False
            if not handle._cancelled:
                ready.append(handle)
        for _ in range(MOST):
            if not ready:
                return
            handle = ready.popleft()
            if not handle._cancelled:
                self.step += 1
                handle._run()
                self.after_step()

    def next_due(self):
        """When the earliest timer is due, or None."""
        scheduled = self._scheduled
        while scheduled and scheduled[0]._cancelled:
            heapq.heappop(scheduled)._scheduled = False
        return scheduled[0]._when if scheduled else None

    def run_in_executor(self, executor, func, *args):
        """Refused: there are no threads here."""
        raise RuntimeError("an isolate has no threads; call the function directly")

    def call_soon_threadsafe(self, callback, *args, context=None):
        """The same as `call_soon`."""
        return self.call_soon(callback, *args, context=context)

    def _process_events(self, event_list):
        pass

    def _write_to_self(self):
        pass

    def _timer_handle_cancelled(self, handle):
        pass
