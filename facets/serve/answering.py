"""Requests for methods: read, call, answer."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from facets.serve import terms
from facets.serve.asking import Ask, Authenticate, admitted, ask_of, check_origin, segments
from facets.serve.disconnects import Gone, while_there
from facets.serve.encoding import encode
from facets.serve.errors import BadArguments, NotServed, TooLarge, TooMany
from facets.serve.failures import headers_of, said, status_of
from facets.serve.limits import ServeLimits
from facets.serve.openapi import document
from facets.serve.reaching import Exposed, shape_below
from facets.serve.shapes import Shape
from facets.serve.streaming import OVER, Streaming, form_of

PLAIN = {"cache-control": "no-store", "x-content-type-options": "nosniff"}
_RAW = [(name.encode(), value.encode()) for name, value in PLAIN.items()]
PAGE = 1_000
"""Names in one answer."""


@dataclass
class Answering:
    """Answers every request of one application, as an ASGI application of its own."""

    exposed: Exposed
    authenticate: Authenticate | None
    origins: tuple[str, ...]
    limits: ServeLimits
    debug: bool
    calls: int = field(default=0, init=False)
    """In progress."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        request = Request(scope, receive, send)
        try:
            await self._answer(request, receive, send)
        except Gone:
            return
        except Exception as error:
            await self._failed(error)(scope, receive, send)

    def _failed(self, error: Exception) -> Response:
        status = status_of(error)
        told = {"error": said(error, debug=self.debug)}
        return _json(encode(told), status, headers_of(error, status))

    async def _answer(self, request: Request, receive: Receive, send: Send) -> None:
        parts = segments(request.scope)
        response: Response | None = None
        if request.method in ("GET", "HEAD") and parts == ["healthz"]:
            self.exposed.check_open()
            response = _json(b'{"status":"ok"}')
        elif request.method in ("GET", "HEAD") and parts == ["openapi.json"]:
            response = _json(document(self.exposed))
        else:
            check_origin(request, self.origins)
            if request.method == "GET" and len(parts) == 2:
                response = await self._list(request, parts)
            else:
                with self._one_more():
                    await self._call(request, parts, receive, send)
        if response is not None:
            await response(request.scope, receive, send)

    async def _list(self, request: Request, parts: list[str]) -> Response:
        ask = ask_of(request, "list", parts)
        await admitted(self.authenticate, ask)
        after = ask.query.get("after", "")
        names = [name for name in await self.exposed.names(ask.kind) if name > after]
        more = len(names) > PAGE
        return _json(encode({"names": names[:PAGE], "more": more}))

    @contextlib.contextmanager
    def _one_more(self) -> Iterator[None]:
        if self.calls >= self.limits.calls:
            raise TooMany(f"{self.calls} calls are in progress here", limit=self.limits.calls)
        self.calls += 1
        try:
            yield
        finally:
            self.calls -= 1

    # -- methods -----------------------------------------------------------------------------

    async def _call(self, request: Request, parts: list[str], receive: Receive, send: Send) -> None:
        ask = ask_of(request, "call", parts)
        await admitted(self.authenticate, ask)
        shape = self.exposed.shape(ask)
        body = await self._arguments(request)
        streaming = Streaming(send, form_of(request.headers.get("accept", "")), _RAW)
        work = self._do(ask, shape, body, request, streaming)
        response = await while_there(receive, work)
        if response is not None:
            await response(request.scope, receive, send)

    async def _do(
        self, ask: Ask, shape: Shape | None, body: object, request: Request, streaming: Streaming
    ) -> Response | None:
        """The response; None if it was sent, as a stream."""
        told = None
        try:
            with terms.kept(request.headers):
                response = await self._run(ask, shape, body, request, streaming)
        except Exception as error:
            if not streaming.started:
                raise
            response, told = None, said(error, debug=self.debug)
        if response is None:
            await streaming.finish(told)
        return response

    async def _run(
        self, ask: Ask, shape: Shape | None, body: object, request: Request, streaming: Streaming
    ) -> Response | None:
        target = await self.exposed.target(ask)
        shape = shape or shape_below(target, ask)
        named = _named(shape, ask, body, strict=request.method == "POST")
        streams = streaming.wanted if shape is None else shape.kind == "stream"
        if request.method != "POST" and not streams:
            raise NotServed("GET is for streams", hint="POST the arguments")
        last = request.headers.get("last-event-id", "") if streams else ""
        if last == OVER.decode():
            return Response(status_code=204, headers=PLAIN)
        if last.isdecimal() and shape is not None and "after" in shape.names:
            named["after"] = int(last)
        named.update(terms.named(request.headers, streams=streams))
        reply = getattr(target, ask.method)(**named)
        if not streams:
            return _json(encode(await reply))
        await streaming.run(aiter(reply), self.limits.heartbeat)
        return None

    async def _arguments(self, request: Request) -> object:
        if request.method == "GET":
            query = request.query_params
            return {name: _one_or_all(query.getlist(name)) for name in query}
        if request.method != "POST":
            raise NotServed("methods are called by POST, streams by GET as well")
        body = await self._body(request)
        if not body:
            return None
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise BadArguments(
                "arguments are sent as application/json", hint="set the Content-Type header"
            )
        try:
            return msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise BadArguments(f"the body is not JSON: {error}") from error

    async def _body(self, request: Request) -> bytes:
        most = self.limits.body
        said = request.headers.get("content-length", "0")
        if said.isdecimal() and int(said) > most:
            raise TooLarge(f"arguments take at most {most} bytes", limit=most)
        body = bytearray()
        async for part in request.stream():
            body += part
            if len(body) > most:
                raise TooLarge(f"arguments take at most {most} bytes", limit=most)
        return bytes(body)


def _named(shape: Shape | None, ask: Ask, body: object, *, strict: bool) -> dict[str, Any]:
    if shape is not None:
        return shape.bind(body, strict=strict)
    if isinstance(body, dict):
        return body
    if body is None:
        return {}
    raise BadArguments(f"{ask.method}: arguments of a facet are a JSON object, by name")


def _one_or_all(values: list[str]) -> str | list[str]:
    return values[0] if len(values) == 1 else values


def _json(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(body, status, {**PLAIN, **(headers or {})}, "application/json")
