"""`self.facets` inside an isolate: child actors whose classes are of the same source."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from actors.code import Start
from facets.children import Facets
from facets.isolates.errors import IsolateError

if TYPE_CHECKING:
    from actors.activation import Activation
    from facets.isolates.own import Own
    from facets.isolates.target import IsolateActor

RUNNING = 64
"""Facets that code in one isolate may have running at a time, each in a sandbox of its own."""


class NestedFacets:
    """The facets of one isolate's actor: the same isolate's classes, under the same limits."""

    def __init__(self, activation: Activation, code: IsolateActor) -> None:
        self._activation = activation
        self._facets = Facets(activation)
        self._code = code

    def offer(self, own: Own) -> None:
        """Let the guest use them."""
        facets = self._facets
        own.offer("facets.get", self.get)
        own.offer("facets.replace", self.replace)
        own.offer("facets.abort", self.abort)
        own.offer("facets.delete", facets.delete, ends_step=True)
        own.offer("facets.rename", facets.rename, ends_step=True)
        own.offer("facets.list", facets.list)
        own.offer("facets.exists", facets.exists)
        own.offer("facets.clone", facets.clone)

    def get(self, name: str, cls: str, props: Any = None) -> Any:
        """A stub of the facet `name`, which runs the class `cls` of the source."""
        return self._facets.get(name, self._start(name, cls, props))

    def replace(self, name: str, cls: str, props: Any = None) -> Any:
        """The same over the same data, whatever runs there now."""
        return self._facets.replace(name, self._start(name, cls, props))

    def abort(self, name: str, reason: str) -> None:
        """End a running facet; its storage stays."""
        if type(reason) is not str:
            raise TypeError("a reason is text")
        self._facets.abort(name, reason)

    def _start(self, name: str, cls: str, props: Any) -> Start:
        if type(cls) is not str:
            raise TypeError("a class is named by text")
        running = [
            child.name
            for child in self._activation.node.children.values()
            if child.activation is not None or child.starting is not None
        ]
        if len(running) >= RUNNING and name not in running:
            raise IsolateError(
                f"an isolate may have {RUNNING} facets running", hint="abort one that is done"
            )
        code = self._code.isolate.actor(cls, limits=self._code.limits)
        return Start(code, props=props)
