"""What a request brings along besides its arguments: a deadline, a trace, a key."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping

from actors import tracing
from actors.deadline import deadline, remaining
from actors.once import KEY
from facets.serve.errors import BadArguments

DEADLINE = "facets-deadline"
"""Seconds that a call has, as `facets.deadline` gives them."""
IDEMPOTENCY = "idempotency-key"
"""The outcome is kept under it (see `actors.once`)."""
_TRACE = ("traceparent", "tracestate", "baggage")


@contextlib.contextmanager
def kept(headers: Mapping[str, str]) -> Iterator[None]:
    """Do what a request asks for on its terms."""
    with contextlib.ExitStack() as stack:
        trace = {name: headers[name] for name in _TRACE if name in headers}
        if trace:
            stack.enter_context(tracing.arrived(trace))
        said = headers.get(DEADLINE)
        if said is not None:
            stack.enter_context(deadline(_seconds(said)))
        yield


def named(headers: Mapping[str, str], *, streams: bool) -> dict[str, str]:
    """The argument that comes as a header."""
    key = headers.get(IDEMPOTENCY)
    if key is None:
        return {}
    if streams:
        raise BadArguments("a stream has no outcome to be kept under an Idempotency-Key")
    return {KEY: key}


def made(key: str | None) -> dict[str, str]:
    """The headers of a request that the running code makes."""
    headers = dict(tracing.depart(None) or {})
    left = remaining()
    if left is not None:
        headers[DEADLINE] = f"{left:.6f}"
    if key is not None:
        headers[IDEMPOTENCY] = key
    return headers


def _seconds(said: str) -> float:
    try:
        seconds = float(said)
    except ValueError as error:
        raise BadArguments("Facets-Deadline is a number of seconds") from error
    if not 0 <= seconds < math.inf:
        raise BadArguments("Facets-Deadline is a number of seconds")
    return seconds
