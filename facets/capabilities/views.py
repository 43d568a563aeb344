"""Views of an actor's files, keys and tables, as capabilities."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from facets.capabilities.capability import Capability, Kind, check_kind
from facets.capabilities.marked import signature_of
from storage.views import View


class ViewCapability(Capability):
    """A view: its methods run in steps of the actor whose state it shows."""

    __slots__ = ("view",)

    def __init__(self, view: View) -> None:
        super().__init__(repr(view)[1:-1])
        self.view = view
        owner: Any = view.database.owner
        self.home = owner

    @property
    def methods(self) -> Mapping[str, Kind]:
        """What the mode of the view allows."""
        return dict.fromkeys(self.view.methods, "call")

    def signature(self, method: str) -> inspect.Signature | None:
        """The method's own."""
        return signature_of(getattr(self.view, method)) if method in self.methods else None

    def text(self, method: str) -> str:
        """The docstring of the method, or of the view's class."""
        return inspect.getdoc(getattr(type(self.view), method) if method else type(self.view)) or ""

    async def call(self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call a method of the view."""
        check_kind(self, method, "call")
        return getattr(self.view, method)(*args, **kwargs)
