"""Errors of egress.

    FacetsError
    └── EgressError
        ├── EgressDenied          it may not leave (PermissionError); `reason` says which check
        ├── EgressTooLarge        a request or an answer is over the limit of its rule
        ├── EgressTimeout         no answer, or not all of it, in time (TimeoutError)
        ├── EgressFailed          the network, the other side or a handler failed (ConnectionError)
        └── EgressBudget          the exit has used up what it may
            ├── RequestBudget     too many requests
            ├── SentBudget        too many bytes out
            ├── ReceivedBudget    too many bytes in
            ├── TimeBudget        too much time waiting for answers (TimeoutError)
            └── ConcurrentBudget  too many requests at once

Branches follow what a caller can do: change the request or the rules, ask for less, try again
later, or stop. You do not get an error for a status: 404 and 500 are answers.

These errors go into isolates, so they carry neither queries, credentials nor addresses that a
name resolved to; the audit record has the address.
"""

from __future__ import annotations

from storage.errors import FacetsError


class EgressError(FacetsError):
    """A request did not get its answer. Fields: `url` (without query), `rule` (its label or "")."""

    url: str = ""
    rule: str = ""


class EgressDenied(EgressError, PermissionError):
    """The request may not leave. Nothing was sent to the place that was refused.

    Field: `reason`, one of
    "url" (malformed or readable in two ways), "method", "header", "rule" (no rule allows it),
    "address" (it resolves to what its rule does not open), "redirects" (too many),
    "handler" (the handler refused), "none" (the isolate was given no egress).
    """

    reason: str = ""


class EgressTooLarge(EgressError):
    """A request or an answer is larger than its rule allows. Field: `limit`, bytes."""

    limit: int


class EgressTimeout(EgressError, TimeoutError):
    """Connecting, waiting or the whole exchange took longer than the rule allows.

    The request may have arrived.
    """


class EgressFailed(EgressError, ConnectionError):
    """The name does not resolve, the connection failed, or what came back is not HTTP.

    The request may have arrived.
    """


class EgressBudget(EgressError):
    """The exit has used up what it may. Fields: `limit`, in the budget's unit."""

    limit: float


class RequestBudget(EgressBudget):
    """Too many requests; every redirect that is followed counts."""


class SentBudget(EgressBudget):
    """Too many bytes out. The request that would have crossed the limit was not sent."""


class ReceivedBudget(EgressBudget):
    """Too many bytes in. The answer that crossed the limit is lost."""


class TimeBudget(EgressBudget, TimeoutError):
    """Too many seconds in requests, added up."""


class ConcurrentBudget(EgressBudget):
    """Too many requests at once; wait for one to end, or close a stream."""
