"""The way out of a box, if it was granted one: requests that the host makes, by an Egress.

The broker listens on the box's own loopback and hands that socket to the host before anything
runs, so there is nothing in the box to attack and no route out of it. What programs ask of their
proxy is read here and asked for through an `Exit`. For https the proxy answers with a certificate
of an authority made for this sandbox, whose key never leaves the host: paths and methods are seen,
and credentials added, as for any egress.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import OrderedDict
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import h11

from actors.tasks import spawn
from facets.egress.errors import EgressBudget, EgressDenied, EgressError, EgressTimeout
from facets.egress.messages import Request
from facets.sandbox.errors import SandboxUnavailable
from facets.sandbox.starting import AUTHORITY, PORT

if TYPE_CHECKING:
    import socket

    import trustme

    from facets.egress.answer import StreamedResponse
    from facets.egress.egress import Exit

ENVIRONMENT = {
    **dict.fromkeys(
        ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), f"http://127.0.0.1:{PORT}"
    ),
    "NODE_USE_ENV_PROXY": "1",
    "no_proxy": "localhost,127.0.0.1,::1",
    **dict.fromkeys(
        ("SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "PIP_CERT", "GIT_SSL_CAINFO",
         "NODE_EXTRA_CA_CERTS", "CARGO_HTTP_CAINFO"), AUTHORITY,
    ),
}  # fmt: skip
"""By which programs find the proxy, and trust it."""
_BODY = 64 << 20
"""Bytes of one request's body; the rule of the egress allows less."""
_CONNECTIONS = 64
_CERTIFICATES = 256


class Authority:
    """Certificates for whatever host a box asks for, known to that box alone."""

    def __init__(self) -> None:
        try:
            import trustme
        except ImportError as error:
            raise SandboxUnavailable(
                "a way out of a box needs trustme", hint="pip install 'facets-runtime[sandbox]'"
            ) from error
        self._made: trustme.CA = trustme.CA()
        self._contexts: OrderedDict[str, ssl.SSLContext] = OrderedDict()

    @property
    def certificate(self) -> str:
        """What a box trusts, as PEM."""
        return self._made.cert_pem.bytes().decode()

    def context(self, host: str) -> ssl.SSLContext:
        """For a server of that name; made once for each of the newest 256."""
        if host not in self._contexts:
            self._contexts[host] = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            self._made.issue_cert(host).configure_cert(self._contexts[host])
        self._contexts.move_to_end(host)
        if len(self._contexts) > _CERTIFICATES:
            self._contexts.popitem(last=False)
        return self._contexts[host]


class Proxy:
    """Serves one box, until it is closed."""

    def __init__(self, exit: Exit, authority: Authority) -> None:
        self._exit = exit
        self._authority = authority
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    async def open(self, listening: socket.socket) -> None:
        """Accept connections; what serves them belongs to no call of an actor."""
        self._server = await spawn(asyncio.start_server(self._serve, sock=listening))

    async def close(self) -> None:
        """End all connections, and requests under way."""
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or len(self._tasks) >= _CONNECTIONS:
            writer.close()
            return
        self._tasks.add(task)
        try:
            # What a program sends is a stranger's: what cannot be read ends its connection.
            with suppress(OSError, EOFError, h11.ProtocolError, ValueError, asyncio.CancelledError):
                await Connection(self._exit, self._authority, reader, writer).serve()
        finally:
            self._tasks.discard(task)
            writer.close()


class Connection:
    """One connection of a program to its proxy."""

    def __init__(
        self, exit: Exit, authority: Authority,
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter,
    ) -> None:  # fmt: skip
        self._exit = exit
        self._authority = authority
        self._reader = reader
        self._writer = writer
        self._base = ""
        """In a tunnel: where it leads, `https://host:port`."""

    async def serve(self) -> None:
        """Request after request, until the program or an answer ends it."""
        http = h11.Connection(h11.SERVER)
        while True:
            event = await self._next(http)
            if not isinstance(event, h11.Request):
                return
            target = event.target.decode("ascii")
            if event.method == b"CONNECT":
                await self._tunnel(target)
                http = h11.Connection(h11.SERVER)
                continue
            body = await self._body(http)
            await self._answer(http, event, self._base + target if self._base else target, body)
            if http.our_state is not h11.DONE or http.their_state is not h11.DONE:
                return
            http.start_next_cycle()

    async def _next(self, http: h11.Connection) -> Any:
        while (event := http.next_event()) is h11.NEED_DATA:
            http.receive_data(await self._reader.read(1 << 16))
        return event

    async def _body(self, http: h11.Connection) -> bytes:
        found = bytearray()
        while isinstance(event := await self._next(http), h11.Data):
            found += event.data
            if len(found) > _BODY:
                raise ValueError("a body is too long")
        return bytes(found)

    async def _tunnel(self, target: str) -> None:
        """Be the server that the program wants to speak TLS with."""
        host, _, port = target.rpartition(":")
        if self._base or not host or not port.isdigit():
            raise ValueError("no tunnel leads there")
        context = self._authority.context(host.strip("[]"))
        self._writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await self._writer.drain()
        await self._writer.start_tls(context)
        self._base = f"https://{host}:{port}"

    async def _answer(
        self, http: h11.Connection, asked: h11.Request, url: str, body: bytes
    ) -> None:
        method = asked.method.decode("ascii")
        headers = tuple(
            (name.decode("ascii"), value.decode("latin-1"))
            for name, value in asked.headers
            if name not in _OURS
        )
        try:
            request = Request(method, url, headers, body, redirect="manual")
            async with await self._exit.open(request) as answer:
                await self._give(http, answer, method)
        except EgressError as error:
            if http.our_state is not h11.SEND_RESPONSE:  # cut off on its way
                raise EOFError from error
            text = f"{error}\n".encode()
            head = [("content-type", "text/plain"), ("content-length", str(len(text)))]
            await self._send(http, h11.Response(status_code=_status(error), headers=head))
            await self._send(http, h11.Data(data=b"" if method == "HEAD" else text))
            await self._send(http, h11.EndOfMessage())

    async def _give(self, http: h11.Connection, answer: StreamedResponse, method: str) -> None:
        headers = [
            (name.encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers
            if method == "HEAD" or name.lower() != "content-length"
        ]  # fmt: skip
        await self._send(http, h11.Response(status_code=answer.status, headers=headers))
        async for piece in answer:
            await self._send(http, h11.Data(data=piece))
        await self._send(http, h11.EndOfMessage())

    async def _send(self, http: h11.Connection, event: Any) -> None:
        self._writer.write(http.send(event) or b"")
        await self._writer.drain()


_OURS = frozenset({
    b"accept-encoding", b"connection", b"content-length", b"expect", b"keep-alive", b"host",
    b"proxy-authorization", b"proxy-connection", b"te", b"transfer-encoding", b"upgrade",
})  # fmt: skip


def _status(error: EgressError) -> int:
    if isinstance(error, EgressDenied):
        return 403
    if isinstance(error, EgressBudget):
        return 429
    return 504 if isinstance(error, EgressTimeout) else 502
