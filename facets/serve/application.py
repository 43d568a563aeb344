"""The ASGI application: requests to any actor."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send

from actors.actor import Actor
from facets.serve.answering import Answering
from facets.serve.asking import Authenticate
from facets.serve.limits import ServeLimits
from facets.serve.reaching import Exposed, Runtime
from facets.serve.sockets import Sockets


def app(
    runtime: Runtime,
    *,
    expose: Iterable[type[Actor]],
    authenticate: Authenticate | None = None,
    origins: Iterable[str] = (),
    limits: ServeLimits | None = None,
    debug: bool = False,
) -> Starlette:
    """An ASGI application through which requests reach the actors of `runtime`.

    `POST /actors/KIND/NAME/METHOD` with the arguments as JSON calls a method, and an async
    generator streams; see docs/serve.md for every path. Only actors of the classes in `expose`
    are there, and of these the methods that other actors may call.

    A client that goes away cancels its call, as any caller does; steps that were committed are
    kept. A reply is durable before it leaves. All calls run on the event loop of the server, which
    for a `LocalRuntime` must be its own: one that is not open yet is opened when the server
    starts, and closed when it ends.

    `authenticate` is told what a request asks for (an `Ask`) and returns who asks, anything but
    None; without it whoever reaches the server may call. `origins` are those of pages of other
    sites that may ask ("https://example.com"). With `debug` an error says its traceback.
    """
    exposed = Exposed(runtime, expose)
    common = exposed, authenticate, tuple(origins), limits or ServeLimits()
    answering, sockets = Answering(*common, debug), Sockets(*common)

    async def either(scope: Scope, receive: Receive, send: Send) -> None:
        serve = sockets if scope["type"] == "websocket" else answering
        await serve(scope, receive, send)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with exposed.opened():
            yield

    made = Starlette(lifespan=lifespan)
    made.router.default = either  # routes match decoded paths, where a name's slash is a slash
    return made
