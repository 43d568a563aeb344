"""A request on its way, hop by hop."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from facets.egress import headers, urls
from facets.egress.errors import EgressDenied
from facets.egress.messages import Headers, Request
from facets.egress.urls import Target

_METHOD = re.compile(r"[A-Za-z][A-Za-z-]{0,19}")
REDIRECTS = frozenset({301, 302, 303, 307, 308})
_OF_BODY = frozenset({"content-type", "content-encoding", "content-language", "content-location"})


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A checked request. `trusted` until a redirect has led to another origin: no credentials
    after that, not even back where they belong, because a stranger then wrote the URL."""

    method: str
    target: Target
    headers: Headers
    body: bytes
    trusted: bool = True

    @classmethod
    def of(cls, request: Request) -> Outgoing:
        """Check what a guest asks for; `EgressDenied` for anything that is not plain."""
        target = urls.parse(request.url)
        if _METHOD.fullmatch(request.method) is None:
            raise EgressDenied(
                f"{request.method[:40]!a} is not a method", reason="method", url=target.shown
            )
        kept = headers.outward(request.headers, target, request.body)
        return cls(request.method.upper(), target, kept, request.body)

    @property
    def request(self) -> Request:
        """As handlers and signers see it."""
        return Request(self.method, self.target.url, self.headers, self.body)

    @property
    def size(self) -> int:
        """Bytes that leave, for budgets: what is asked for can carry data out as well as a body."""
        line = len(self.method) + len(self.target.resource) + len(self.target.netloc)
        return line + headers.size(self.headers) + len(self.body)

    def redirected(self, status: int, location: str) -> Outgoing:
        """The next hop; `EgressDenied` if the location is not plain."""
        target = urls.follow(self.target, location)
        going = replace(self, target=target)
        if status == 303 or (status in (301, 302) and self.method == "POST"):
            going = going._without_body()
        if target.origin != self.target.origin:
            going = replace(going, headers=headers.across(going.headers), trusted=False)
        return going

    def with_headers(self, added: Mapping[str, str]) -> Outgoing:
        """With the host's headers in the place of the guest's of the same name."""
        names = frozenset(map(headers.folded, added))
        return replace(self, headers=(*headers.without(self.headers, names), *added.items()))

    def _without_body(self) -> Outgoing:
        method = "HEAD" if self.method == "HEAD" else "GET"
        kept = headers.without(self.headers, _OF_BODY)
        return replace(self, method=method, body=b"", headers=kept)
