"""Answers from the network, where a rule allows it. Importing this imports httpx."""

from __future__ import annotations

import ssl
from collections.abc import (
    AsyncGenerator,
    Awaitable,
    Callable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import contextmanager
from inspect import isawaitable

import httpcore
import httpx

from facets.egress import headers, scrubbing
from facets.egress.answer import Raw
from facets.egress.connections import Connections
from facets.egress.errors import EgressDenied
from facets.egress.hop import Hop
from facets.egress.messages import Headers
from facets.egress.outgoing import Outgoing
from facets.egress.resolving import Resolver
from facets.egress.rules import Credentials, Rule, choose

AGENT = "facets"


class ByRules:
    """Over the network, where a rule allows it."""

    def __init__(
        self, rules: Sequence[Rule], resolver: Resolver, tls: ssl.SSLContext | None
    ) -> None:
        self._rules = tuple(rules)
        self._connections = Connections(resolver, tls)

    def permit(self, order: Outgoing) -> tuple[Rule, str]:
        """The first rule that fits."""
        rule = choose(self._rules, order.target, order.method)
        return rule, rule.label

    async def send(self, hop: Hop) -> Raw:
        """Add what the host adds, and send it over a connection of the rule's own."""
        order = _with_defaults(hop.order)
        secret: Mapping[str, str] = {}
        if order.trusted and hop.rule.credentials is not None:
            secret = await _credentials(hop, hop.rule.credentials)
            order = order.with_headers(secret)
        hop.start(order)
        pools = self._connections.here()
        transport = pools.take(hop.rule)
        try:
            with _network_errors(hop):
                answer = await hop.in_time(transport.handle_async_request(_request(hop, order)))
        except BaseException:
            pools.give_back()
            raise
        return _raw(hop, answer, secret, _once(answer, pools.give_back))

    async def close(self) -> None:
        """Close the connections."""
        await self._connections.close()


def _with_defaults(order: Outgoing) -> Outgoing:
    """What the host says of itself. Other codings than gzip could not be looked into; part of
    a compressed body could not be decompressed."""
    names = {headers.folded(name) for name, _ in order.headers}
    added = {"Accept-Encoding": "identity" if "range" in names else "gzip"}
    if "user-agent" not in names:
        added["User-Agent"] = AGENT
    return order.with_headers(added)


async def _credentials(hop: Hop, source: Credentials) -> Mapping[str, str]:
    try:
        found = source(hop.order.request) if callable(source) else source
        found = await found if isawaitable(found) else found
    except Exception as error:
        # Its text may say what the guest must not know; the cause stays on the host's side.
        raise hop.failed("its credentials could not be had") from error
    if not headers.plain(tuple(found.items())):
        raise hop.failed("its credentials are not headers")
    return found


def _request(hop: Hop, order: Outgoing) -> httpx.Request:
    target, rule = order.target, hop.rule
    url = httpx.URL(
        scheme=target.scheme, host=target.host, port=target.port, raw_path=target.resource.encode()
    )
    # The parts were not parsed again, only put together; this says that they came through.
    if (url.host, url.netloc, url.raw_path) != (
        target.host, target.netloc.encode(), target.resource.encode()
    ):  # fmt: skip
        raise EgressDenied(
            f"the URL {target.shown} can be read in two ways", reason="url", url=target.shown
        )
    idle, connect = rule.timeouts.idle, rule.timeouts.connect
    timeouts = {"connect": connect, "read": idle, "write": idle, "pool": connect}
    fields = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in order.headers]
    return httpx.Request(
        order.method, url, headers=fields, content=order.body, extensions={"timeout": timeouts}
    )


def _raw(
    hop: Hop,
    answer: httpx.Response,
    secret: Mapping[str, str],
    close: Callable[[], Awaitable[None]],
) -> Raw:
    peer = answer.extensions["network_stream"].get_extra_info("server_addr")
    hop.entry.address = str(peer[0]) if peer else ""
    fields: Headers = tuple(
        (name.decode("latin-1"), value.decode("latin-1")) for name, value in answer.headers.raw
    )
    return Raw(
        status=answer.status_code,
        headers=fields,
        body=_body(hop, answer),
        close=close,
        credentialed=bool(secret),
        secrets=scrubbing.forms(secret.values()),
    )


async def _body(hop: Hop, answer: httpx.Response) -> AsyncGenerator[bytes, None]:
    with _network_errors(hop):
        assert isinstance(answer.stream, httpx.AsyncByteStream)  # noqa: S101 - our own
        async for data in answer.stream:
            yield data


def _once(answer: httpx.Response, then: Callable[[], None]) -> Callable[[], Awaitable[None]]:
    closed = False

    async def close() -> None:
        nonlocal closed
        if not closed:
            closed = True
            try:
                await answer.aclose()
            finally:
                then()

    return close


@contextmanager
def _network_errors(hop: Hop) -> Iterator[None]:
    """httpcore's errors as the hop tells them."""
    try:
        yield
    except httpcore.TimeoutException as error:
        raise TimeoutError from error
    except httpcore.ConnectError as error:
        raise hop.failed(_why(error)) from error
    except (httpcore.ProtocolError, httpcore.UnsupportedProtocol) as error:
        raise hop.failed("what it answers is not HTTP, or stops in the middle") from error
    except httpcore.NetworkError as error:
        raise hop.failed("the connection broke") from error


def _why(error: httpcore.ConnectError) -> str:
    # The pool raises its errors from None; what they were made of stands in their arguments.
    if any(isinstance(one, ssl.SSLError) for one in error.args):
        return "its certificate is not accepted, or it does not speak TLS"
    return "there is no connection to it"
