"""Errors of capabilities.

    FacetsError
    └── CapabilityError           (PermissionError)
        ├── CapabilityDenied      it does not allow this method or these arguments
        ├── CapabilityRevoked     it was taken back, or what it stood for has ended
        └── CapabilityExpired     its time is over, or its calls are used up

Code in an isolate sees them by the same names. You do not get one for a method that does not
exist (`NoSuchMethod`), nor for what the capability's own code raises.
"""

from __future__ import annotations

from storage.errors import FacetsError


class CapabilityError(FacetsError, PermissionError):
    """A capability cannot be used like this. Fields: `capability`, its name; `method`."""

    capability: str = ""
    method: str = ""


class CapabilityDenied(CapabilityError):
    """It allows other methods or other arguments; nothing ran."""


class CapabilityRevoked(CapabilityError):
    """Whoever gave it has taken it back, or what it stood for has ended."""

    hint = "ask whoever gave it for another"


class CapabilityExpired(CapabilityError):
    """It was good for a time or a number of calls, and that is over."""

    hint = "ask whoever gave it for another"
