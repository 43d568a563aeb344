"""What a tool imports: the part of `facets` that exists inside an isolate."""

from facets import errors
from facets.actor import Actor
from facets.capability import capability
from facets.children import Start
from facets.exclusive import exclusive
from facets.fetching import fetch
from facets.rows import Row, Rows
from facets.timers import Backoff, Timer

__all__ = [
    "Actor", "Backoff", "Row", "Rows", "Start", "Timer", "capability", "errors", "exclusive",
    "fetch",
]  # fmt: skip


def __getattr__(name):
    raise AttributeError(f"facets.{name} does not exist inside an isolate; there is {__all__}")
