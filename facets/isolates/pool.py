"""Instances made ahead of use: minted, and what a load touches touched.

Much of the time between "here is some code" and its first result goes into copying pages of the
guest's snapshot. That does not depend on the code, so it is done on another thread, in quiet
moments. An instance is given out once and never
comes back: no two owners ever share one.

How many are kept follows demand. The first request that finds none makes the pool keep one, each
further one twice as many; a quiet `SWEEP` forgets them all. A pool that is empty costs nothing,
and who asks it mints an instance then and there.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from typing import Generic, Protocol, TypeVar, final

from facets.isolates import workers
from facets.isolates.errors import IsolateError
from facets.isolates.instance import BOOT, Trapped
from facets.isolates.runner import Fiber


class Poolable(Fiber, Protocol):
    """An instance that can wait for its owner."""

    def limit(self, memory: int, output: int) -> None:
        """Other limits from now on."""


Made = TypeVar("Made", bound=Poolable)
Minted = TypeVar("Minted", bound=Poolable, covariant=True)

MOST = 16
"""Instances a pool keeps at most; each holds about a megabyte."""
SWEEP = 5.0
"""Seconds between two looks at the demand."""
PAUSE = 0.01
"""Seconds without a request before more are made. Making them beside loads that somebody waits
for took longer than it saved: threads share the interpreter's lock and the memory map."""
_OUTPUT = 1 << 16


class Mint(Protocol[Minted]):
    """What makes the instances of a pool. Any thread may call."""

    smallest: int
    """Bytes of memory with which one can be rehearsed."""

    def mint(self, memory: int, output: int) -> Minted:
        """A new instance."""


@final
class Pool(Generic[Made]):
    """Instances of one image. Any thread with a running loop may `take`."""

    def __init__(self, image: Mint[Made], most: int | None = None) -> None:
        self._image = image
        self._most = most
        self._lock = threading.Lock()
        self._ready: deque[Made] = deque()
        self._wanted = 0
        self._taken = 0
        """Since the last sweep."""
        self._making = False
        self._asked = 0.0
        """When the last request came."""
        self._sweeper: asyncio.AbstractEventLoop | None = None
        """Whose timer sweeps; None if nothing is kept."""
        self._waiter: asyncio.AbstractEventLoop | None = None
        """Whose timer waits for a quiet moment, if one does."""

    @property
    def ready(self) -> int:
        """How many could be taken now."""
        return len(self._ready)

    def take(self, memory: int, output: int) -> Made:
        """A fresh instance with these limits, nobody else's before or after."""
        with self._lock:
            self._taken += 1
            found = self._ready.popleft() if self._ready else None
            if found is None:
                self._want_more()
            self._keep_up()
        if found is None:
            return self._image.mint(memory, output)
        found.limit(memory, output)
        return found

    def put(self, made: Made) -> None:
        """Have this one given out next: rehearsed, and given to nobody yet.

        Who makes it found none, so more are kept from now on, as after a `take` in vain.
        """
        with self._lock:
            self._want_more()
            self._ready.append(made)

    def drain(self) -> None:
        """Free what is kept and keep nothing until the next `take`."""
        with self._lock:
            self._wanted = self._taken = 0
            self._trim()

    def _want_more(self) -> None:
        self._wanted = min(self._most or MOST, max(1, 2 * self._wanted))

    def _keep_up(self) -> None:
        """Have the sweep and the making scheduled. With the lock held, on a loop."""
        loop = asyncio.get_running_loop()
        self._asked = time.monotonic()
        if self._sweeper is None or self._sweeper.is_closed():
            self._sweeper = loop
            loop.call_later(SWEEP, self._sweep)
        if self._waiter is None or self._waiter.is_closed():
            self._waiter = loop
            loop.call_later(PAUSE, self._quiet)

    def _quiet(self) -> None:
        """Make more, unless there was a request while this waited."""
        with self._lock:
            rest = self._asked + PAUSE - time.monotonic()
            if rest > 0 and self._waiter is not None:
                self._waiter.call_later(rest, self._quiet)
                return
            self._waiter = None
        self._fill()

    def _fill(self) -> None:
        """Make one more on a thread, and so on until there are enough or somebody asks."""
        with self._lock:
            busy = self._waiter is not None and not self._waiter.is_closed()
            if self._making or busy or len(self._ready) >= self._wanted:
                return
            self._making = True
        if not workers.submit(self._make):
            self._making = False

    def _make(self) -> None:
        made = None
        try:
            made = rehearsed(self._image)
        finally:
            with self._lock:
                self._making = False
                if made is None:
                    self._wanted = 0  # whoever takes next mints one and hears what is wrong
                else:
                    self._ready.append(made)
                    self._trim()
        self._fill()

    def _sweep(self) -> None:
        with self._lock:
            self._wanted, self._taken = min(self._wanted, self._taken), 0
            self._trim()
            if self._wanted and self._sweeper is not None:
                self._sweeper.call_later(SWEEP, self._sweep)
            else:
                self._sweeper = None

    def _trim(self) -> None:
        while len(self._ready) > self._wanted:
            self._ready.pop().close()


def rehearsed(image: Mint[Made]) -> Made:
    """A new instance that has loaded and called something of the guest's own, and forgot it.

    Blocks for some milliseconds; call it on a thread.
    """
    made = image.mint(image.smallest, _OUTPUT)
    try:
        made.begin(BOOT, b"")
        while not made.poll():
            if made.parked is not None:
                raise Trapped("the guest asked the host for something in its rehearsal")
        answer = made.take()
        if answer:
            raise IsolateError(f"the guest failed in its rehearsal: {answer.decode()}"[:500])
    except BaseException:
        made.close()
        raise
    return made
