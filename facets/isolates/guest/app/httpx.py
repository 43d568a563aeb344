"""The part of httpx that tools use most, over the isolate's egress.

Synchronous calls hold up the whole isolate while they wait, those of `AsyncClient` do not. There
are no cookies, no authentication, no proxies and no transports of one's own; TLS is the host's.
As in httpx, redirects are answers unless `follow_redirects=True`.
"""

import json as json_
from http import HTTPStatus
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit, urlunsplit

from facets import errors
from isolate.web import Headers, decoded, prepare, send, send_now

_LATE = 5.0
"""Seconds that httpx waits if nobody says how long."""


class HTTPError(Exception):
    """Whatever goes wrong with a request."""

    def __init__(self, message, *, request=None):
        super().__init__(message)
        self.request = request


class RequestError(HTTPError):
    """There is no answer. The error of the egress is the cause."""


class TransportError(RequestError):
    """The same; httpx tells them apart."""


class ConnectError(TransportError):
    """The request was denied, or there is no connection."""


class TimeoutException(TransportError):
    """No answer in time."""


class HTTPStatusError(HTTPError):
    """What `raise_for_status` raises."""

    def __init__(self, message, *, request, response):
        super().__init__(message, request=request)
        self.response = response


class Timeout:
    """Seconds; the longest of those given is for the whole request."""

    def __init__(self, timeout=None, *, connect=None, read=None, write=None, pool=None):
        given = [one for one in (timeout, connect, read, write, pool) if one is not None]
        self.seconds = max(given, default=None)


class Request:
    """What was asked for."""

    def __init__(self, method, url, headers, content):
        self.method = method
        self.url = url
        self.headers = headers
        self.content = content

    def __repr__(self):
        return f"<Request({self.method!r}, {self.url!r})>"


class Response:
    """A whole answer."""

    def __init__(self, answer, request):
        self.status_code = answer["status"]
        self.headers = Headers(answer["headers"])
        self.content = answer["body"]
        self.url = answer["url"]
        self.request = request

    @property
    def text(self):
        """The body as text."""
        return decoded(self.content, self.headers)

    @property
    def reason_phrase(self):
        """What the status is called."""
        try:
            return HTTPStatus(self.status_code).phrase
        except ValueError:
            return ""

    @property
    def is_success(self):
        """Whether the status is 2xx."""
        return 200 <= self.status_code <= 299

    @property
    def is_redirect(self):
        """Whether the status is 3xx."""
        return 300 <= self.status_code <= 399

    @property
    def is_error(self):
        """Whether the status is 4xx or 5xx."""
        return self.status_code >= 400

    def json(self, **options):
        """The body as JSON."""
        return json_.loads(self.content, **options)

    def raise_for_status(self):
        """Raise HTTPStatusError unless the status is 2xx; the response itself otherwise."""
        if not self.is_success:
            message = f"{self.status_code} {self.reason_phrase} for url {self.url!r}"
            raise HTTPStatusError(message, request=self.request, response=self)
        return self

    def __repr__(self):
        return f"<Response [{self.status_code} {self.reason_phrase}]>"


class _Client:
    def __init__(
        self, *, base_url="", headers=None, params=None, timeout=_LATE, follow_redirects=False
    ):
        self.base_url = str(base_url)
        self.headers = Headers(headers or ())
        self.params = params
        self.timeout = timeout
        self.follow_redirects = follow_redirects
        self.is_closed = False

    def _asked(
        self, method, url, *, params=None, headers=None, content=None, data=None, json=None,
        timeout=..., follow_redirects=None,
    ):  # fmt: skip
        if self.is_closed:
            raise RuntimeError("this client is closed")
        pairs = Headers(headers or ()).pairs
        if data is not None:
            content = urlencode(data, doseq=True)
            pairs.append(["Content-Type", "application/x-www-form-urlencoded"])
        named = {name.lower() for name, _ in pairs}
        pairs += [pair for pair in self.headers.pairs if pair[0].lower() not in named]
        follow = self.follow_redirects if follow_redirects is None else follow_redirects
        return prepare(
            method.upper(), self._url(url, params), pairs, content, json,
            "follow" if follow else "manual", _seconds(self.timeout if timeout is ... else timeout),
        )  # fmt: skip

    def _url(self, url, params):
        url = str(url)
        if self.base_url and not urlsplit(url).netloc:
            url = urljoin(self.base_url.rstrip("/") + "/", url.lstrip("/"))
        found = [*_pairs(self.params), *_pairs(params)]
        if not found:
            return url
        parts = urlsplit(url)
        query = urlencode(parse_qsl(parts.query, keep_blank_values=True) + found)
        return urlunsplit(parts._replace(query=query))


class Client(_Client):
    """Requests that hold up the isolate while they wait."""

    def request(self, method, url, **options):
        """The answer to one request."""
        asked = self._asked(method, url, **options)
        try:
            return Response(send_now(asked), _request(asked))
        except errors.EgressError as error:
            raise _told(error, asked) from error

    def close(self):
        """No requests from here on."""
        self.is_closed = True

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class AsyncClient(_Client):
    """Requests to be awaited."""

    async def request(self, method, url, **options):
        """The answer to one request."""
        asked = self._asked(method, url, **options)
        try:
            return Response(await send(asked), _request(asked))
        except errors.EgressError as error:
            raise _told(error, asked) from error

    async def aclose(self):
        """No requests from here on."""
        self.is_closed = True

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        self.is_closed = True


def _method(name):
    def call(self, url, **options):
        return self.request(name, url, **options)

    return call


for _name in ("get", "post", "put", "patch", "delete", "head", "options"):
    setattr(_Client, _name, _method(_name.upper()))


def request(method, url, **options):
    """The answer to one request."""
    return Client().request(method, url, **options)


def get(url, **options):
    """The answer to a GET."""
    return request("GET", url, **options)


def post(url, **options):
    """The answer to a POST."""
    return request("POST", url, **options)


def put(url, **options):
    """The answer to a PUT."""
    return request("PUT", url, **options)


def patch(url, **options):
    """The answer to a PATCH."""
    return request("PATCH", url, **options)


def delete(url, **options):
    """The answer to a DELETE."""
    return request("DELETE", url, **options)


def head(url, **options):
    """The answer to a HEAD."""
    return request("HEAD", url, **options)


def _pairs(params):
    if not params:
        return []
    items = params.items() if hasattr(params, "items") else params
    return [
        (name, one)
        for name, value in items
        for one in (value if isinstance(value, (list, tuple)) else [value])
    ]


def _seconds(timeout):
    if isinstance(timeout, Timeout):
        return timeout.seconds
    return max(timeout) if isinstance(timeout, tuple) else timeout


def _request(asked):
    method, url, headers, body, *_ = asked
    return Request(method, url, Headers(headers), body)


def _told(error, asked):
    if isinstance(error, TimeoutError):
        kind = TimeoutException
    else:
        kind = ConnectError if isinstance(error, OSError) else RequestError
    return kind(str(error), request=_request(asked))


def __getattr__(name):
    raise AttributeError(f"httpx.{name} does not exist inside an isolate")
