"""A function in the place of rules and network."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable

from facets.egress.answer import Raw
from facets.egress.errors import EgressDenied, EgressError
from facets.egress.hop import Hop
from facets.egress.messages import Request, Response
from facets.egress.outgoing import Outgoing
from facets.egress.rules import Rule

Handler = Callable[[Request], Awaitable[Response]]

_LIMITS = Rule("*")
"""Sizes and times are those of a rule that says nothing of them."""


class ByHandler:
    """Whatever the function answers."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler

    def permit(self, order: Outgoing) -> tuple[Rule, str]:
        """Everything that is well formed: the function decides."""
        del order
        return _LIMITS, "handler"

    async def send(self, hop: Hop) -> Raw:
        """Ask the function."""
        hop.start(hop.order)
        try:
            answer = await hop.in_time(self._handler(hop.order.request))
        except (EgressError, TimeoutError):
            raise
        except PermissionError as error:
            raise _denied(hop) from error
        except Exception as error:
            # Its text may say what the guest must not know; the cause stays on the host's side.
            raise hop.failed("its handler failed") from error
        if not isinstance(answer, Response):
            raise hop.failed("its handler did not return a Response")
        return Raw(answer.status, answer.headers, _one(answer.body), _nothing, answer.url)

    async def close(self) -> None:
        """A function holds nothing."""


def _denied(hop: Hop) -> EgressDenied:
    url = hop.order.target.shown
    return EgressDenied(f"the handler refused {url}", reason="handler", url=url, rule="handler")


async def _one(body: bytes) -> AsyncGenerator[bytes, None]:
    yield body


async def _nothing() -> None:
    return None
