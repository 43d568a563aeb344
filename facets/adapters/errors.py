"""Errors of adapters to other frameworks.

FacetsError
└── AdapterError
    └── UnknownClass          the methods of what the stub refers to are not known (TypeError)
"""

from __future__ import annotations

from storage.errors import FacetsError


class AdapterError(FacetsError):
    """Something about the use from another framework."""


class UnknownClass(AdapterError, TypeError):
    """Which methods the actor has is not known here: the stub is of a facet that has not started,
    of another host, or of code in a sandbox."""

    hint = "say which methods it has: interface=Tally"
