"""`http.client` over the isolate's egress, and with it `urllib.request` and what builds on them.

A connection writes into a `Wire` in the place of a socket. The wire reads the request from what
was written, asks the host, and gives the answer back as the bytes of HTTP, so that parsing,
redirects, authentication and cookies are the library's own. No TLS is spoken here: the host
verifies.
"""

import http
import http.client
import io
import socket
import types

from isolate import web

_DROPPED = frozenset({"connection", "keep-alive", "proxy-connection", "te", "content-length",
    "transfer-encoding"})  # fmt: skip
"""About the connection, which is the host's."""


class Wire:
    """What stands in for the socket of one connection."""

    def __init__(self, origin, timeout):
        self._origin = origin
        self._timeout = None if timeout is socket._GLOBAL_DEFAULT_TIMEOUT else timeout
        self._sent = bytearray()
        self._answer = None

    def sendall(self, data):
        """Part of a request."""
        self._sent += data

    def exchange(self):
        """Have the request answered, which is complete."""
        if self._answer is None:
            asked, self._sent = bytes(self._sent), bytearray()
            self._answer = _written(web.send_now(_read(asked, self._origin, self._timeout)))

    def makefile(self, mode="rb", buffering=-1):
        """The answer."""
        self.exchange()
        answer, self._answer = self._answer, None
        return io.BufferedReader(io.BytesIO(answer))

    def settimeout(self, timeout):
        """Seconds for the next request."""
        self._timeout = timeout

    def close(self):
        """Nothing is open."""


def _read(sent, origin, timeout):
    head, _, body = sent.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ", 2)
    if target[:1] != "/":
        raise PermissionError("an isolate's egress is no proxy, and reaches none")
    pairs = [line.split(":", 1) for line in lines]
    if any(name.lower() == "transfer-encoding" for name, _ in pairs):
        body = _joined(body)
    kept = [[name, value.strip()] for name, value in pairs if name.lower() not in _DROPPED]
    return [method, origin + target, kept, body, "manual", timeout]


def _joined(body):
    """A body without its chunks."""
    parts, at = [], 0
    while True:
        end = body.index(b"\r\n", at)
        size = int(body[at:end], 16)
        if not size:
            return b"".join(parts)
        parts.append(body[end + 2 : end + 2 + size])
        at = end + 4 + size


def _written(answer):
    status, body = answer["status"], answer["body"]
    try:
        phrase = http.HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    lines = [f"HTTP/1.1 {status} {phrase}"]
    for name, value in answer["headers"]:
        if body and name.lower() == "content-length":
            continue
        lines.append(f"{name}: {' '.join(value.splitlines())}")
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace") + body


def _connect(connection):
    host = f"[{connection.host}]" if ":" in connection.host else connection.host
    port = "" if connection.port == connection.default_port else f":{connection.port}"
    secure = isinstance(connection, HTTPSConnection)
    origin = f"{'https' if secure else 'http'}://{host}{port}"
    connection.sock = Wire(origin, connection.timeout)


_send_request = http.client.HTTPConnection.request


def _request(connection, method, url, body=None, headers={}, *, encode_chunked=False):  # noqa: B006
    """As the original; what fails on the way fails here, as it does with a socket."""
    _send_request(connection, method, url, body, headers, encode_chunked=encode_chunked)
    connection.sock.exchange()


class HTTPSConnection(http.client.HTTPConnection):
    """`http.client` has it only where there is `ssl`. `context` changes nothing."""

    default_port = http.client.HTTPS_PORT

    def __init__(self, host, port=None, *, context=None, **options):
        super().__init__(host, port, **options)


HTTPSConnection.__module__ = "http.client"


def install():
    """Before `urllib.request` is imported: it looks for HTTPSConnection then."""
    http.client.HTTPConnection.connect = _connect
    http.client.HTTPConnection.request = _request
    http.client.HTTPSConnection = HTTPSConnection
    http.client.__all__.append("HTTPSConnection")
    http.client._create_https_context = lambda http_version: types.SimpleNamespace()
