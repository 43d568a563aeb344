"""WebSockets: the server holds the connection, the actor hears of it and may sleep.

Each message of a socket is told to its actor when the one before has been dealt with, so a busy
actor slows the client down. What an actor sends waits here for a client that is slow to read, up to
a bound; then the socket is closed.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import HTTPConnection
from starlette.types import Receive, Scope, Send

from actors.errors import RuntimeClosed, SocketClosed
from actors.ray.errors import HostLost
from actors.sockets.events import GONE, Closed, Event, Opened, Said
from actors.sockets.servers import SERVERS
from facets.serve.asking import Ask, Authenticate, admitted, ask_of, check_origin, segments
from facets.serve.encoding import encode
from facets.serve.errors import NotServed, TooMany
from facets.serve.failures import headers_of, said, status_of
from facets.serve.held import Held
from facets.serve.limits import ServeLimits
from facets.serve.reaching import DOOR, Exposed
from facets.serve.shapes import shape_of

PATH = "socket"
"""The last part of the path of every socket."""
TOO_BIG, FAILED, LATER = 1009, 1011, 1013


@dataclass
class Sockets:
    """The WebSockets of one application."""

    exposed: Exposed
    authenticate: Authenticate | None
    origins: tuple[str, ...]
    limits: ServeLimits
    id: str = field(default_factory=lambda: uuid.uuid4().hex, init=False)
    """Of this server, in what actors keep."""
    open: dict[str, Held] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        SERVERS[self.id] = self

    # -- what actors ask of it ---------------------------------------------------------------

    def opened(self, key: str) -> None:
        """Nothing to do: it is in the books before anybody is told."""

    def holds(self, key: str) -> bool:
        """Whether the socket is open."""
        held = self.open.get(key)
        return held is not None and not held.closing

    def send(self, key: str, data: str | bytes) -> bool:
        """Send behind what was sent before, without waiting; False if it is not open."""
        held = self.open.get(key)
        return held is not None and held.send(data)

    def close(self, key: str, code: int, reason: str) -> bool:
        """Close it behind what was sent; False if it is not open."""
        held = self.open.get(key)
        return held is not None and held.close(code, reason)

    # -- connections -------------------------------------------------------------------------

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One connection, from the request to its end."""
        await receive()  # websocket.connect
        key = uuid.uuid4().hex
        try:
            ask, who = await self._asked(HTTPConnection(scope))
            held = self.open[key] = Held(receive, send, self.limits.backlog)
            opened = Opened(key, self.id, who, dict(ask.query))
            held.replies = await self._tell(ask, opened)
        except BaseException as error:
            self.open.pop(key, None)
            if not isinstance(error, Exception):
                raise
            await _refuse(scope, send, error)
            return
        await self._serve(ask, held, key, scope.get("subprotocols") or ())

    async def _asked(self, connection: HTTPConnection) -> tuple[Ask, Any]:
        check_origin(connection, self.origins)
        ask = ask_of(connection, "socket", segments(connection.scope))
        if ask.method != PATH:
            raise NotServed("there is no such path", hint=f"sockets are at .../{PATH}")
        cls = self.exposed.cls(ask.kind)
        if ask.facets:
            shape_of(cls, DOOR)
        who = await admitted(self.authenticate, ask)
        if len(self.open) >= self.limits.sockets:
            raise TooMany(f"{len(self.open)} sockets are open here", limit=self.limits.sockets)
        return ask, who

    async def _serve(self, ask: Ask, held: Held, key: str, protocols: Sequence[str]) -> None:
        code, reason = GONE, ""
        try:
            await held.accept(protocols)
            code, reason = await self._listen(ask, held, key)
        except OSError:
            pass  # it was gone before it was let in
        finally:
            held.end()
            self.open.pop(key, None)
            # The actor was deleted, or is told when it starts the next time.
            with contextlib.suppress(SocketClosed, HostLost, RuntimeClosed):
                await self._tell(ask, Closed(key, code, reason))

    async def _listen(self, ask: Ask, held: Held, key: str) -> tuple[int, str]:
        """Tell the actor what the client says until it is closed: the code and the reason."""
        while True:
            message = await held.take()
            if message["type"] == "websocket.disconnect":
                return message.get("code") or GONE, message.get("reason") or ""
            text = message.get("text")
            data: str | bytes = (message.get("bytes") or b"") if text is None else text
            if len(data) > self.limits.message:
                held.close(TOO_BIG, f"messages take at most {self.limits.message} bytes")
            elif text is not None and text in held.replies:
                held.send(held.replies[text])
            elif not held.closing:
                await self._said(ask, held, Said(key, data))

    async def _said(self, ask: Ask, held: Held, event: Said) -> None:
        try:
            await self._tell(ask, event)
        except Exception as error:
            later = status_of(error) in (429, 503)
            held.close(LATER if later else FAILED, type(error).__name__)

    async def _tell(self, ask: Ask, event: Event) -> dict[str, str]:
        cls = self.exposed.cls(ask.kind)
        return await self.exposed.runtime.tell_socket(cls, ask.name, ask.facets, event)


async def _refuse(scope: Scope, send: Send, error: Exception) -> None:
    """Answer the request for a socket with an error, where the server can."""
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": 1008, "reason": type(error).__name__})
        return
    status = status_of(error)
    if status == 500 and isinstance(error, PermissionError):  # the actor does not want this one
        status = 403
    headers = {"content-type": "application/json", **headers_of(error, status)}
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "websocket.http.response.start", "status": status, "headers": raw})
    body = encode({"error": said(error)})
    await send({"type": "websocket.http.response.body", "body": body})
