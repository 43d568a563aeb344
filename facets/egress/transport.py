"""httpx on checked addresses.

Nothing of the environment is read: no proxies, no netrc, no certificate variables. There is no
client and so no cookie jar. TLS names and verifies the host of the URL, while the connection
goes to the address that was checked.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterable

import httpcore
import httpx

from facets.egress.addresses import Address
from facets.egress.resolving import Resolver, addresses
from facets.egress.rules import Rule

KEEP = 5.0
"""Seconds that an idle connection is kept."""
IDLE = 8
"""Idle connections of one rule."""


def tls_context() -> ssl.SSLContext:
    """The usual certificate authorities, whatever the environment says."""
    return httpx.create_ssl_context(trust_env=False)


class Backend(httpcore.AsyncNetworkBackend):
    """Connects to a checked address where the pool asks for a name."""

    def __init__(self, rule: Rule, resolver: Resolver) -> None:
        self._rule = rule
        self._resolver = resolver
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Resolve, check, and connect to the first address that answers."""
        try:
            async with asyncio.timeout(timeout):
                found = await addresses(self._rule, self._resolver, host, port)
                return await self._first(found, port)
        except TimeoutError as error:
            raise httpcore.ConnectTimeout(str(error)) from error

    async def _first(self, found: list[Address], port: int) -> httpcore.AsyncNetworkStream:
        *others, last = found
        for address in others:
            try:
                return await self._network.connect_tcp(str(address), port, timeout=_SHARE)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return await self._network.connect_tcp(str(last), port)


_SHARE = 2.5
"""Seconds for an address while there are others to try."""


class Transport(httpx.AsyncBaseTransport):
    """The connections of one rule. Those of another are never used: it may open less."""

    def __init__(self, rule: Rule, resolver: Resolver, tls: ssl.SSLContext) -> None:
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=tls,
            max_connections=None,
            max_keepalive_connections=IDLE,
            keepalive_expiry=KEEP,
            network_backend=Backend(rule, resolver),
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request; its answer is to be closed by whoever asked."""
        assert isinstance(request.stream, httpx.AsyncByteStream)  # noqa: S101 - of bytes
        url = request.url
        answer = await self._pool.handle_async_request(
            httpcore.Request(
                method=request.method,
                url=httpcore.URL(
                    scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
                ),
                headers=request.headers.raw,
                content=request.stream,
                extensions=request.extensions,
            )
        )
        return httpx.Response(
            answer.status,
            headers=answer.headers,
            stream=_Body(answer),
            extensions=answer.extensions,
        )

    async def aclose(self) -> None:
        """Close all connections."""
        await self._pool.aclose()


class _Body(httpx.AsyncByteStream):
    def __init__(self, answer: httpcore.Response) -> None:
        self._answer = answer

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._answer.aiter_stream()

    async def aclose(self) -> None:
        await self._answer.aclose()
