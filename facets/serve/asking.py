"""Who asks for what: the request as the authentication hook sees it, and where it leads."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import quote, unquote_to_bytes

from starlette.requests import HTTPConnection

from facets.serve.errors import NotAllowed, NotAuthenticated, NotServed

Verb = Literal["call", "list", "socket"]


@dataclass(frozen=True)
class Ask:
    """What a request asks for. Names are as they are, not as the url quotes them."""

    verb: Verb
    """"call" for methods and streams, "socket", or "list" for the names of a kind."""
    kind: str
    name: str = ""
    """Of the actor; "" for "list"."""
    facets: tuple[str, ...] = ()
    """The way down from the actor to a facet."""
    method: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    client: str = ""
    """The address that the request came from."""


Authenticate = Callable[[Ask], Awaitable[object] | object]
"""Says who asks: anything but None. None is 401, `NotAllowed` or another PermissionError 403."""


async def admitted(authenticate: Authenticate | None, ask: Ask) -> object:
    """Who asks, if they may; None where nobody is asked to say it."""
    if authenticate is None:
        if ask.verb == "list":
            raise NotAllowed("names are listed only where somebody says who may see them")
        return None
    try:
        who = authenticate(ask)
        who = await who if inspect.isawaitable(who) else who
    except (NotAuthenticated, NotAllowed):
        raise
    except PermissionError as error:
        raise NotAllowed(str(error) or "not allowed") from error
    if who is None:
        raise NotAuthenticated("the request does not say who asks")
    return who


# -- paths -----------------------------------------------------------------------------------------


def segments(scope: Mapping[str, Any]) -> list[str]:
    """The parts of the path below the application, each as it was before it was quoted.

    From the raw path: an actor's name may hold slashes, which `%2F` in the decoded path would be.
    """
    raw: bytes = scope.get("raw_path") or quote(scope["path"]).encode()
    below = quote(scope.get("root_path", "")).encode()
    raw = raw.partition(b"?")[0].removeprefix(below)
    try:
        return [unquote_to_bytes(one).decode() for one in raw.split(b"/")[1:]]
    except UnicodeDecodeError as error:
        raise NotServed("the path is not UTF-8") from error


def ask_of(connection: HTTPConnection, verb: Verb, parts: list[str]) -> Ask:
    """What the path of a request names: `/actors/KIND/NAME[/facets/FACET...]/METHOD`."""
    if verb == "list" and len(parts) == 2 and parts[0] == "actors":
        return _ask(connection, verb, parts[1], "", (), "")
    if len(parts) < 4 or parts[0] != "actors":
        raise NotServed("there is no such path", hint="POST /actors/KIND/NAME/METHOD calls")
    _, kind, name, *rest = parts
    below: list[str] = []
    while len(rest) > 2 and rest[0] == "facets":
        below.append(rest[1])
        rest = rest[2:]
    if len(rest) != 1:
        raise NotServed("there is no such path", hint="a slash inside of a name is written %2F")
    return _ask(connection, verb, kind, name, tuple(below), rest[0])


def _ask(
    connection: HTTPConnection,
    verb: Verb,
    kind: str,
    name: str,
    below: tuple[str, ...],
    method: str,
) -> Ask:
    return Ask(
        verb=verb,
        kind=kind,
        name=name,
        facets=below,
        method=method,
        headers=connection.headers,
        query=connection.query_params,
        client=connection.client.host if connection.client else "",
    )


def check_origin(connection: HTTPConnection, allowed: Sequence[str]) -> None:
    """Refuse a page of another site: a browser would send the user's cookies along."""
    origin = connection.headers.get("origin")
    if origin is None:
        if connection.headers.get("sec-fetch-site") == "cross-site":
            raise NotAllowed("another site may not ask here")
        return
    host = connection.headers.get("host", "")
    if origin.partition("://")[2] != host and origin not in allowed and "*" not in allowed:
        raise NotAllowed(
            "pages of that origin may not ask here", hint="facets.serve.app(..., origins=[...])"
        )
