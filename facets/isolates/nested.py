"""`self.facets` inside an isolate: child actors whose classes are of the same source."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from actors.code import Start
from actors.moving import parent_of
from facets.children import Facets
from facets.isolates.errors import IsolateError

if TYPE_CHECKING:
    from actors.activation import Activation
    from actors.node import Node
    from facets.isolates.own import Own
    from facets.isolates.target import IsolateActor

TOLD = ("name", "id", "state", "calls", "turns", "errors", "commits", "size", "output")
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
        own.offer("facets.move", self.move, ends_step=True)
        own.offer("facets.list", facets.list)
        own.offer("facets.stat", self.stat)
        own.offer("facets.tree", self.tree)
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

    def move(self, name: str, to: Any, new_name: str | None = None) -> None:
        """Put a facet below another actor of this isolate's source: no further, as whoever holds a
        stub may call it, and is not meant to plant something in its place."""
        node = self._activation.node
        above, top = parent_of(to, node.host), self._top(node)
        if not any(one is top for one in _ancestry(above)):
            raise PermissionError(f"{above.id} is not among the facets of this isolate's source")
        self._facets.move(name, to, new_name)

    def _top(self, node: Node) -> Node:
        """The topmost actor above it of the same source, with nothing else between."""
        above = node.parent
        code = None if above is None else above.code
        same = isinstance(code, type(self._code)) and (
            code.isolate.identity == self._code.isolate.identity
        )
        return self._top(above) if above is not None and same else node

    def stat(self, name: str, below: bool = False, rows: bool = False) -> dict[str, Any]:
        """What is known of a facet, but for what says something of the host. Times are as coarse as
        the guest's clock."""
        found = self._facets.stat(name, below=bool(below), rows=bool(rows))
        told = {one: getattr(found, one) for one in TOLD}
        return told | {
            "running": found.running,
            "failure": None if found.failure is None else type(found.failure).__name__,
            "written": _coarse(found.written),
            "used": _coarse(found.used),
            "usage": {one: list(used) for one, used in found.usage.items()},
            "below": None if found.below is None else asdict(found.below),
            "rows": None if found.rows is None else dict(found.rows),
        }

    def tree(self, name: str) -> list[list[Any]]:
        """The path, state and size of a facet and of all below it."""
        return [[list(one.path), one.state, one.size] for one in self._facets.tree(name)]

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


def _ancestry(node: Node) -> Iterator[Node]:
    one: Node | None = node
    while one is not None:
        yield one
        one = one.parent


def _coarse(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
