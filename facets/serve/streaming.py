"""A stream of items as a response: server-sent events, or a line of JSON for each.

The next item is asked for when the one before has been taken, so a slow reader slows the method,
and a reader that goes cancels it. A response is whole only with its last part: `event: end`, or
`{"end": true}`; a failure after the first item is `event: failed`, or `{"error": ...}`.

A browser's `EventSource` asks again when a response is over. It says the last id that it saw then:
after the last part that is "end", which is answered with 204 and leaves it in peace; after another
one a method that takes a parameter `after` is given that, and may go on behind it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any, Protocol

from starlette.types import Send

from facets.serve.encoding import encode

PATIENCE = 0.5
"""Seconds that the first item has until the response starts without it: a method that fails at
once gets a status of its own."""
OVER = b"end"
"""The id of the last event."""


class Form(Protocol):
    """How items are written."""

    media: str
    beat: bytes
    """Says that the stream is alive."""
    end: bytes

    def item(self, number: int, item: object) -> bytes:
        """One item."""

    def error(self, told: Mapping[str, Any]) -> bytes:
        """The failure that ended it."""


class Events:
    """`text/event-stream`, for browsers: items are messages. The id of one is its `seq`, which
    events of an agent have, else a running number."""

    media = "text/event-stream"
    beat = b":\n\n"
    end = b"id: %s\nevent: end\ndata: \n\n" % OVER

    def item(self, number: int, item: object) -> bytes:
        """One item."""
        seq = getattr(item, "seq", None)
        number = seq if type(seq) is int else number
        return b"id: %d\ndata: %s\n\n" % (number, encode(item))

    def error(self, told: Mapping[str, Any]) -> bytes:
        """The failure that ended it."""
        return b"id: %s\nevent: failed\ndata: %s\n\n" % (OVER, encode(told))


class Lines:
    """`application/x-ndjson`, for programs."""

    media = "application/x-ndjson"
    beat = b"\n"
    end = b'{"end":true}\n'

    def item(self, number: int, item: object) -> bytes:
        """One item."""
        del number
        return b'{"item":%s}\n' % encode(item)

    def error(self, told: Mapping[str, Any]) -> bytes:
        """The failure that ended it."""
        return b'{"error":%s}\n' % encode(told)


def form_of(accept: str) -> Form | None:
    """What the request's Accept header asks for; None if it does not ask for a stream."""
    if Lines.media in accept:
        return Lines()
    return Events() if Events.media in accept else None


class Streaming:
    """One response."""

    def __init__(self, send: Send, form: Form | None, headers: list[tuple[bytes, bytes]]) -> None:
        self.started = False
        self.wanted = form is not None
        """The request asks for a stream."""
        self._send_raw = send
        self._form = form or Events()
        self._headers = [(b"content-type", self._form.media.encode()), *headers]
        self._sending = asyncio.Lock()
        self._quiet = True
        """Nothing was sent since the last beat."""

    async def run(self, items: AsyncIterator[Any], heartbeat: float) -> None:
        """Send all items. What fails before the response started is raised."""
        beating = asyncio.ensure_future(self._beat(heartbeat))
        number = 0
        try:
            async for item in items:
                number += 1
                await self._send(self._form.item(number, item))
        finally:
            beating.cancel()
            await asyncio.wait((beating,))
            close = getattr(items, "aclose", None)
            if close is not None:
                await close()

    async def finish(self, told: Mapping[str, Any] | None = None) -> None:
        """End the response, with a failure if there was one."""
        last = self._form.end if told is None else self._form.error(told)
        await self._send(last, more=False)

    async def _beat(self, heartbeat: float) -> None:
        await asyncio.sleep(min(PATIENCE, heartbeat))
        if not self.started:
            await self._send(self._form.beat)
        while True:
            self._quiet = True
            await asyncio.sleep(heartbeat)
            if self._quiet:
                await self._send(self._form.beat)

    async def _send(self, part: bytes, *, more: bool = True) -> None:
        async with self._sending:
            if not self.started:
                self.started = True
                await self._send_raw(
                    {"type": "http.response.start", "status": 200, "headers": self._headers}
                )
            await self._send_raw({"type": "http.response.body", "body": part, "more_body": more})
            self._quiet = False
