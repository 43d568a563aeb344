"""Egress, and the Exit that one isolate gets."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import final

from facets.egress import headers, resolving, urls
from facets.egress.answer import StreamedResponse
from facets.egress.audit import Entry, Sink
from facets.egress.budget import Account, Budget
from facets.egress.errors import EgressDenied, EgressError
from facets.egress.handler import ByHandler, Handler
from facets.egress.hop import Hop
from facets.egress.messages import Request, Response
from facets.egress.outgoing import REDIRECTS, Outgoing
from facets.egress.resolving import Resolver
from facets.egress.route import Route
from facets.egress.rules import Rule

Before = Callable[[], Awaitable[None]]


@final
class Egress:
    """The only way out of an isolate: what no rule allows is denied.

        Egress([
            Rule("api.example.com", paths=["/v1/**"], methods=["GET", "POST"],
                 credentials={"Authorization": f"Bearer {key}"}),
            Rule("*.example.org"),
        ])

    The first rule that fits decides, for the request and again for each redirect. Names are
    resolved here, addresses that are not public refused unless the rule opens them, and the
    connection made to the address that was checked. No proxy, cookie or password of this
    machine's environment takes part.

    `rules` allow requests over the network (needs the extra `egress`). A `handler` takes their
    place: `async def handler(request: Request) -> Response` sees every well-formed request, and
    raises PermissionError for what it refuses; its redirects are followed, through itself.
    `budget` is what each exit may use, `redirects` how many are followed in a row. `audit` is
    called with an `Attempt` for everything that is tried, on the loop's thread; what it raises
    fails the request. `resolver` finds the addresses of a name. `tls` verifies other
    certificates than those of the public authorities.

    May be shared by many isolates and used on several loops; connections are kept for five idle
    seconds. Use it as an async context manager, or call `close`, to end them at once.
    """

    def __init__(
        self,
        rules: Sequence[Rule] = (),
        *,
        handler: Handler | None = None,
        budget: Budget | None = None,
        redirects: int = 5,
        audit: Sink | None = None,
        resolver: Resolver = resolving.system,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        if handler is not None and rules:
            raise ValueError("a handler takes the place of rules: give one of them")
        self.budget = budget or Budget()
        self.redirects = redirects
        self.audit = audit
        self.route: Route
        if handler is not None:
            self.route = ByHandler(handler)
        else:
            self.route = _network(rules, resolver, tls)
        self._own = self.exit()

    def exit(self, who: str = "", before: Before | None = None) -> Exit:
        """A way out with a budget of its own.

        `who` stands in the audit. `before` is awaited ahead of everything that leaves, lookups
        and credentials functions included: it returns when what the request depends on is
        durable, and what it raises keeps the request from leaving.
        """
        return Exit(self, who, before)

    async def fetch(self, request: Request) -> Response:
        """The answer to one request, through an exit that all callers of this method share."""
        return await self._own.fetch(request)

    async def close(self) -> None:
        """Close the connections of the running loop; requests under way fail."""
        await self.route.close()

    async def __aenter__(self) -> Egress:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()


def _network(rules: Sequence[Rule], resolver: Resolver, tls: ssl.SSLContext | None) -> Route:
    try:
        from facets.egress.network import ByRules
    except ImportError as error:
        raise EgressError(
            "rules need httpx", hint="pip install 'facets-runtime[egress]'"
        ) from error
    return ByRules(rules, resolver, tls)


@final
class Exit:
    """One isolate's way out: a name for the audit, a budget, and what to wait for first.

    Belongs to the loop it is used on. Requests may run at the same time. One that is cancelled
    closes its connection; it may have arrived.
    """

    def __init__(self, egress: Egress, who: str, before: Before | None) -> None:
        """Use `Egress.exit`."""
        self._egress = egress
        self._who = who
        self._before = before
        self._account = Account(egress.budget)

    async def fetch(self, request: Request) -> Response:
        """The whole answer to one request, redirects followed.

        Raises EgressDenied if it may not leave, EgressTooLarge, EgressTimeout or EgressFailed if
        there is no answer that fits, an EgressBudget if the exit has used up what it may.
        """
        async with await self.open(request) as answer:
            return await answer.read()

    async def open(self, request: Request) -> StreamedResponse:
        """As `fetch`, with a body that is read as it comes; to be closed by the caller."""
        order = self._checked(request)
        answer = await self._ask(order, 0)
        hop = 0
        while request.redirect == "follow" and (location := _location(answer)) is not None:
            await answer.aclose()
            hop += 1
            order = self._following(order, answer.status, location, hop)
            answer = await self._ask(order, hop)
        return answer

    def _entry(self, method: str, url: str, hop: int) -> Entry:
        return Entry(self._egress.audit, self._who, method, url, hop)

    def _checked(self, request: Request) -> Outgoing:
        try:
            return Outgoing.of(request)
        except EgressDenied as error:
            self._entry(ascii(request.method[:20])[1:-1], urls.shown(request.url), 0).end(error)
            raise

    async def _ask(self, order: Outgoing, number: int) -> StreamedResponse:
        entry = self._entry(order.method, order.target.shown, number)
        try:
            rule, entry.rule = self._egress.route.permit(order)
        except EgressDenied as error:
            entry.end(error)
            raise
        hop = Hop(rule, order, self._account, entry)
        with hop.guarded():
            if self._before is not None:
                await self._before()
            raw = await self._egress.route.send(hop)
            try:
                entry.status = raw.status
                hop.received(headers.size(raw.headers))
                if not 200 <= raw.status <= 599:
                    raise hop.failed("its answer has a status of no meaning")
                return StreamedResponse(hop, raw)
            except BaseException:
                await raw.close()
                raise

    def _following(self, order: Outgoing, status: int, location: str, hop: int) -> Outgoing:
        try:
            following = order.redirected(status, location)
            if hop > self._egress.redirects:
                raise _too_many(following.target.shown, self._egress.redirects)
        except EgressDenied as error:
            self._entry(order.method, error.url, hop).end(error)
            raise
        return following


def _location(answer: StreamedResponse) -> str | None:
    """Where it leads, if it does. From the cleaned headers, so that credentials which a server
    puts into a Location do not move on."""
    if answer.status not in REDIRECTS:
        return None
    found = next((value for name, value in answer.headers if name.lower() == "location"), None)
    try:  # servers send UTF-8 where only ASCII is allowed
        return found and found.encode("latin-1").decode()
    except UnicodeError:
        return found


def _too_many(url: str, limit: int) -> EgressDenied:
    return EgressDenied(f"more than {limit} redirects", reason="redirects", url=url)
