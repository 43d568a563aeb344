"""An answer as it comes in."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import final

from facets.egress import headers
from facets.egress.decoding import Gunzip, Identity
from facets.egress.hop import Hop
from facets.egress.messages import Headers, Response
from facets.egress.scrubbing import Scrubber


@dataclass(frozen=True, slots=True)
class Raw:
    """What a route brings back. `close` may be called at any time, also more than once."""

    status: int
    headers: Headers
    body: AsyncIterator[bytes]
    close: Callable[[], Awaitable[None]]
    url: str = ""
    credentialed: bool = False
    secrets: frozenset[bytes] = frozenset()

    def header(self, name: str) -> str | None:
        """The first header of that name, given in lower case."""
        return next((value for key, value in self.headers if key.lower() == name), None)


@final
class StreamedResponse:
    """An answer whose body is iterated over: `async with await exit.open(request) as answer:`.

    Pieces come as they arrive, at most 64 KiB after decompression, all within the limits of the
    rule. It holds its place in the budget until the body has ended or `aclose` was called. It may
    be read by another task than opened it, by one at a time. Cancelled while reading: closed.
    """

    def __init__(self, hop: Hop, raw: Raw) -> None:
        """Use `Exit.open`."""
        compressed = _is_compressed(raw, hop.order.method)
        scrubber = Scrubber(raw.secrets)
        shown = headers.inward(raw.headers, compressed, raw.credentialed)
        self.status = raw.status
        self.headers = tuple((name, scrubber.text(value)) for name, value in shown)
        self.url = scrubber.text(raw.url or hop.order.target.url)
        self._hop = hop
        self._raw = raw
        self._scrubber = scrubber
        self._decoder = Gunzip() if compressed else Identity()
        self._pieces = self._read()

    async def read(self) -> Response:
        """The whole answer."""
        body = b"".join([piece async for piece in self])
        return Response(self.status, self.headers, body, self.url)

    def __aiter__(self) -> AsyncGenerator[bytes, None]:
        return self._pieces

    async def _read(self) -> AsyncGenerator[bytes, None]:
        total = 0
        limit = self._hop.rule.response_size
        try:
            with self._hop.guarded():
                async for data in self._arriving():
                    for piece in self._decoder.feed(data):
                        total += len(piece)
                        if total > limit:
                            raise self._hop.too_large("answer", limit)
                        if clean := self._scrubber.feed(piece):
                            yield clean
                self._decoder.end()
                if rest := self._scrubber.rest():
                    yield rest
        finally:
            await self._finish()

    async def _arriving(self) -> AsyncGenerator[bytes, None]:
        """The body as on the wire, within time, budget and limit: what decompresses to nothing
        counts as well."""
        limit = self._hop.rule.response_size
        total = 0
        while (data := await self._hop.in_time(anext(self._raw.body, None))) is not None:
            total += len(data)
            if total > limit:
                raise self._hop.too_large("answer", limit)
            self._hop.received(len(data))
            yield data

    async def aclose(self) -> None:
        """Give the connection and the place in the budget back. Again: nothing."""
        await self._pieces.aclose()
        await self._finish()

    async def _finish(self) -> None:
        try:
            await self._raw.close()
        finally:
            self._hop.end()

    async def __aenter__(self) -> StreamedResponse:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()


def _is_compressed(raw: Raw, method: str) -> bool:
    encoding = raw.header("content-encoding")
    has_body = method != "HEAD" and raw.status not in (204, 304)
    return has_body and encoding is not None and encoding.strip().lower() in ("gzip", "x-gzip")
