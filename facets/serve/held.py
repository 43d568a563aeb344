"""One open connection, and what waits to be sent on it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence

from starlette.types import Message, Receive, Send

TOO_SLOW = 1008


class Held:
    """A connection from the request to its end."""

    __slots__ = ("_backlog", "_bytes", "_most", "_receive", "_send", "_sending", "_taking",
                 "closing", "dropped", "opened", "replies")  # fmt: skip

    def __init__(self, receive: Receive, send: Send, most: int) -> None:
        self.opened = False
        """The client was let in; until then what is sent waits."""
        self.closing = False
        """Nothing more can be sent."""
        self.dropped = False
        """The client read too slowly, and is not waited for."""
        self.replies: Mapping[str, str] = {}
        """What is answered without asking the actor."""
        self._receive = receive
        self._send = send
        self._most = most
        self._backlog: deque[Message] | None = None  # made when needed: most sockets are idle
        self._bytes = 0
        self._sending: asyncio.Task[None] | None = None
        self._taking: asyncio.Task[object] | None = None

    def send(self, data: str | bytes) -> bool:
        """Queue a message; False if it cannot be sent any more."""
        if self.closing:
            return False
        size = len(data)
        if self._bytes and self._bytes + size > self._most:
            self._drop()
            return False
        self._bytes += size
        self._queue({"type": "websocket.send", "text" if isinstance(data, str) else "bytes": data})
        return True

    def close(self, code: int, reason: str) -> bool:
        """Queue the end; False if it is closing."""
        if self.closing:
            return False
        self.closing = True
        short = reason.encode()[:123].decode(errors="ignore")  # what a close frame has room for
        self._queue({"type": "websocket.close", "code": code, "reason": short})
        return True

    async def accept(self, protocols: Sequence[str]) -> None:
        """Let the client in. Of the protocols that it offers the first is taken."""
        await self._send(
            {
                "type": "websocket.accept",
                "subprotocol": protocols[0] if protocols else None,
            }
        )
        self.opened = True
        if self._backlog:
            self._sending = asyncio.ensure_future(self._send_all())

    async def take(self) -> Message:
        """The next thing that the client sends; its end if it was dropped."""
        if self.dropped:
            return _DROPPED
        self._taking = asyncio.current_task()
        try:
            return await self._receive()
        except asyncio.CancelledError:
            if not self.dropped or self._taking is None or self._taking.uncancel():
                raise
            return _DROPPED
        finally:
            self._taking = None

    def end(self) -> None:
        """It is over: nothing leaves any more."""
        self.closing = True
        self._backlog = None
        if self._sending is not None:
            self._sending.cancel()

    def _drop(self) -> None:
        self.closing = self.dropped = True
        self.end()
        if self._taking is not None:
            self._taking.cancel()

    def _queue(self, message: Message) -> None:
        if self._backlog is None:
            self._backlog = deque()
        self._backlog.append(message)
        if self.opened and (self._sending is None or self._sending.done()):
            self._sending = asyncio.ensure_future(self._send_all())

    async def _send_all(self) -> None:
        while self._backlog:
            message = self._backlog.popleft()
            try:
                await self._send(message)
            except OSError:  # the client is gone, which whoever takes messages is told
                self.closing = True
                return
            self._bytes -= len(message.get("text") or message.get("bytes") or b"")
        self._backlog = None


_DROPPED: Message = {"type": "websocket.disconnect", "code": TOO_SLOW, "reason": "too slow to read"}
