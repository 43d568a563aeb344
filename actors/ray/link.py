"""Calls of one process to one host.

Calls made in one turn of the loop travel as one request, which brings back what is done soon;
while calls are under way that it did not bring back, another request waits for them.
"""

from __future__ import annotations

import asyncio
import itertools
import pickle
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextvars import Context
from typing import Any

from actors.ray.context import CallContext, arrived
from actors.ray.errors import DiskAway, HostLost, NotOwner
from actors.ray.order import Position, Sender
from actors.ray.outbox import PATIENCE, Message
from actors.ray.parcels import Data, Loan, pack_value, parcels
from actors.ray.peer import Peer
from actors.ray.wire import Target, dump_error, load, load_error

SILENCE = PATIENCE + 5.0
"""Seconds without an answer after which a host is suspected to be stuck."""
PULSE = 3.0
"""Seconds in which a suspect must show a pulse."""
_ids = itertools.count(1)


class Link:
    """The way to one host, on one loop."""

    def __init__(
        self, host: str, find: Callable[[], Any], seek: Callable[[], Awaitable[Any]]
    ) -> None:
        self.host = host
        self._find = find
        self._seek = seek
        self._handle: Any = None
        self._loop = asyncio.get_running_loop()
        self._caller = uuid.uuid4().hex
        """Who we are to the host. Of this link alone: a process may fork, and a loop that has ended
        leave its address to the next, and their replies must not be taken for each other's."""
        self._queue: list[Message] = []
        self._order = Sender()
        self.peer = Peer(self._loop, self._use, self._send)
        """The host, as who lends and holds."""
        self._serving: dict[int, asyncio.Task[None]] = {}
        self._waiting: dict[int, _Call] = {}
        self._unsure: dict[int, str] = {}
        """Calls whose reply is to be collected, and the incarnation that took each."""
        self._collecting = False
        self._got = 0
        """How many replies were collected of the newest incarnation."""
        self.token = ""
        """The newest incarnation that answered; what an older one says does not count."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._failed: dict[asyncio.Future[Any], Exception] = {}
        """Requests that are given up, and why."""

    @property
    def handle(self) -> Any:
        """Ray's handle of the host, looked up again after it failed."""
        if self._handle is None:
            self._handle = self._find()
        return self._handle

    def renew(self) -> None:
        """Look the host up again: it may have been started anew."""
        self._handle = None

    async def call(
        self, target: Target, method: str, data: Data, context: CallContext | None = None
    ) -> Any:
        """Make a call; its result, or what it raised."""
        call = self._begin("call", target, method, data, context)
        try:
            return self._result(await self._arrived(call, await call.next()))
        finally:
            self._end(call)

    async def stream(
        self, target: Target, method: str, data: Data, context: CallContext | None = None
    ) -> AsyncGenerator[Any, None]:
        """Make a call that streams; its items."""
        call = self._begin("stream", target, method, data, context)
        try:
            while (message := await call.next())[0] == "item":
                self._send(("more", call.number))
                yield self._result(await self._arrived(call, message))
            if message[0] != "end":
                self._result(message)
        finally:
            self._end(call)

    def _result(self, message: Message) -> Any:
        if message[0] in ("done", "item"):
            return self.peer.load(message[2])
        if message[0] == "moved":
            raise NotOwner("the actor is not here", version=message[2])
        raise message[2] if message[0] == "lost" else load_error(message[2])

    def _begin(self, verb: str, target: Target, *said: Any) -> _Call:
        method: str = said[0]
        call = _Call(next(_ids), self._loop, f"{target[0]}:{target[1]}", method)
        self._waiting[call.number] = call
        if type(said[1]) is Loan:
            self.peer.lend(said[1])
        self._send((verb, call.number, target, *said))
        return call

    async def _arrived(self, call: _Call, message: Message) -> Message:
        """A reply, with what it left in the object store: that ends with the host."""
        for parcel in parcels([message]):
            failure = await parcel.arrive()
            if failure is not None:
                return "lost", call.number, self._loss(call, failure)
        return message

    def _end(self, call: _Call) -> None:
        self._unsure.pop(call.number, None)
        if self._waiting.pop(call.number, None) is not None and not call.over:
            self._send(("cancel", call.number))

    # -- requests -----------------------------------------------------------------------

    def _send(self, message: Message) -> None:
        if not self._queue:
            self._loop.call_soon(self._flush, context=Context())
        self._queue.append(message)

    def _flush(self) -> None:
        queue, self._queue = self._queue, []
        position = self._order.begin()
        asked = None if self._handle is None else self._ask(queue, position)
        self._run(self._exchange(queue, position, asked))

    def _ask(self, queue: list[Message], position: Position) -> asyncio.Future[Any]:
        """Send a request now, and not a turn of the loop later."""
        try:
            request: Any = (self._caller, position, queue)
            if not parcels(queue):  # else Ray must see what it carries
                request = pickle.dumps(request, protocol=5)
            return _future(self.handle.exchange.remote(request))
        except Exception as error:  # it is that of the request
            failed: asyncio.Future[Any] = self._loop.create_future()
            failed.set_exception(error)
            return failed

    def _run(self, coroutine: Any) -> asyncio.Task[None]:
        task = self._loop.create_task(coroutine, context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _exchange(
        self, queue: list[Message], position: Position, asked: asyncio.Future[Any] | None
    ) -> None:
        calls = {one[1] for one in queue if one[0] in ("call", "stream")}
        try:
            if asked is None:
                self._handle = self._handle or await self._seek()
                asked = self._ask(queue, position)
            answer = await self._asked(asked)
            token, messages = load(answer) if type(answer) is bytes else answer
        except Exception as error:
            self._lost(calls, error)
            if self._order.lost(position):
                self._run(self._exchange([], self._order.begin(), None))
            return
        self._order.end()
        if not self._is_newest(token):
            self._lost(calls, None)
            return
        self._deliver(messages)
        for one in calls & self._waiting.keys():
            self._waiting[one].settle()
        self._unsure.update({one: token for one in calls if self._is_open(one)})
        if (self._unsure or self.peer.busy) and not self._collecting:
            self._collecting = True
            self._run(self._collect())

    async def _collect(self) -> None:
        try:
            while self._unsure or self.peer.busy:
                asked = next(reversed(self._unsure.values()), self.token)
                got = self._got if asked == self.token else 0
                request = self.handle.collect.remote(self._caller, asked, got)
                token, first, messages = await self._asked(_future(request))
                if self._is_newest(token):
                    self._collected(first, messages)
                gone = {one for one, took in self._unsure.items() if took != self.token}
                self._lost(gone, None)
        except Exception as error:
            self._lost(set(self._unsure), error)
            self.peer.lost()
        finally:
            self._collecting = False

    async def _asked(self, asked: asyncio.Future[Any]) -> Any:
        """The answer to a request, for which a host that lives may take long: it may be filling
        an empty disk. One without a pulse is stopped or stuck, which Ray does not see: it is
        ended, and Ray starts it again."""
        doubt = self._loop.call_later(SILENCE, self._doubt, asked)
        try:
            return await asked
        except asyncio.CancelledError:
            failure = self._failed.pop(asked, None)
            if failure is None:
                raise
            raise failure from None
        finally:
            doubt.cancel()

    def _doubt(self, asked: asyncio.Future[Any]) -> None:
        self._run(self._feel(asked, self.handle))

    async def _feel(self, asked: asyncio.Future[Any], handle: Any) -> None:
        """Feel the pulse of a host from time to time, until it answers or has none."""
        try:
            while not asked.done():
                await asyncio.wait_for(handle.pulse.remote(), PULSE)
                await asyncio.wait([asked], timeout=SILENCE)
        except Exception as failure:
            if isinstance(failure, TimeoutError):
                import ray

                ray.kill(handle, no_restart=False)
            if not asked.done():
                self._failed[asked] = failure
                asked.cancel()

    def _collected(self, first: int, messages: list[Message]) -> None:
        if self._got and first > self._got:  # the host had given this side up
            self.peer.lost()
        self._deliver(messages[max(0, self._got - first) :], early=True)
        self._got = max(self._got, first + len(messages))

    def _deliver(self, messages: list[Message], *, early: bool = False) -> None:
        for message in messages:
            if message[0] in ("ask", "unask", "drop"):
                self._hear(message)
                continue
            if len(message) > 2 and type(message[2]) is Loan:
                self.peer.take(message[2])
            call = self._waiting.get(message[1])
            if call is None:
                continue
            if message[0] != "item":
                self._unsure.pop(message[1], None)
            if early and call.early is not None:
                call.early.append(message)
            else:
                call.put(message)

    def _hear(self, message: Message) -> None:
        """What the host wants of this side."""
        number = message[1]
        if message[0] == "drop":
            self.peer.give_back(message[2], message[3])
        elif message[0] == "unask":
            if number in self._serving:
                self._serving[number].cancel()
        else:
            if type(message[4]) is Loan:
                self.peer.take(message[4])
            task = self._serving[number] = self._run(self._serve(*message[1:]))
            task.add_done_callback(lambda _: self._serving.pop(number, None))

    async def _serve(
        self, asked: int, number: int, method: str, data: Data, context: CallContext | None
    ) -> None:
        """Use something of this side, for the host."""
        try:
            with arrived(context):
                for parcel in parcels([(data,)]):
                    await parcel.arrive()
                args, kwargs = self.peer.load(data)
                result = await self.peer.method(number, method)(*args, **kwargs)
                said = pack_value(result, "the result")
        except Exception as error:
            self._send(("answer", asked, "failed", dump_error(error)))
            return
        if type(said) is Loan:
            self.peer.lend(said)
        self._send(("answer", asked, "done", said))

    def _use(
        self, number: int, method: str, data: Data, context: CallContext | None
    ) -> Coroutine[Any, Any, Any]:
        return self.call(("", "", number, self.token), method, data, context)

    def _is_newest(self, token: str) -> bool:
        if token > self.token:
            if self.token:
                self.peer.lost()
            self.token, self._got = token, 0
        return token == self.token

    def _is_open(self, number: int) -> bool:
        call = self._waiting.get(number)
        return call is not None and not call.over

    def _lost(self, calls: set[int], error: Exception | None) -> None:
        self._handle = None if error is not None else self._handle
        for number in calls:
            call = self._waiting.get(number)
            self._unsure.pop(number, None)
            if call is not None:
                call.put(("lost", number, self._loss(call, error)))

    def _loss(self, call: _Call, error: Exception | None) -> HostLost:
        if isinstance(error, DiskAway):  # it was not sent
            known = {**error.fields, "actor": call.actor, "method": call.method}
            return DiskAway(error.message, **known)
        lost = HostLost(
            f"{self.host} was lost while {call.actor}.{call.method} was under way",
            host=self.host,
            actor=call.actor,
            method=call.method,
        )
        lost.__cause__ = error
        return lost


class _Call:
    """One call under way, with the replies that nobody took yet."""

    __slots__ = ("_loop", "_replies", "_waiter", "actor", "early", "method", "number", "over")

    def __init__(
        self, number: int, loop: asyncio.AbstractEventLoop, actor: str, method: str
    ) -> None:
        self.number = number
        self.actor = actor
        self.method = method
        self.over = False
        """The last reply came."""
        self.early: list[Message] | None = []
        """What was collected before the request that brought the call was answered: it follows
        what comes with that answer, which may be large and slow. None once that came."""
        self._loop = loop
        self._replies: list[Message] = []
        self._waiter: asyncio.Future[None] | None = None

    def put(self, message: Message) -> None:
        self.over = message[0] != "item"
        self._replies.append(message)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def settle(self) -> None:
        """The request that brought it is answered."""
        early, self.early = self.early, None
        for message in early or ():
            self.put(message)

    async def next(self) -> Message:
        if not self._replies:
            self._waiter = self._loop.create_future()
            await self._waiter
        return self._replies.pop(0)


def _future(request: Any) -> asyncio.Future[Any]:
    """What Ray will answer."""
    asked = asyncio.wrap_future(request.future())
    asked.add_done_callback(_heard)  # also if nobody waits for it any more
    return asked


def _heard(asked: asyncio.Future[Any]) -> None:
    if not asked.cancelled():
        asked.exception()
