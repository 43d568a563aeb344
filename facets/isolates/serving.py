"""A guest's calls to what it was handed: heard, begun, answered.

Everything an isolate does outside itself passes `Services.use` and `Services.iterate`; nothing
else runs on its behalf. A call that is followed at once by `more` is a stream: the guest says so,
as it may not know what an actor that sleeps would answer. Calls begin when the whole outbox was
heard and in its order; what does not wait is answered without a turn of the loop.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextvars import Context
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakKeyDictionary

from facets.isolates import eager
from facets.isolates.codec import SAFE, Blob, lower
from facets.isolates.errors import CallLimit, NotTransferable, OutputLimit
from facets.isolates.grants import Grant, Grants
from facets.isolates.steps import describe

if TYPE_CHECKING:
    from facets.capabilities.capability import Capability
    from facets.isolates.services import Services

PENDING = 1_000
"""Calls that may be under way at a time; an honest guest holds more of them back."""
NESTED = 8
"""Calls that may begin one inside the other, when what is called calls an isolate again. Deeper
ones begin in a later turn of the loop: the host's stack is not a guest's to exhaust."""
TURN = 64
"""Items that a stream which never waits may give before others have a turn."""
HELD = 4
"""The arguments of all of them may take this many times `Limits.output`."""


_depth: WeakKeyDictionary[asyncio.AbstractEventLoop, int] = WeakKeyDictionary()
"""Calls that are beginning, one inside the other, on each loop."""


class Outlet(Protocol):
    """The session, as its calls out know it."""

    @property
    def blob(self) -> Blob:
        """Attachments of the message that is being written."""

    def cause_of(self, number: object) -> object:
        """Who made the guest's call of this number; None if it is over."""

    def say(self, message: list[Any]) -> None:
        """Send it soon."""

    def fell(self, error: BaseException) -> None:
        """The isolate is of no more use."""


class Asked:
    """One call of a guest's to a capability."""

    __slots__ = (
        "args", "begun", "cause", "credit", "entry", "grant", "kwargs", "method", "number", "over",
        "size", "stopped", "streams", "task", "waiter",
    )  # fmt: skip

    def __init__(
        self, number: int, grant: Grant, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        self.number = number
        self.grant = grant
        self.method = method
        self.args = args
        self.kwargs = kwargs
        self.cause: Any = None
        """The actor's call that the guest's code runs for; None if that is over."""
        self.entry: Any = None
        """Its place in the audit, once it has one."""
        self.size = 0
        self.begun = False
        self.streams = False
        self.credit = 0
        self.over: Exception | None = None
        """What to answer in place of its outcome."""
        self.task: asyncio.Task[None] | None = None
        self.stopped = False
        self.waiter: asyncio.Future[None] | None = None

    def more(self, count: int) -> None:
        """The guest can take so many items more."""
        self.credit += count
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)

    def stop(self) -> None:
        """Cancel it, but once: a second time would interrupt what it gives back meanwhile."""
        if self.task is not None and not self.stopped:
            self.stopped = True
            self.task.cancel()

    async def room(self) -> None:
        """Return when the guest wants an item."""
        while self.credit <= 0:
            self.waiter = asyncio.get_running_loop().create_future()
            await self.waiter
        self.credit -= 1


class Serving:
    """The calls out of one isolate."""

    def __init__(self, outlet: Outlet, grants: Grants, services: Services, output: int) -> None:
        self._outlet = outlet
        self._grants = grants
        self._services = services
        self._output = output
        self._loop = asyncio.get_running_loop()
        self._asked: dict[int, Asked] = {}
        self._heard: deque[Asked] = deque()
        self._last = 0
        self._held = 0
        self._dead = False
        grants.on_lost = self.lost

    def __len__(self) -> int:
        """Calls under way."""
        return len(self._asked)

    # -- hearing; ValueError and its like are violations ------------------------------------------

    def call(self, message: list[Any], size: int) -> None:
        """The guest calls; `size` is that of the outbox it stands in."""
        _, number, handle, method, args, kwargs, *rest = message
        if type(number) is not int or not self._last < number < SAFE or type(method) is not str:
            raise ValueError("a call without a number of its own")
        if type(args) is not list or type(kwargs) is not dict or len(rest) > 1:
            raise ValueError("arguments were expected")
        self._last = number
        asked = Asked(number, self._grants.entry(handle), method, tuple(args), kwargs)
        asked.cause = self._outlet.cause_of(rest[0]) if rest else None
        asked.size = size if not self._heard else 0
        self._held += asked.size
        self._asked[number] = asked
        self._heard.append(asked)
        self._bound()

    def _bound(self) -> None:
        if len(self._asked) > PENDING:
            raise CallLimit(f"the isolate made {PENDING} calls and awaits none", limit=PENDING)
        if self._held > HELD * self._output:
            raise OutputLimit(
                f"arguments of {self._held} bytes wait with the isolate's calls",
                hint="await calls with large arguments one after the other",
                size=self._held,
                limit=HELD * self._output,
            )

    def more(self, number: object, count: object) -> None:
        """The guest wants `count` more items."""
        if type(count) is not int or not 0 < count <= 1 << 20:
            raise ValueError("credit is a positive number")
        asked = self._find(number)
        if asked is None:
            return
        if not asked.begun:
            asked.streams = True
        elif not asked.streams:
            raise ValueError("credit for what is no stream")
        if asked.credit > 1 << 20:
            raise ValueError("credit without an end")
        asked.more(count)

    def cancel(self, number: object) -> None:
        """The guest does not want the answer any more, and will hear nothing of the call."""
        asked = self._find(number)
        if asked is None:
            return
        if asked.task is not None:
            asked.stop()
        elif not asked.begun:
            self._heard.remove(asked)
            self._done(asked)

    def _find(self, number: object) -> Asked | None:
        if type(number) is not int or not 0 < number <= self._last:
            raise ValueError("a call that was never made")
        return self._asked.get(number)

    # -- running ----------------------------------------------------------------------------------

    def start(self, failed: Exception | None) -> None:
        """Begin what was heard; with `failed`, the step it belongs to was not committed."""
        if len(self._heard) > 1 and failed is None:
            try:
                self._services.expect(self._heard)
            except Exception as error:  # what cannot be recorded does not run
                failed = error
        while self._heard:
            asked = self._heard.popleft()
            asked.begun = True
            if failed is not None:
                asked.over = failed
                self._answer(asked, None, failed)
                self._done(asked)
                continue
            task = self._begin(asked)
            if asked.number in self._asked:
                asked.task = task

    def _begin(self, asked: Asked) -> asyncio.Task[None]:
        """At once, or soon if too many begin one inside the other."""
        depth = _depth.get(self._loop, 0)
        if depth >= NESTED:
            return self._loop.create_task(self._run(asked), context=Context())
        _depth[self._loop] = depth + 1
        try:
            return eager.start(self._run(asked), self._loop)
        finally:
            _depth[self._loop] = depth

    async def _run(self, asked: Asked) -> None:
        """The task of one call. Whatever happens in it, the guest hears of it once."""
        try:
            if asked.streams:
                await self._produce(asked)
            else:
                value = await self._services.use(asked)
                self._answer(asked, value, asked.over)
        except asyncio.CancelledError:
            if asked.over is not None:
                self._answer(asked, None, asked.over)
            elif asked.task is None or not asked.task.cancelling():
                self._answer(asked, None, RuntimeError("the call was cancelled outside"))
        except Exception as error:
            self._answer(asked, None, asked.over or error)
        finally:
            self._done(asked)

    async def _produce(self, asked: Asked) -> None:
        items = self._services.iterate(asked)
        given = 0
        try:
            await asked.room()
            async for item in items:
                self._tell("item", asked, item)
                given += 1
                if given % TURN == 0:
                    await asyncio.sleep(0)
                if self._dead:
                    return
                await asked.room()
        finally:
            await items.aclose()
        self._say(["end", asked.number])

    def _done(self, asked: Asked) -> None:
        self._asked.pop(asked.number, None)
        self._held -= asked.size

    def lost(self, capability: Capability, handles: list[int]) -> None:
        """It was taken back: its running calls end, also of a guest that let go of it since."""
        for asked in list(self._asked.values()):
            if asked.grant.capability is capability and asked.task is not None:
                asked.over = capability.ended(asked.method)
                asked.stop()
        for handle in handles:
            self._say(["revoke", handle])

    def end(self) -> None:
        """The isolate is gone: nothing runs for it any more, but for the call that ended it."""
        self._dead = True
        current = asyncio.current_task(self._loop)
        for asked in list(self._asked.values()):
            if asked.task is not current:
                asked.stop()
        while self._heard:
            self._done(self._heard.popleft())

    # -- answering --------------------------------------------------------------------------------

    def _answer(self, asked: Asked, value: object, error: Exception | None) -> None:
        if error is None:
            try:
                self._tell("ans", asked, value)
                return
            except NotTransferable as refused:
                error = refused
        if not self._dead:
            blob = self._outlet.blob
            self._say(["err", asked.number, lower(describe(error), blob)])

    def _tell(self, tag: str, asked: Asked, value: object) -> None:
        if self._dead:
            return
        self._grants.home = asked.grant.home
        blob = self._outlet.blob
        parts, size, mark = len(blob.parts), blob.size, self._grants.mark
        lowered = lower(value, blob, "item" if tag == "item" else "result")
        if blob.size - size > self._output:
            found = blob.size - size
            del blob.parts[parts:]
            blob.size = size
            self._grants.take_back(mark)
            raise NotTransferable(
                f"{found} bytes are too much for one answer; the limit is {self._output}",
                hint="return less, or in a stream",
                path="result",
            )
        self._say([tag, asked.number, lowered])

    def _say(self, message: list[Any]) -> None:
        if not self._dead:
            self._outlet.say(message)
