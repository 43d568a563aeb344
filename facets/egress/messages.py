"""Request and Response, as an isolate and a handler see them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Request:
    """What an isolate asks for. Anything may stand in it; `Egress` checks it.

    `Host`, `Content-Length` and `Accept-Encoding` are set by the host. With `redirect="manual"`
    a redirect is an answer like any other, and following it is a request like any other.
    """

    method: str
    url: str
    headers: Headers = ()
    body: bytes = field(default=b"", repr=False)
    redirect: Literal["follow", "manual"] = "follow"


@dataclass(frozen=True, slots=True)
class Response:
    """What came back. Headers keep order and repetition; gzip is already undone.

    `url` is where it came from after redirects; a handler may leave it empty.
    """

    status: int
    headers: Headers = ()
    body: bytes = field(default=b"", repr=False)
    url: str = ""

    def header(self, name: str) -> str | None:
        """The first header of that name, in any case."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)
