"""Requests of callers: many calls each, answered in batches and by long polls."""

from __future__ import annotations

import asyncio
import logging
import pickle
from collections.abc import Callable, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any

from actors.errors import RuntimeClosed
from actors.logs import OUTSIDE
from actors.ray.classes import Classes
from actors.ray.context import CallContext, arrived
from actors.ray.order import Position
from actors.ray.outbox import Message, Outbox
from actors.ray.ownership import Ownership
from actors.ray.parcels import Data, Loan, Parcel, pack_value, parcels
from actors.ray.wire import Target, dump_error, load

AHEAD = 16
"""Items of a stream that a host makes before the caller took one."""
GONE = 60.0
"""Seconds without a request after which a caller is gone: its calls are cancelled."""
FORGOTTEN = 3600.0
"""Seconds for which replies are kept for a caller that is silent: its loop may have been held up,
by a long cell of a notebook for example, and it still waits."""

Find = Callable[[Outbox, Target, str], Callable[..., Any]]
"""A method of what a message calls, for the caller whose outbox it is."""
_log = logging.getLogger("facets.host")


class Serving:
    """The callers of one host, and what runs for each."""

    def __init__(self, ownership: Ownership, classes: Classes, find: Find) -> None:
        self._ownership = ownership
        self._classes = classes
        self._find = find
        self._outboxes: dict[str, Outbox] = {}
        self._running: dict[tuple[str, int], asyncio.Task[None]] = {}
        self._room: dict[tuple[str, int], asyncio.Semaphore] = {}
        """How many items each stream may still make."""

    @property
    def owes(self) -> bool:
        """Whether something runs, or is answered and not yet fetched."""
        return bool(self._running) or any(map(len, self._outboxes.values()))

    async def exchange(self, request: Any) -> Any:
        """As `Hosting.exchange`."""
        caller, position, messages = load(request) if type(request) is bytes else request
        outbox = self._outbox(caller)
        batch = outbox.batch([one[1] for one in messages if one[0] in ("call", "stream")])
        brought = () if type(request) is bytes else parcels(messages)
        if outbox.order.begins(position) and not brought:
            self._take_all(caller, outbox, position, messages)
        else:
            taking = self._take_later(caller, outbox, position, messages, brought)
            outbox.keep(asyncio.ensure_future(taking))
        answer = self._ownership.token, await batch.replies()
        return answer if parcels(answer[1]) else pickle.dumps(answer, protocol=5)

    async def collect(self, caller: str, token: str, got: int) -> tuple[str, int, list[Message]]:
        """As `Hosting.collect`."""
        if token != self._ownership.token:
            return self._ownership.token, 0, []
        if caller not in self._outboxes:
            raise RuntimeClosed("the host has forgotten a caller that was silent for long")
        return token, *await self._outbox(caller).collect(got)

    def sweep(self) -> None:
        """Forget callers that are gone, from time to time."""
        loop = asyncio.get_running_loop()
        for caller, outbox in list(self._outboxes.items()):
            silent = loop.time() - outbox.heard
            if silent > GONE and (calls := self._under_way(caller)):
                _log.warning("a caller is gone, its calls are cancelled", extra={"caller": caller})
                outbox.gone()
                for task in calls:
                    task.cancel()
            elif silent > (FORGOTTEN if len(outbox) else GONE):
                del self._outboxes[caller]
                outbox.gone()
        loop.call_later(GONE, self.sweep)

    def _under_way(self, caller: str) -> list[asyncio.Task[None]]:
        return [task for key, task in self._running.items() if key[0] == caller]

    def _outbox(self, caller: str) -> Outbox:
        found = self._outboxes.get(caller)
        if found is None:
            found = self._outboxes[caller] = Outbox(asyncio.get_running_loop())
        return found

    async def _take_later(
        self,
        caller: str,
        outbox: Outbox,
        position: Position,
        messages: list[Message],
        brought: Sequence[Parcel],
    ) -> None:
        await outbox.order.turn(position)
        for parcel in brought:
            await parcel.arrive()
        self._take_all(caller, outbox, position, messages)

    def _take_all(
        self, caller: str, outbox: Outbox, position: Position, messages: list[Message]
    ) -> None:
        for message in messages:
            self._take(caller, outbox, message)
        outbox.order.taken(position)

    def _take(self, caller: str, outbox: Outbox, message: Message) -> None:
        verb, number = message[0], message[1]
        key = caller, number
        if verb == "cancel":
            if key in self._running:
                self._running[key].cancel()
        elif verb == "more":
            if key in self._room:
                self._room[key].release()
        elif verb in ("answer", "drop"):
            outbox.hear(message)
        else:
            if type(message[4]) is Loan:
                outbox.peer.take(message[4])
            work = self._answer if verb == "call" else self._stream
            OUTSIDE.set(f"{caller[:8]}-{number}")  # the task keeps it
            begin = partial(work, outbox, key, *message[2:])
            serve = partial(self._ownership.serve, outbox, number, message[2])
            task = asyncio.ensure_future(serve(begin) if message[2][0] else begin())
            self._running[key] = task
            task.add_done_callback(partial(self._done, key))

    def _done(self, key: tuple[str, int], task: asyncio.Task[None]) -> None:
        del self._running[key]
        self._room.pop(key, None)
        if not task.cancelled() and task.exception() is not None:
            said = {"message": "a reply could not be made", "exception": task.exception()}
            task.get_loop().call_exception_handler(said)

    async def _answer(
        self,
        outbox: Outbox,
        key: tuple[str, int],
        target: Target,
        method: str,
        data: Data,
        context: CallContext | None,
    ) -> None:
        try:
            with arrived(context):
                if target[0]:
                    await self._classes.need(target[0])
                args, kwargs = outbox.peer.load(data)
                result = await self._find(outbox, target, method)(*args, **kwargs)
                outbox.post(("done", key[1], pack_value(result, "the result")))
        except asyncio.CancelledError:
            outbox.post(("failed", key[1], dump_error(RuntimeClosed("the call was cancelled"))))
            raise
        except Exception as error:
            told = {"target": f"{target[0]}:{target[1]}", "called": method, "raised": repr(error)}
            _log.debug("a call failed", extra=told)
            outbox.post(("failed", key[1], dump_error(error)))

    async def _stream(
        self,
        outbox: Outbox,
        key: tuple[str, int],
        target: Target,
        method: str,
        data: Data,
        context: CallContext | None,
    ) -> None:
        room = self._room[key] = asyncio.Semaphore(AHEAD)
        try:
            with arrived(context):
                if target[0]:
                    await self._classes.need(target[0])
                args, kwargs = outbox.peer.load(data)
                made = self._find(outbox, target, method)(*args, **kwargs)
                async with aclosing(aiter(made)) as items:
                    async for item in items:
                        outbox.post(("item", key[1], pack_value(item, "the item")), last=False)
                        await room.acquire()
            outbox.post(("end", key[1]))
        except asyncio.CancelledError:
            outbox.post(("failed", key[1], dump_error(RuntimeClosed("the stream was cancelled"))))
            raise
        except Exception as error:
            outbox.post(("failed", key[1], dump_error(error)))
