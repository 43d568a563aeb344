"""Actors over HTTP: `facets.serve.app(runtime, expose=[...])` is an ASGI application.

    application.py  the application
    asking.py       who asks for what: paths, origins, the authentication hook
    reaching.py     from there to a stub
    shapes.py       what methods take, from their annotations
    methods.py      methods as tools of models
    encoding.py     values as JSON
    failures.py     errors as answers, and back
    answering.py    requests for methods
    streaming.py    streams as events or lines
    disconnects.py  clients that go away
    sockets.py      WebSockets, of actors that may sleep
    held.py         one open connection
    openapi.py      all of it as a document
    terms.py        deadlines, keys and traces of requests
    client.py       the other side, for Python
    blocking.py     the same for plain code

Needs the extra `serve`. Errors are in `facets.errors` with all others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from facets.serve.application import app as app
    from facets.serve.asking import Ask as Ask
    from facets.serve.client import Client as Client
    from facets.serve.limits import ServeLimits as ServeLimits

__all__ = ["Ask", "Client", "ServeLimits", "app"]

_LAZY = {
    "Ask": "facets.serve.asking",
    "Client": "facets.serve.client",
    "ServeLimits": "facets.serve.limits",
    "app": "facets.serve.application",
}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    module = _LAZY.get(name)
    if module is None:
        raise AttributeError(f"module 'facets.serve' has no attribute {name!r}")
    return getattr(import_module(module), name)
