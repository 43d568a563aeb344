"""A real HTTP server on loopback that answers what a test tells it to, byte for byte."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType


@dataclass(frozen=True)
class Seen:
    """A request as it arrived."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    connection: int
    """Which connection it came over, from 1."""

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name]

    def one(self, name: str) -> str:
        (value,) = self.all(name)
        return value


Answer = Callable[[Seen], bytes | None]


def reply(body: bytes = b"fine", status: str = "200 OK", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode("utf-8") + body


def redirect(location: str, status: str = "302 Found", *headers: str) -> bytes:
    return reply(b"", status, f"Location: {location}", *headers)


class Server:
    """`answer` says what comes back; None leaves the client waiting until it gives up."""

    def __init__(self, tls: ssl.SSLContext | None = None, port: int = 0) -> None:
        self.answer: Answer = lambda seen: reply()
        self.port = port
        self.seen: list[Seen] = []
        self.names: list[str | None] = []
        """What TLS clients called the server."""
        self.connections = 0
        self.closed = asyncio.Event()
        """Set when a client has closed a connection."""
        self._tls = tls
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Server:
        if self._tls is not None:
            self._tls.sni_callback = lambda _socket, name, _context: self.names.append(name)
        # 127.0.0.0/8 is all loopback, so one server can be many hosts.
        self._server = await asyncio.start_server(self._serve, "0.0.0.0", self.port, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.close()
        self.hang_up()
        await self._server.wait_closed()

    def hang_up(self) -> None:
        """Close all connections once what was written has gone out."""
        for writer in self._writers:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        self.connections += 1
        number = self.connections
        try:
            while await self._one(reader, writer, number):
                pass
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # the client is gone, or the loop is closing
        finally:
            self._writers.discard(writer)
            self.closed.set()
            writer.close()

    async def _one(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int
    ) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, target, _ = head[0].split(" ")
        pairs = (line.partition(": ") for line in head[1:] if line)
        headers = tuple((name, value) for name, _, value in pairs)
        length = next((int(v) for n, v in headers if n.lower() == "content-length"), 0)
        seen = Seen(method, target, headers, await reader.readexactly(length), number)
        self.seen.append(seen)
        answer = self.answer(seen)
        if answer is None:
            await reader.read()
            return False
        writer.write(answer)
        await writer.drain()
        return b"Connection: close" not in answer


class Names:
    """A resolver that a test scripts. Each lookup takes the next answer; the last one stays."""

    def __init__(self, **names: list[list[str]]) -> None:
        self.answers = {name.replace("_", "."): answers for name, answers in names.items()}
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> list[str]:
        self.asked.append(host)
        answers = self.answers.get(host)
        if answers is None:
            raise OSError(f"no such host: {host}")
        return answers.pop(0) if len(answers) > 1 else answers[0]
