"""The other side: a served actor, used from Python as if it were here."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Generator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload
from urllib.parse import quote, urlencode

import httpx
import msgspec

from actors.actor import Actor
from facets.serve import terms
from facets.serve.encoding import encode
from facets.serve.errors import ServerLost
from facets.serve.failures import raised
from facets.serve.shapes import Shape, converted, shape_of
from facets.serve.streaming import Lines

if TYPE_CHECKING:
    from websockets.asyncio.client import connect

    from facets.serve.blocking import BlockingClient

A = TypeVar("A", bound=Actor)
_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class Client:
    """Actors of a server, by its url: `client.get("Tally", "alice").add("octopus")` is awaited.

    Use it as an async context manager. A call raises what the actor raised, as the class that it
    is here, with its fields and hint; `CallFailed` for one that is not known here; `ServerLost`
    when the connection broke: the call may have run. `with facets.deadline(...)` holds there too,
    and cancelling a call cancels it there.

    Arguments: `token`, sent as a bearer; `headers`, sent with every request; `http`, a client to
    use in the place of a new one, with its own timeouts.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        headers: Mapping[str, str] = _NO_HEADERS,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        self.url = url.rstrip("/")
        self.headers = dict(headers)
        if token is not None:
            self.headers["authorization"] = f"Bearer {token}"
        # Calls take as long as they take; a deadline bounds them.
        self.http = http or httpx.AsyncClient(timeout=httpx.Timeout(None, connect=10.0))
        self._mine = http is None

    def blocking(self) -> BlockingClient:
        """The same for code that is not asynchronous: `with client.blocking() as client:`."""
        from facets.serve.blocking import BlockingClient

        return BlockingClient(lambda: Client(self.url, headers=self.headers))

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        if self._mine:
            await self.http.aclose()

    @overload
    def get(self, cls: type[A], name: str) -> A: ...
    @overload
    def get(self, cls: str, name: str) -> Any: ...
    def get(self, cls: type[A] | str, name: str) -> Any:
        """An actor by its kind, or by its class: then arguments may be mixed, and results become
        what the methods annotate. Nothing is asked yet."""
        if isinstance(cls, str):
            return RemoteActor(self, f"/actors/{_quoted(cls)}/{_quoted(name)}", None)
        return cast(A, RemoteActor(self, f"/actors/{_quoted(cls.kind)}/{_quoted(name)}", cls))

    async def list(self, cls: type[Actor] | str) -> AsyncGenerator[str, None]:
        """The names of a kind, sorted; only where the server allows it."""
        kind = cls if isinstance(cls, str) else cls.kind
        after, more = "", True
        while more:
            query = urlencode({"after": after})
            url = f"{self.url}/actors/{_quoted(kind)}?{query}"
            page = _answer(await self._asked(self.http.build_request("GET", url)))
            for name in page["names"]:
                after = name
                yield name
            more = page["more"]

    async def _asked(
        self, request: httpx.Request, key: str | None = None, *, stream: bool = False
    ) -> httpx.Response:
        request.headers.update(self.headers)
        request.headers.update(terms.made(key))
        try:
            return await self.http.send(request, stream=stream)
        except httpx.TransportError as error:
            raise _lost(error) from error


class RemoteActor:
    """One actor or facet of a server. Its methods are awaited or iterated, like those of a stub."""

    __slots__ = ("_client", "_cls", "_path")

    def __init__(self, client: Client, path: str, cls: type[Actor] | None) -> None:
        self._client = client
        self._path = path
        self._cls = cls

    def facet(self, name: str, cls: type[Actor] | None = None) -> Any:
        """A facet below it, where it opens that to requests; of this class, if that is given."""
        return RemoteActor(self._client, f"{self._path}/facets/{_quoted(name)}", cls)

    def socket(self, **query: str) -> connect:
        """A WebSocket to it: `async with actor.socket(...) as socket:` (of `websockets`)."""
        from websockets.asyncio.client import connect

        url = "ws" + self._client.url.removeprefix("http")
        asked = f"?{urlencode(query)}" if query else ""
        return connect(f"{url}{self._path}/socket{asked}", additional_headers=self._client.headers)

    def __getattr__(self, name: str) -> RemoteMethod:
        if name.startswith("_"):
            raise AttributeError(f"an actor has no {name} that is open to requests")
        shape = None if self._cls is None else shape_of(self._cls, name)
        return RemoteMethod(self._client, f"{self._path}/{_quoted(name)}", shape)

    def __repr__(self) -> str:
        return f"<actor {self._client.url}{self._path}>"


class RemoteMethod:
    """One method, ready to be called."""

    __slots__ = ("_client", "_path", "_shape")

    def __init__(self, client: Client, path: str, shape: Shape | None) -> None:
        self._client = client
        self._path = path
        self._shape = shape

    def __call__(self, *args: Any, idempotency_key: str | None = None, **kwargs: Any) -> Sent:
        """Make the call; it leaves when it is awaited or iterated."""
        if args and kwargs:
            if self._shape is None:
                raise TypeError("pass arguments by position or by name; or get the actor by class")
            kwargs = {**dict(zip(self._shape.names, args, strict=False)), **kwargs}
            args = ()
        body = encode(kwargs or list(args))
        return Sent(self._client, self._path, body, idempotency_key, self._shape)


class Sent(Coroutine[Any, Any, Any]):
    """A call before it leaves: await it, make a task of it, or iterate it."""

    __slots__ = ("_body", "_client", "_key", "_path", "_running", "_shape")

    def __init__(
        self, client: Client, path: str, body: bytes, key: str | None, shape: Shape | None
    ) -> None:
        self._client = client
        self._path = path
        self._body = body
        self._key = key
        self._shape = shape
        self._running: Coroutine[Any, Any, Any] | None = None

    async def _call(self) -> Any:
        response = await self._client._asked(self._request("application/json"), self._key)
        if response.headers.get("content-type", "").startswith(_STREAMS):
            raise TypeError(f"{self._path} is a stream: use `async for`, not `await`")
        return self._converted(_answer(response))

    async def _stream(self) -> AsyncGenerator[Any, None]:
        request = self._request(Lines.media)
        response = await self._client._asked(request, self._key, stream=True)
        try:
            if response.headers.get("content-type", "") != Lines.media:
                await response.aread()
                _answer(response)
                raise TypeError(f"{self._path} is not a stream: use `await`, not `async for`")
            async for item in _items(response):
                yield self._converted(item)
        except httpx.TransportError as error:
            raise _lost(error) from error
        finally:
            await response.aclose()

    def _request(self, accept: str) -> httpx.Request:
        return self._client.http.build_request(
            "POST",
            self._client.url + self._path,
            content=self._body,
            headers={"content-type": "application/json", "accept": accept},
        )

    def _converted(self, value: Any) -> Any:
        return value if self._shape is None else converted(value, self._shape.returns)

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._call().__await__()

    def __aiter__(self) -> AsyncIterator[Any]:
        return self._stream()

    def send(self, value: Any) -> Any:
        """Part of the coroutine protocol, for tasks."""
        if self._running is None:
            self._running = self._call()
        return self._running.send(value)

    def throw(self, *error: Any) -> Any:
        """Part of the coroutine protocol, for tasks."""
        if self._running is None:
            self._running = self._call()
        return self._running.throw(*error)

    def close(self) -> None:
        """Part of the coroutine protocol: give the call up."""
        if self._running is not None:
            self._running.close()


_STREAMS = ("text/event-stream", Lines.media)


async def _items(response: httpx.Response) -> AsyncGenerator[Any, None]:
    async for line in response.aiter_lines():
        if not line:
            continue  # a sign of life
        told = msgspec.json.decode(line)
        if "item" in told:
            yield told["item"]
        elif "error" in told:
            raise raised(told["error"], 500)
        else:
            return
    raise ServerLost("the stream was cut off before its end")


def _answer(response: httpx.Response) -> Any:
    """What an answer says, or raises."""
    try:
        told = msgspec.json.decode(response.content)
    except msgspec.DecodeError as error:
        raise ServerLost(
            f"the answer, of status {response.status_code}, is not of such a server",
            hint="look at what stands between: a proxy, a wrong url",
        ) from error
    if response.is_success:
        return told
    raise raised(told.get("error", {}), response.status_code)


def _lost(error: httpx.TransportError) -> ServerLost:
    return ServerLost(f"the connection to the server failed: {error or type(error).__name__}")


def _quoted(part: str) -> str:
    # Dots too: what stands between may take "..", quoted or not, as a step up.
    return quote(part, safe="") if part.strip(".") else part.replace(".", "%2E")
