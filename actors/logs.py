"""Log lines that say which actor, call and trace they belong to; with the standard library.

    {"time": "2026-01-01T00:00:00.000+00:00", "level": "INFO", "logger": "shop", "host": "host-0",
     "message": "sold", "actor": "Cart:alice", "method": "buy", "call": "1f0c9a7e-17",
     "trace": "4bf9...", "order": 7}

`message` is the formatted text, `error` the traceback if there is one; what `extra=` gives stands
beside. Code of actors logs as any other code does. Hosts of a cluster log so by themselves.
"""

from __future__ import annotations

import json
import logging
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from actors.call import CURRENT, Call

OUTSIDE: ContextVar[str] = ContextVar("facets_outside", default="")
"""The call from another process that everything here is done for."""

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class WithActor(logging.Filter):
    """Gives each record `actor`, `method`, `call` and `trace` of the code that logs, else "".

    A filter of a handler, for a `Formatter` of your own: `"%(actor)s %(message)s"`. It must run
    where the record was made: on the handler that a `QueueHandler` is, not behind it.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Every record passes."""
        call = CURRENT.get()
        outermost = _outermost(call)
        record.actor = "" if call is None else call.activation.id
        record.method = "" if call is None else call.method
        record.call = outermost
        record.trace = _trace() or outermost
        return True


class JsonLines(logging.Formatter):
    """One JSON object a line. `host` is put on each if it is given."""

    def __init__(self, host: str = "") -> None:
        super().__init__()
        self._host = host

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        said: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "host": self._host,
            "message": record.getMessage(),
        }
        said |= {name: value for name, value in vars(record).items() if name not in _STANDARD}
        if record.exc_info:
            said["error"] = self.formatException(record.exc_info)
        return json.dumps({name: value for name, value in said.items() if value != ""}, default=str)


def log_lines(host: str, level: str) -> None:
    """Have everything that this process logs, from `level` on, on stderr as such lines."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(WithActor())
    handler.setFormatter(JsonLines(host))
    logging.basicConfig(level=level, handlers=[handler], force=True)


def _outermost(call: Call | None) -> str:
    """What the code that logs is doing in the end: a call from outside, or a timer's."""
    outside = OUTSIDE.get()
    while not outside and call is not None:
        delivery = getattr(call, "delivery", None)
        outside = "" if delivery is None else f"timer-{delivery.id}"
        call = call.parent
    return outside


def _trace() -> str:
    """OpenTelemetry's, if the program uses it; nothing is imported to find out."""
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return ""
    context = trace.get_current_span().get_span_context()
    return format(context.trace_id, "032x") if context.is_valid else ""
