"""Errors of serving actors over HTTP.

    FacetsError
    └── ServeError
        ├── NotServed             nothing there, or nothing that is open (LookupError)
        ├── BadArguments          the arguments are not what the method takes (ValueError)
        ├── NotAuthenticated      the request does not say who asks (PermissionError)
        ├── NotAllowed            who asks may not (PermissionError)
        ├── TooLarge              a body or a message over its limit (ValueError)
        ├── TooMany               as many calls or sockets as the server takes
        ├── NotEncodable          a result that JSON cannot say (TypeError)
        ├── ServerLost            a client: the connection failed (ConnectionError)
        └── CallFailed            a client: what failed there has no class here

The first four say that the method did not run. A client raises what the server answered with, so
an error of the actor's is the class that it was there, if that can be imported here.
"""

from __future__ import annotations

from storage.errors import FacetsError


class ServeError(FacetsError):
    """Something about a request from outside."""


class NotServed(ServeError, LookupError):
    """There is nothing under that path, or nothing that is open to requests."""


class BadArguments(ServeError, ValueError):
    """The arguments are not what the method takes; it did not run."""


class NotAuthenticated(ServeError, PermissionError):
    """The request does not say who asks, or not believably."""

    hint = "send the credentials that this server asks for"


class NotAllowed(ServeError, PermissionError):
    """Who asks may not do this."""


class TooLarge(ServeError, ValueError):
    """A body or a message is over its limit. Field: `limit`, in bytes."""

    limit: int


class TooMany(ServeError):
    """The server has as many calls or sockets as it takes. Field: `limit`."""

    hint = "try again in a moment"
    limit: int


class NotEncodable(ServeError, TypeError):
    """What the method returned cannot be said in JSON. The method has run."""

    hint = "return plain data: numbers, text, bytes, times, dataclasses, and containers of them"


class ServerLost(ServeError, ConnectionError):
    """The server could not be reached, or the connection broke: the call may have run."""

    hint = "call again if the method may run twice, or with an idempotency_key"


class CallFailed(ServeError):
    """A call failed there with an error that has no class here. Fields: `type`, `status`."""

    type: str
    status: int
