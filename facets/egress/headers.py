"""Which headers may pass, out and in."""

from __future__ import annotations

import re
from typing import NoReturn

from facets.egress.errors import EgressDenied
from facets.egress.messages import Headers
from facets.egress.urls import Target

COUNT = 100
SIZE = 32 << 10
"""Bytes of all headers of a request."""

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")

_HOP = frozenset(
    {
        "connection", "keep-alive", "proxy-authenticate", "proxy-authorization",
        "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
    }
)  # fmt: skip
"""They speak of the connection, which is the host's. The way of request smuggling."""

_REFUSED = _HOP | {
    # Waits for an answer that says "go on", and hangs where none comes.
    "expect",
    # A server that honours them does what another method or path says than the rule has seen.
    "x-http-method", "x-http-method-override", "x-method-override",
    "x-original-url", "x-rewrite-url",
}  # fmt: skip

_ACROSS = frozenset({"accept", "accept-language", "content-type", "range", "user-agent"})
"""What goes on to another origin. All else may be meant for the first one alone."""


def size(headers: Headers) -> int:
    """Bytes on the wire, for budgets."""
    return sum(len(name) + len(value) + 4 for name, value in headers)


def folded(name: str) -> str:
    """The name as lenient servers compare it: some take `X_Key` for `X-Key`."""
    return name.lower().replace("_", "-")


def outward(headers: Headers, target: Target, body: bytes) -> Headers:
    """A guest's headers as they may go out; `EgressDenied` with reason "header".

    What the host sets itself is dropped where it agrees and refused where it does not.
    """
    if len(headers) > COUNT or size(headers) > SIZE:
        _refuse(target, f"more than {COUNT} headers or {SIZE} bytes of them")
    kept: list[tuple[str, str]] = []
    for name, value in headers:
        value = value.strip(" \t")
        _well_formed(target, name, value)
        if not _ours(target, folded(name), value, body):
            kept.append((name, value))
    return tuple(kept)


def _well_formed(target: Target, name: str, value: str) -> None:
    if _NAME.fullmatch(name) is None:
        _refuse(target, f"the header name {name[:40]!a}")
    if _VALUE.fullmatch(value) is None:
        _refuse(target, f"the value of {name}, which has characters that end a line or a header")
    if folded(name) in _REFUSED:
        _refuse(target, f"the header {name}")


def plain(headers: Headers) -> bool:
    """Whether these are headers at all; for those that the host adds."""
    return all(_NAME.fullmatch(name) and _VALUE.fullmatch(value) for name, value in headers)


def _ours(target: Target, name: str, value: str, body: bytes) -> bool:
    if name == "host" and value.lower() not in (target.netloc, f"{target.netloc}:{target.port}"):
        _refuse(target, "a Host header that names another host than the URL")
    if name == "content-length" and value != str(len(body)):
        _refuse(target, "a Content-Length that is not the length of the body")
    return name in ("host", "content-length", "accept-encoding")


def _refuse(target: Target, what: str) -> NoReturn:
    raise EgressDenied(
        f"the request to {target.shown} is refused for {what}", reason="header", url=target.shown
    )


def across(headers: Headers) -> Headers:
    """What is left of headers when a redirect leads to another origin."""
    return tuple((name, value) for name, value in headers if folded(name) in _ACROSS)


def without(headers: Headers, names: frozenset[str]) -> Headers:
    """All but these, given folded."""
    return tuple((name, value) for name, value in headers if folded(name) not in names)


def inward(headers: Headers, decoded: bool, credentialed: bool) -> Headers:
    """A server's headers as a guest may see them.

    A cookie that was set in answer to credentials is a credential itself.
    """
    dropped = _HOP
    if decoded:
        dropped |= {"content-encoding", "content-length"}
    if credentialed:
        dropped |= {"set-cookie", "set-cookie2"}
    return without(headers, dropped)
