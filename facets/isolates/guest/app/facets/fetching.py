"""`fetch`: requests through the isolate's egress, the only way out of it."""

import contextlib
import json as json_

from facets.errors import StatusError
from isolate import web


class Head:
    """Status and headers of an answer."""

    __slots__ = ("headers", "status", "url")

    def __init__(self, answer):
        self.status = answer["status"]
        self.url = answer["url"]
        self.headers = web.Headers(answer["headers"])

    @property
    def ok(self):
        """Whether the status is 2xx."""
        return 200 <= self.status <= 299

    def raise_for_status(self):
        """Raise `facets.errors.StatusError` for 4xx and 5xx; the response itself otherwise."""
        if self.status >= 400:
            shown = self.url.partition("?")[0]
            raise StatusError(f"{shown} answered {self.status}", status=self.status, url=shown)
        return self

    def __repr__(self):
        return f"<{type(self).__name__} {self.status} {self.url.partition('?')[0]}>"


class Response(Head):
    """A whole answer."""

    __slots__ = ("_body",)

    def __init__(self, answer):
        super().__init__(answer)
        self._body = answer["body"]

    def bytes(self):
        """The body."""
        return self._body

    def text(self):
        """The body as text, by the charset of its Content-Type, else UTF-8."""
        return web.decoded(self._body, self.headers)

    def json(self):
        """The body as JSON."""
        return json_.loads(self._body)


class Streamed(Head):
    """An answer whose body comes in pieces: `async for piece in response`."""

    __slots__ = ("_pieces",)

    def __init__(self, answer, pieces):
        super().__init__(answer)
        self._pieces = pieces

    def __aiter__(self):
        return self._pieces


async def fetch(
    url, method="GET", headers=None, body=None, json=None, redirect="follow", timeout=None
):
    """The whole answer to one request.

    `body` is bytes or text, `json` anything that JSON has. Redirects are followed unless
    `redirect="manual"`. Raises EgressDenied (PermissionError) if it may not leave, EgressTimeout
    (TimeoutError), EgressFailed (ConnectionError), EgressTooLarge or EgressBudget; a status is
    no error. What this step wrote is committed first.
    """
    asked = web.prepare(method, url, headers, body, json, redirect, timeout)
    return Response(await web.send(asked))


@contextlib.asynccontextmanager
async def stream(
    url, method="GET", headers=None, body=None, json=None, redirect="follow", timeout=None
):
    """The same, with a body in pieces: `async with fetch.stream(url) as response:`.

    `timeout` is for the answer to begin. Leaving the block closes the connection.
    """
    asked = web.prepare(method, url, headers, body, json, redirect, timeout)
    pieces = web.opened(asked)
    async with contextlib.aclosing(pieces):
        yield Streamed(await anext(pieces), pieces)


fetch.stream = stream
