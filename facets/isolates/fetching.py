"""Requests of code in an isolate, as services of the runtime (`own`).

    fetch  call    method, url, headers, body, redirect, timeout
                   -> {"status", "url", "headers", "body"}
    open   stream  the same; first {"status", "url", "headers"}, then the body in pieces

Headers are pairs in a list. A request leaves through the isolate's own exit, when everything
that the actor's code may have seen is durable.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

from actors.call import CURRENT
from actors.transaction import refuse
from facets.egress import idle, urls
from facets.egress.errors import EgressDenied, EgressFailed, EgressTimeout
from facets.egress.messages import Headers, Request
from storage.errors import FacetsError

if TYPE_CHECKING:
    from actors.activation import Activation
    from facets.egress.answer import StreamedResponse
    from facets.egress.egress import Egress, Exit
    from facets.egress.messages import Response
    from facets.isolates.own import Own


class Fetching:
    """The requests of one isolate of `owner`, whose code acts for `home`."""

    def __init__(
        self, egress: Egress | None, home: Activation, owner: Activation, label: str
    ) -> None:
        self._home = home
        self._owner = owner
        self._exit: Exit | None = None
        if egress is not None:
            self._exit = egress.exit(f"{home.id}: {label}", self._durable)
            home.node.host.on_close.add(idle.retire)

    def offer(self, own: Own) -> None:
        """Let the guest make them."""
        own.offer("fetch", self.fetch, waits=True)
        own.offer("open", self.open)

    async def fetch(self, *asked: Any) -> dict[str, Any]:
        """A whole answer."""
        request, seconds = _request(*asked)
        leaving = self._leave(request)
        async with _told(request), _in_time(request, seconds):
            answer = await leaving.fetch(request)
        return _head(answer) | {"body": answer.body}

    async def open(self, *asked: Any) -> AsyncGenerator[Any, None]:
        """An answer piece by piece; `timeout` is for its head."""
        request, seconds = _request(*asked)
        leaving = self._leave(request)
        async with _told(request):
            async with _in_time(request, seconds):
                answer = await leaving.open(request)
            async with answer:
                yield _head(answer)
                async for piece in answer:
                    yield piece

    def _leave(self, request: Request) -> Exit:
        """The exit, for code that from here on belongs to no actor: handlers, credentials."""
        if self._exit is None:
            raise EgressDenied(
                "this isolate was given no egress",
                hint="whoever loads it passes egress=facets.Egress([...]) to isolates.get or load",
                reason="none",
                url=urls.shown(request.url),
            )
        call = CURRENT.get()
        if call is not None:
            refuse(call, "a request to the outside")
            CURRENT.set(None)
        return self._exit

    async def _durable(self) -> None:
        # In a turn of its own: a sync that fails ends every actor, and must not find the task of
        # one of them below it on the stack, where it cannot be interrupted.
        await asyncio.sleep(0)
        home, owner = self._home, self._owner  # who has the record of this use
        await home.node.host.gate.passed(
            max(home.dependency, owner.dependency), max(home.remote, owner.remote)
        )


def _request(
    method: object, url: object, headers: object, body: object, redirect: object, timeout: object
) -> tuple[Request, float | None]:
    """What a guest asks for, and how many seconds it waits. What it means is checked later."""
    if type(method) is not str or type(url) is not str:
        raise TypeError("method and url are text")
    if type(headers) is not list or not all(_is_pair(pair) for pair in headers):
        raise TypeError("headers are pairs of texts in a list")
    if type(body) is not bytes:
        raise TypeError("the body is bytes")
    if redirect not in ("follow", "manual"):
        raise ValueError("redirect is 'follow' or 'manual'")
    pairs: Headers = tuple((name, value) for name, value in headers)
    return Request(method, url, pairs, body, redirect), _seconds(timeout)


def _seconds(timeout: object) -> float | None:
    if timeout is None:
        return None
    if type(timeout) not in (int, float) or not (seconds := cast("float", timeout)) > 0:
        raise ValueError("timeout is a positive number of seconds, or None")
    return min(seconds, 1e8)  # a number of any length is no error of the clock's


def _is_pair(pair: object) -> bool:
    return (
        type(pair) in (list, tuple)
        and len(cast("list[object]", pair)) == 2
        and all(type(text) is str for text in cast("list[object]", pair))
    )


def _head(answer: Response | StreamedResponse) -> dict[str, Any]:
    headers = [list(pair) for pair in answer.headers]
    return {"status": answer.status, "url": answer.url, "headers": headers}


@asynccontextmanager
async def _in_time(request: Request, seconds: float | None) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except FacetsError:
        raise
    except TimeoutError as error:
        shown = urls.shown(request.url)
        raise EgressTimeout(f"{shown} took more than {seconds} s", url=shown) from error


@asynccontextmanager
async def _told(request: Request) -> AsyncIterator[None]:
    """Keep the texts of the host's own failures from the guest: an audit's, a resolver's."""
    try:
        yield
    except FacetsError:
        raise
    except Exception as error:
        said = {"message": "a request of an isolate failed on this side", "exception": error}
        asyncio.get_running_loop().call_exception_handler(said)
        shown = urls.shown(request.url)
        raise EgressFailed(f"{shown}: it failed on the host's side", url=shown) from error
